#include "protocol/records.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "protocol/record_fields.h"

#include <utility>

namespace twofold::protocol {

namespace {

using base::ByteReader;
using base::Bytes;
using base::ByteWriter;
using base::Errc;
using base::fail;

// Numbers are part of the format: never reuse one.
enum class RecordType : std::uint8_t {
    epoch = 1,
    participant = 2,
    preparing = 3,
    decision = 4,
    end = 5,
    outcomes = 6,
    horizon = 7,
    branch_outcome = 8,
    given_up = 9,
    position = 10,
    idempotent_abort = 11,
    acknowledged = 12,
    keys = 13,
    sealed = 14,
    key_turn = 15,
    restore = 16,
    sealed_outcomes = 17,
    outcome_turn = 18,
};

constexpr std::uint8_t kRecordVersion = 1;
constexpr std::uint8_t kEpochVersion = 2;  // the first one has no number of a participant
constexpr std::uint8_t kParticipantWithDecisions = 2;  // of the participant record only

std::uint8_t newest_version(RecordType type) {
    if (type == RecordType::epoch) return kEpochVersion;
    if (type == RecordType::participant) return kParticipantWithDecisions;
    return kRecordVersion;
}

void header(ByteWriter& out, RecordType type, std::uint8_t version = kRecordVersion) {
    out.u8(static_cast<std::uint8_t>(type));
    out.u8(version);
}

void write(ByteWriter& out, const EpochRecord& record) {
    bool is_noted = record.last_participant != EpochRecord{}.last_participant;
    header(out, RecordType::epoch, is_noted ? kEpochVersion : kRecordVersion);
    out.raw(record.incarnation.bytes);
    out.u32(record.epoch);
    out.raw(record.key);
    if (is_noted) out.u16(record.last_participant.value);
}

void write(ByteWriter& out, const ParticipantRecord& record) {
    bool is_plain = record.decisions.empty();
    header(out, RecordType::participant, is_plain ? kRecordVersion : kParticipantWithDecisions);
    out.u16(record.number.value);
    out.raw(record.uuid.bytes);
    out.string(record.name);
    write_identity(out, record.identity);
    out.u8(record.retired ? 1 : 0);
    if (is_plain) return;
    out.u16(static_cast<std::uint16_t>(record.decisions.size()));
    for (const std::string& decision : record.decisions) out.string(decision);
}

void write(ByteWriter& out, const PreparingRecord& record) {
    header(out, RecordType::preparing);
    out.raw(record.group.bytes);
    write_members(out, record.members);
    write_branches(out, record.branches);
}

void write(ByteWriter& out, const DecisionRecord& record) {
    header(out, RecordType::decision);
    out.raw(record.group.bytes);
    out.u8(static_cast<std::uint8_t>(record.decision));
    write_members(out, record.members);
    write_branches(out, record.branches);
    out.string(record.reason);
}

void write(ByteWriter& out, const EndRecord& record) {
    header(out, RecordType::end);
    out.raw(record.group.bytes);
    out.u8(static_cast<std::uint8_t>(record.outcome));
}

void write(ByteWriter& out, const OutcomesRecord& record) {
    header(out, RecordType::outcomes);
    out.u32(record.epoch);
    out.u64(record.first_sequence);
    out.u32(static_cast<std::uint32_t>(record.committed_bits.size()));
    out.raw(record.committed_bits);
}

void write(ByteWriter& out, const HorizonRecord& record) {
    header(out, RecordType::horizon);
    write_id_position(out, record.horizon);
}

void write(ByteWriter& out, const BranchOutcomeRecord& record) {
    header(out, RecordType::branch_outcome);
    write_branch_key(out, record.key);
    out.u16(record.participant.value);
    out.u8(static_cast<std::uint8_t>(record.outcome));
    out.string(record.evidence);
    out.u8(record.by_operator ? 1 : 0);
}

void write(ByteWriter& out, const GivenUpRecord& record) {
    header(out, RecordType::given_up);
    out.u16(record.participant.value);
    write_id_position(out, record.newest);
}

void write(ByteWriter& out, const PositionRecord& record) {
    header(out, RecordType::position);
    out.u16(record.participant.value);
    out.u32(record.position.timeline);
    out.u64(record.position.value);
}

void write(ByteWriter& out, const IdempotentAbortRecord& record) {
    header(out, RecordType::idempotent_abort);
    out.raw(record.txn.bytes);
    write_idempotency(out, record.idempotency);
    out.string(record.reason);
}

void write(ByteWriter& out, const AcknowledgedRecord& record) {
    header(out, RecordType::acknowledged);
    out.raw(record.txn.bytes);
    out.string(record.reason);
}

void write_settled_key(ByteWriter& out, const SettledKey& key) {
    write_idempotency(out, key.idempotency);
    write_id_position(out, key.position);
    out.u16(key.participant.value);
    out.u8(key.committed ? 1 : 0);
    if (!key.committed) out.string(key.reason);
}

void write(ByteWriter& out, const KeysRecord& record) {
    header(out, RecordType::keys);
    out.u32(record.generation);
    out.u16(static_cast<std::uint16_t>(record.keys.size()));
    for (const SettledKey& key : record.keys) write_settled_key(out, key);
}

void write(ByteWriter& out, const SealedRecord& record) {
    header(out, RecordType::sealed);
    out.u64(record.file);
    out.u32(record.generation);
    out.u32(record.keys);
    out.u32(record.checksum);
}

void write(ByteWriter& out, const KeyTurnRecord& record) {
    header(out, RecordType::key_turn);
    out.u32(record.generation);
}

void write(ByteWriter& out, const RestoreRecord& record) {
    header(out, RecordType::restore);
    out.u8(record.accepted ? 1 : 0);
    out.u16(record.participant.value);
    out.u32(record.epoch);
    out.u64(record.position);
    out.string(record.code);
    out.string(record.reason);
}

void write(ByteWriter& out, const SealedOutcomesRecord& record) {
    header(out, RecordType::sealed_outcomes);
    out.u64(record.file);
    write_id_position(out, record.newest);
    out.u32(record.committed);
    out.u32(record.checksum);
}

void write(ByteWriter& out, const OutcomeTurnRecord& record) {
    header(out, RecordType::outcome_turn);
    out.u32(record.number);
    write_id_position(out, record.next);
}

Record read_epoch(ByteReader& in, std::uint8_t version) {
    EpochRecord record;
    record.incarnation.bytes = in.array<10>();
    record.epoch = in.u32();
    record.key = in.array<32>();
    if (version < kEpochVersion) return record;
    record.last_participant = ParticipantNumber(in.u16());
    if (record.last_participant == EpochRecord{}.last_participant) in.fail();
    return record;
}

Record read_participant(ByteReader& in, std::uint8_t version) {
    ParticipantRecord record;
    record.number = ParticipantNumber(in.u16());
    record.uuid.bytes = in.array<16>();
    record.name = in.string();
    record.identity = read_identity(in);
    record.retired = read_flag(in);
    if (version != kParticipantWithDecisions) return record;
    std::uint16_t count = in.u16();
    if (count == 0) in.fail();
    for (std::uint16_t i = 0; i < count && in.ok(); ++i) record.decisions.push_back(in.string());
    return record;
}

Record read_preparing(ByteReader& in) {
    PreparingRecord record;
    record.group.bytes = in.array<kGtridSize>();
    record.members = read_members(in);
    record.branches = read_branches(in);
    return record;
}

Record read_decision(ByteReader& in) {
    DecisionRecord record;
    record.group.bytes = in.array<kGtridSize>();
    record.decision = read_enum<Decision>(in, 1, 2);
    record.members = read_members(in);
    record.branches = read_branches(in);
    record.reason = in.string();
    return record;
}

Record read_end(ByteReader& in) {
    EndRecord record;
    record.group.bytes = in.array<kGtridSize>();
    record.outcome = read_enum<Outcome>(in, 0, 6);
    return record;
}

Record read_outcomes(ByteReader& in) {
    OutcomesRecord record;
    record.epoch = in.u32();
    record.first_sequence = in.u64();
    base::ByteSpan bits = in.raw(in.u32());
    record.committed_bits.assign(bits.begin(), bits.end());
    return record;
}

Record read_branch_outcome(ByteReader& in) {
    BranchOutcomeRecord record;
    record.key = read_branch_key(in);
    record.participant = ParticipantNumber(in.u16());
    record.outcome = read_enum<Outcome>(in, 0, 6);
    record.evidence = in.string();
    record.by_operator = read_flag(in);
    return record;
}

Record read_given_up(ByteReader& in) {
    GivenUpRecord record;
    record.participant = ParticipantNumber(in.u16());
    record.newest = read_id_position(in);
    return record;
}

Record read_position(ByteReader& in) {
    PositionRecord record;
    record.participant = ParticipantNumber(in.u16());
    record.position.timeline = in.u32();
    record.position.value = in.u64();
    return record;
}

Record read_idempotent_abort(ByteReader& in) {
    IdempotentAbortRecord record;
    record.txn.bytes = in.array<kGtridSize>();
    record.idempotency = read_idempotency(in);
    record.reason = in.string();
    return record;
}

Record read_acknowledged(ByteReader& in) {
    AcknowledgedRecord record;
    record.txn.bytes = in.array<kGtridSize>();
    record.reason = in.string();
    return record;
}

SettledKey read_settled_key(ByteReader& in) {
    SettledKey key;
    key.idempotency = read_idempotency(in);
    key.position = read_id_position(in);
    key.participant = ParticipantNumber(in.u16());
    key.committed = read_flag(in);
    if (!key.committed) key.reason = in.string();
    return key;
}

Record read_keys(ByteReader& in) {
    KeysRecord record;
    record.generation = in.u32();
    std::uint16_t count = in.u16();
    for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
        record.keys.push_back(read_settled_key(in));
    }
    return record;
}

Record read_sealed(ByteReader& in) {
    SealedRecord record;
    record.file = in.u64();
    record.generation = in.u32();
    record.keys = in.u32();
    record.checksum = in.u32();
    return record;
}

Record read_restore(ByteReader& in) {
    RestoreRecord record;
    record.accepted = read_flag(in);
    record.participant = ParticipantNumber(in.u16());
    record.epoch = in.u32();
    record.position = in.u64();
    record.code = in.string();
    record.reason = in.string();
    return record;
}

Record read_sealed_outcomes(ByteReader& in) {
    SealedOutcomesRecord record;
    record.file = in.u64();
    record.newest = read_id_position(in);
    record.committed = in.u32();
    record.checksum = in.u32();
    return record;
}

Record read_outcome_turn(ByteReader& in) {
    OutcomeTurnRecord record;
    record.number = in.u32();
    record.next = read_id_position(in);
    return record;
}

base::Result<Record> read_body(RecordType type, std::uint8_t version, ByteReader& in) {
    switch (type) {
        case RecordType::epoch: return read_epoch(in, version);
        case RecordType::participant: return read_participant(in, version);
        case RecordType::preparing: return read_preparing(in);
        case RecordType::decision: return read_decision(in);
        case RecordType::end: return read_end(in);
        case RecordType::outcomes: return read_outcomes(in);
        case RecordType::horizon: return Record{HorizonRecord{read_id_position(in)}};
        case RecordType::branch_outcome: return read_branch_outcome(in);
        case RecordType::given_up: return read_given_up(in);
        case RecordType::position: return read_position(in);
        case RecordType::idempotent_abort: return read_idempotent_abort(in);
        case RecordType::acknowledged: return read_acknowledged(in);
        case RecordType::keys: return read_keys(in);
        case RecordType::sealed: return read_sealed(in);
        case RecordType::key_turn: return Record{KeyTurnRecord{in.u32()}};
        case RecordType::restore: return read_restore(in);
        case RecordType::sealed_outcomes: return read_sealed_outcomes(in);
        case RecordType::outcome_turn: return read_outcome_turn(in);
    }
    return fail(Errc::unsupported_version,
                "log record of unknown type " + std::to_string(static_cast<int>(type)) +
                    ": written by a newer program");
}

}  // namespace

