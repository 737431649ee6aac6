#include "protocol/ids.h"

#include "base/assert.h"
#include "base/planted_bug.h"

#include <algorithm>
#include <charconv>
#include <span>

namespace twofold::protocol {

namespace {

constexpr std::size_t kIncarnationAt = 2;
constexpr std::size_t kEpochAt = 12;
constexpr std::size_t kSequenceAt = 16;
constexpr std::size_t kParticipantAt = 22;
constexpr std::size_t kTagAt = 24;
constexpr std::size_t kTagSize = kGtridSize - kTagAt;

std::uint64_t read_big_endian(base::ByteSpan bytes) {
    std::uint64_t value = 0;
    for (std::uint8_t byte : bytes) value = (value << 8U) | byte;
    return value;
}

void write_big_endian(std::span<std::uint8_t> out, std::uint64_t value) {
    for (std::size_t i = out.size(); i > 0; --i) {
        out[i - 1] = static_cast<std::uint8_t>(value);
        value >>= 8U;
    }
}

base::ByteSpan part(const TxnId& id, std::size_t offset, std::size_t size) {
    return base::ByteSpan(id.bytes).subspan(offset, size);
}

}  // namespace

std::optional<Incarnation> Incarnation::parse(std::string_view hex) {
    auto decoded = base::hex_decode(hex);
    if (!decoded || decoded->size() != 10) return std::nullopt;
    Incarnation out;
    std::ranges::copy(*decoded, out.bytes.begin());
    return out;
}

Incarnation TxnId::incarnation() const {
    Incarnation out;
    std::ranges::copy(part(*this, kIncarnationAt, 10), out.bytes.begin());
    return out;
}

Epoch TxnId::epoch() const { return static_cast<Epoch>(read_big_endian(part(*this, kEpochAt, 4))); }

Sequence TxnId::sequence() const { return read_big_endian(part(*this, kSequenceAt, 6)); }

ParticipantNumber TxnId::participant() const {
    return ParticipantNumber(
        static_cast<std::uint16_t>(read_big_endian(part(*this, kParticipantAt, 2))));
}

std::string TxnId::text() const { return base::base64_encode(bytes, base::Base64Alphabet::url); }

std::optional<TxnId> TxnId::parse(std::string_view text) {
    if (text.size() != kTxnIdTextSize) return std::nullopt;
    auto decoded = base::base64_decode(text, base::Base64Alphabet::url);
    if (!decoded || decoded->size() != kGtridSize || (*decoded)[0] != kIdVersion) {
        return std::nullopt;
    }
    TxnId id;
    std::ranges::copy(*decoded, id.bytes.begin());
    if (id.epoch() == 0 || id.sequence() == 0) return std::nullopt;
    return id;
}

TxnId make_txn_id(const Incarnation& incarnation,
                  Epoch epoch,
                  Sequence sequence,
                  ParticipantNumber one_phase_participant,
                  const base::KeyedHash& key) {
    TWOFOLD_ASSERT(epoch > 0 && sequence > 0 && sequence <= kSequenceMax, "id out of range");
    TxnId id;
    id.bytes[0] = kIdVersion;
    std::span<std::uint8_t> out(id.bytes);
    std::ranges::copy(incarnation.bytes, out.subspan(kIncarnationAt).begin());
    write_big_endian(out.subspan(kEpochAt, 4), epoch);
    write_big_endian(out.subspan(kSequenceAt, 6), sequence);
    write_big_endian(out.subspan(kParticipantAt, 2), one_phase_participant.value);
    base::Hash256 hash = key.hash(part(id, 0, kTagAt));
    std::copy_n(hash.begin(), kTagSize, out.subspan(kTagAt).begin());
    return id;
}

bool tag_matches(const TxnId& id, const base::KeyedHash& key) {
    base::Hash256 hash = key.hash(part(id, 0, kTagAt));
    return base::constant_time_equal(part(id, kTagAt, kTagSize),
                                     base::ByteSpan(hash).first(kTagSize));
}

std::string ParticipantUuid::text() const {
    std::string hex = base::hex_encode(bytes);
    for (std::size_t at : {8U, 13U, 18U, 23U}) hex.insert(at, "-");
    return hex;
}

std::optional<ParticipantUuid> ParticipantUuid::parse(std::string_view text) {
    if (text.size() != 36) return std::nullopt;
    std::string hex;
    for (std::size_t i = 0; i < text.size(); ++i) {
        bool dash_here = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash_here != (text[i] == '-')) return std::nullopt;
        if (!dash_here) hex.push_back(text[i]);
    }
    auto decoded = base::hex_decode(hex);
    if (!decoded) return std::nullopt;
    ParticipantUuid out;
    std::ranges::copy(*decoded, out.bytes.begin());
    return out;
}

std::string BranchKey::text() const {
    return group.text() + "/" + std::to_string(branch) + "." + std::to_string(attempt);
}

Bqual make_bqual(const BranchKey& key, const ParticipantUuid& participant) {
    Bqual out{};
    out[0] = kIdVersion;
    std::span<std::uint8_t> rest(out);
    write_big_endian(rest.subspan(1, 2), key.branch);
    write_big_endian(rest.subspan(3, 2), key.attempt);
    std::ranges::copy(participant.bytes, rest.subspan(5).begin());
    return out;
}

std::string make_gid(const BranchKey& key, const ParticipantUuid& participant) {
    BranchKey named = key;
    if (TWOFOLD_PLANTED_BUG("protocol.gid_forgets_the_attempt")) named.attempt = 1;
    Bqual bqual = make_bqual(named, participant);
    return std::to_string(kXidFormatId) + "_" +
           base::base64_encode(key.group.bytes, base::Base64Alphabet::standard) + "_" +
           base::base64_encode(bqual, base::Base64Alphabet::standard);
}

std::optional<ParsedGid> parse_gid(std::string_view gid) {
    std::string prefix = std::to_string(kXidFormatId) + "_";
    if (!gid.starts_with(prefix)) return std::nullopt;
    gid.remove_prefix(prefix.size());
    std::size_t split = gid.find('_');
    if (split == std::string_view::npos) return std::nullopt;
    auto gtrid = base::base64_decode(gid.substr(0, split), base::Base64Alphabet::standard);
    auto bqual = base::base64_decode(gid.substr(split + 1), base::Base64Alphabet::standard);
    if (!gtrid || gtrid->size() != kGtridSize || (*gtrid)[0] != kIdVersion) return std::nullopt;
    if (!bqual || bqual->size() != kBqualSize || (*bqual)[0] != kIdVersion) return std::nullopt;
    ParsedGid out;
    std::ranges::copy(*gtrid, out.key.group.bytes.begin());
    base::ByteSpan rest(*bqual);
    out.key.branch = static_cast<std::uint16_t>(read_big_endian(rest.subspan(1, 2)));
    out.key.attempt = static_cast<std::uint16_t>(read_big_endian(rest.subspan(3, 2)));
    std::ranges::copy(rest.subspan(5), out.participant.bytes.begin());
    // We never make these. Nobody could be asked about such a branch: an inquiry that names it is
    // refused as a whole, with all the others in it.
    bool is_ours = out.key.group.epoch() != 0 && out.key.group.sequence() != 0 &&
                   out.key.branch != 0 && out.key.attempt != 0;
    if (!is_ours) return std::nullopt;
    return out;
}

}  // namespace twofold::protocol
