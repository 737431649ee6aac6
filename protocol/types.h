// The words of two-phase commit as values. Protocol outcomes are values, never errors.
#pragma once

#include "base/bytes.h"
#include "protocol/ids.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::protocol {

enum class Decision : std::uint8_t { commit = 1, abort = 2 };

enum class Vote : std::uint8_t { yes = 1, no = 2, read_only = 3 };

// What a client is told about a transaction. `unknown` is a value of its own: not decided, or it
// cannot be told (yet). X/Open names in docs/protocol.md.
enum class Outcome : std::uint8_t {
    unknown = 0,
    committed = 1,
    aborted = 2,
    heuristic_commit = 3,  // a branch was committed by somebody else although we decided abort
    heuristic_abort = 4,   // a branch was aborted by somebody else although we decided commit
    heuristic_mixed = 5,   // branches ended differently
    heuristic_hazard = 6,  // how a branch ended cannot be proved
};

// What is known about a message to a peer.
enum class CallOutcome : std::uint8_t {
    replied,   // a complete answer with the right echo came back
    not_sent,  // certainly nothing reached the peer
    unknown,   // it may have been received and acted upon
};

[[nodiscard]] std::string_view to_string(Decision value);
[[nodiscard]] std::string_view to_string(Vote value);
[[nodiscard]] std::string_view to_string(Outcome value);
[[nodiscard]] std::string_view to_string(CallOutcome value);
[[nodiscard]] std::optional<Decision> parse_decision(std::string_view text);

// Which database is behind a participant: a kind and opaque fields that identify it for that kind.
//   postgresql: system identifier, database oid.   sqlite: uuid in the file.
// Equal identity = the same database. Compared before anything is sent or finished.
struct Identity {
    static constexpr std::size_t kTextSizeMax = 512;
    static constexpr std::size_t kFieldsMax = 16;

    std::string kind;
    std::vector<std::string> fields;

    friend auto operator<=>(const Identity&, const Identity&) = default;
    [[nodiscard]] bool empty() const { return kind.empty(); }
    // "postgresql:7312…:16384"; ':' and '%' inside a field are percent-encoded.
    [[nodiscard]] std::string text() const;
    // Nothing for a text that is no identity, or one above the limits: any service may present one,
    // and it is written into every decision.
    [[nodiscard]] static std::optional<Identity> parse(std::string_view text);
};

// A participant's position in its database's history: the insert LSN (PostgreSQL) or the prepare
// counter (SQLite). Positions compare only within one timeline; a lower timeline is going back.
struct Position {
    std::uint32_t timeline = 0;
    std::uint64_t value = 0;

    friend auto operator<=>(const Position&, const Position&) = default;
};

// What a yes vote leaves behind so that the end of the branch can be proved later although its gid
// is gone: same timeline and no regression, then the commit log is asked about `xid`.
struct ProofToken {
    std::uint64_t xid = 0;  // pg_current_xact_id_if_assigned(), or the prepare counter; 0 = none
    Position position;
    bool witness = false;  // a witness row was written inside the branch

    friend auto operator<=>(const ProofToken&, const ProofToken&) = default;
};

// Who sends a message, and how far its log is. Fencing compares the sender's epoch, never the
// transaction's: recovered transactions are older than who sends for them.
struct SenderStamp {
    Incarnation incarnation;
    Epoch epoch = 0;
    std::uint64_t start_nonce = 0;  // random, of this start; 0 = unknown
    std::uint64_t position = 0;     // durable LSN of the sender's log
    // LSN up to which this start had read its log; 0 = unknown. Smaller than a position that an
    // older epoch had told: the log went back, it was restored from a copy.
    std::uint64_t start_position = 0;

    friend auto operator<=>(const SenderStamp&, const SenderStamp&) = default;
};

// A client's idempotency key, hashed, and the fingerprint of the body that came with it.
struct IdempotencyKey {
    std::array<std::uint8_t, 16> key_hash{};
    std::array<std::uint8_t, 16> fingerprint{};

    friend auto operator<=>(const IdempotencyKey&, const IdempotencyKey&) = default;
};

}  // namespace twofold::protocol