Bytes encode_record(const Record& record) {
    Bytes bytes;
    ByteWriter out(bytes);
    std::visit([&out](const auto& alternative) { write(out, alternative); }, record);
    return bytes;
}

std::optional<SealedContent> sealed_file_of(const Record& record) {
    if (const auto* keys = std::get_if<SealedRecord>(&record)) {
        return SealedContent{keys->file, keys->checksum};
    }
    if (const auto* outcomes = std::get_if<SealedOutcomesRecord>(&record)) {
        return SealedContent{outcomes->file, outcomes->checksum};
    }
    return std::nullopt;
}

std::uint32_t content_checksum(const std::vector<Record>& records) {
    std::uint32_t checksum = 0;
    Bytes length;
    for (const Record& record : records) {
        Bytes bytes = encode_record(record);
        length.clear();
        ByteWriter(length).u32(static_cast<std::uint32_t>(bytes.size()));
        checksum = base::crc32c(bytes, base::crc32c(length, checksum));
    }
    return checksum;
}

base::Result<Record> decode_record(base::ByteSpan bytes) {
    ByteReader in(bytes);
    auto type = static_cast<RecordType>(in.u8());
    std::uint8_t version = in.u8();
    if (!in.ok()) return fail(Errc::corrupt, "log record shorter than its header");
    std::uint8_t newest = newest_version(type);
    if (version == 0 || version > newest) {
        return fail(Errc::unsupported_version,
                    "log record version " + std::to_string(version) + ", this program reads " +
                        std::to_string(newest));
    }
    TWOFOLD_TRY(Record record, read_body(type, version, in));
    if (!in.finished()) {
        return fail(Errc::corrupt,
                    "log record of type " + std::to_string(static_cast<int>(type)) +
                        " has a wrong length or field");
    }
    return record;
}

}  // namespace twofold::protocol
