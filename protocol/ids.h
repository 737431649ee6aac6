// Names of transactions and branches. They are in the first wire and disk format because they
// cannot be added later; docs/protocol.md has the rules (I-1 to I-5) and docs/record_format.md the
// bytes.
//
// A TxnId is a gtrid of 36 bytes:
//   version 1 | flags 1 | incarnation 10 | epoch 4 | sequence 6 | participant 2 | tag 12
// with big-endian numbers, so that bytes sort as (incarnation, epoch, sequence). The tag is a keyed
// hash of the first 24 bytes: an id cannot be guessed, and can be checked without being stored.
// A branch id (bqual) is 21 bytes: version 1 | branch 2 | attempt 2 | participant uuid 16.
// xid = (format id, gtrid, bqual) as in X/Open XA; the gid is the string that PostgreSQL stores.
#pragma once

#include "base/base64.h"
#include "base/bytes.h"
#include "base/keyed_hash.h"
#include "base/strong_id.h"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace twofold::protocol {

inline constexpr std::uint8_t kIdVersion = 1;
inline constexpr std::uint32_t kXidFormatId = 0x54574f46;  // "TWOF"
inline constexpr std::size_t kGtridSize = 36;
inline constexpr std::size_t kBqualSize = 21;
inline constexpr std::size_t kTxnIdTextSize = 48;

// Random, made with the log. A lost log means a new incarnation.
struct Incarnation {
    std::array<std::uint8_t, 10> bytes{};

    friend auto operator<=>(const Incarnation&, const Incarnation&) = default;
    [[nodiscard]] std::string text() const { return base::hex_encode(bytes); }
    [[nodiscard]] static std::optional<Incarnation> parse(std::string_view hex);
};

// Durable directory number of a participant; never reused; 0 = none.
using ParticipantNumber = base::StrongId<struct ParticipantNumberTag, std::uint16_t>;
// +1 at every coordinator start, forced before the first id of that epoch is issued.
using Epoch = std::uint32_t;
// 48 bits, dense per epoch, from 1.
using Sequence = std::uint64_t;
inline constexpr Sequence kSequenceMax = (1ULL << 48U) - 1;

// Position of an id in the order of one incarnation: what low_water and the horizon are made of.
struct IdPosition {
    Epoch epoch = 0;
    Sequence sequence = 0;

    friend auto operator<=>(const IdPosition&, const IdPosition&) = default;
};

struct TxnId {
    std::array<std::uint8_t, kGtridSize> bytes{};

    friend auto operator<=>(const TxnId&, const TxnId&) = default;

    [[nodiscard]] std::uint8_t flags() const { return bytes[1]; }
    [[nodiscard]] Incarnation incarnation() const;
    [[nodiscard]] Epoch epoch() const;
    [[nodiscard]] Sequence sequence() const;
    // The only participant of a one-phase transaction; 0 for all others.
    [[nodiscard]] ParticipantNumber participant() const;
    [[nodiscard]] IdPosition position() const { return {epoch(), sequence()}; }

    // base64url, 48 characters, opaque to clients.
    [[nodiscard]] std::string text() const;
    // Checks form and version, not the tag (that needs the epoch's key: see tag_matches).
    [[nodiscard]] static std::optional<TxnId> parse(std::string_view text);
};

// Makes an id, tag included.
[[nodiscard]] TxnId make_txn_id(const Incarnation& incarnation,
                                Epoch epoch,
                                Sequence sequence,
                                ParticipantNumber one_phase_participant,
                                const base::KeyedHash& key);

// True when the id was made with this key. Constant time.
[[nodiscard]] bool tag_matches(const TxnId& id, const base::KeyedHash& key);

struct ParticipantUuid {
    std::array<std::uint8_t, 16> bytes{};

    friend auto operator<=>(const ParticipantUuid&, const ParticipantUuid&) = default;
    // 8-4-4-4-12 lower-case hexadecimal.
    [[nodiscard]] std::string text() const;
    [[nodiscard]] static std::optional<ParticipantUuid> parse(std::string_view text);
};

// One try at one branch of one group. `group` is the id that the database sees; for a group of one
// transaction it is that transaction's id.
struct BranchKey {
    TxnId group;
    std::uint16_t branch = 0;   // from 1
    std::uint16_t attempt = 0;  // from 1

    friend auto operator<=>(const BranchKey&, const BranchKey&) = default;
    [[nodiscard]] std::string text() const;  // "<txn id>/<branch>.<attempt>" for logs
};

using Bqual = std::array<std::uint8_t, kBqualSize>;
[[nodiscard]] Bqual make_bqual(const BranchKey& key, const ParticipantUuid& participant);

// "<format id>_<base64 gtrid>_<base64 bqual>", 88 characters, the form that pgjdbc and psycopg use.
[[nodiscard]] std::string make_gid(const BranchKey& key, const ParticipantUuid& participant);

struct ParsedGid {
    BranchKey key;
    ParticipantUuid participant;
};
// Nothing when the text is not a gid of ours (another program's prepared transaction).
[[nodiscard]] std::optional<ParsedGid> parse_gid(std::string_view gid);

}  // namespace twofold::protocol
