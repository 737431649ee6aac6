#include "coordinator/core/recovered.h"
#include "fuzz/packed_log.h"
#include "fuzz/seeds.h"
#include "protocol/records.h"
#include "recovery/recover.h"
#include "wal/sealed.h"
#include "wal/writer.h"

#include <utility>
#include <vector>

namespace twofold::fuzz {

namespace {

using namespace protocol;

constexpr wal::Incarnation kIncarnation{'i', 'n', 'c', 'a', 'r', 'n', 'a', 't', 'e', 'd'};

TxnId id_of(Sequence sequence, std::uint16_t participant = 0) {
    return make_txn_id({kIncarnation},
                       1,
                       sequence,
                       ParticipantNumber(participant),
                       base::KeyedHash(base::HashKey{}));
}

IdempotencyKey key_of(std::uint8_t fill) {
    IdempotencyKey key;
    key.key_hash.fill(fill);
    key.fingerprint.fill(fill);
    return key;
}

BranchRecord branch_of(std::uint16_t participant, Vote vote) {
    BranchRecord branch;
    branch.branch = branch.attempt = 1;
    branch.participant = ParticipantNumber(participant);
    branch.identity = {"sqlite", {"u"}};
    branch.participant_epoch = 1;
    branch.vote = vote;
    if (vote == Vote::yes) branch.proof = ProofToken{7, {1, 8}, true};
    return branch;
}

std::vector<BranchRecord> branches() {
    return {branch_of(1, Vote::yes), branch_of(2, Vote::read_only)};
}

DecisionRecord decision(Sequence sequence, Decision decided) {
    return {id_of(sequence),
            decided,
            {{id_of(sequence), key_of(1), {{"order", "17"}}}},
            branches(),
            decided == Decision::abort ? "client_abort" : ""};
}

std::vector<Record> start() {
    return {EpochRecord{{kIncarnation}, 1, {}},
            ParticipantRecord{ParticipantNumber(1), {}, "north", {"sqlite", {"u"}}, false},
            ParticipantRecord{ParticipantNumber(2), {}, "south", {"sqlite", {"v"}}, true}};
}

// One small history for every kind of record.
std::vector<std::vector<Record>> histories() {
    BranchOutcomeRecord odd{
        {id_of(1), 1, 1}, ParticipantNumber(1), Outcome::heuristic_abort, "gone", false};
    return {
        {decision(1, Decision::commit)},
        {decision(1, Decision::commit), EndRecord{id_of(1), Outcome::committed}},
        {PreparingRecord{id_of(2), {{id_of(2), key_of(2), {}}}, branches()}},
        {decision(3, Decision::abort), EndRecord{id_of(3), Outcome::aborted}},
        {decision(1, Decision::commit),
         odd,
         EndRecord{id_of(1), Outcome::heuristic_mixed},
         AcknowledgedRecord{id_of(1), "seen"}},
        {HorizonRecord{{1, 66}}, OutcomesRecord{1, 64, {0xfc, 1}}},
        {OutcomeTurnRecord{1, {1, 7}}, OutcomeTurnRecord{2, {1, 9}}},
        {GivenUpRecord{ParticipantNumber(1), {1, 2}}, PositionRecord{ParticipantNumber(1), {1, 9}}},
        {IdempotentAbortRecord{id_of(4), key_of(4), "deadlock"}},
        {KeyTurnRecord{1}, KeysRecord{1, {{key_of(5), {1, 5}, {}, false, "deadlock"}}}},
        {RestoreRecord{false, ParticipantNumber(1), 2, 40, "log_went_back", "older"}},
        {RestoreRecord{true, {}, 2, 40, "log_went_back", "accepted"}, decision(6, Decision::abort)},
    };
}

Record sealed_keys() { return KeysRecord{1, {{key_of(9), {1, 9}, {}, true, {}}}}; }

void append_piece(base::Bytes& out, const Record& record) {
    base::Bytes bytes = encode_record(record);
    base::ByteWriter writer(out);
    writer.u16(static_cast<std::uint16_t>(bytes.size()));
    writer.raw(bytes);
}

base::Bytes packed_fold(const std::vector<Record>& history) {
    base::Bytes out;
    for (const Record& record : start()) append_piece(out, record);
    for (const Record& record : history) append_piece(out, record);
    return out;
}

std::vector<base::Bytes> encoded(const std::vector<Record>& records) {
    std::vector<base::Bytes> out;
    out.reserve(records.size());
    for (const Record& record : records) out.push_back(encode_record(record));
    return out;
}

wal::WriterOptions writer_options() {
    wal::WriterOptions options;
    options.segment_size_bytes = 4 * wal::kBlockSizeBytes;
    options.batch_size_max_bytes = 2 * wal::kBlockSizeBytes;
    options.reserve_segments = 1;
    options.spare_segments_max = 2;
    options.salt_seed = 7;
    return options;
}

// A start, a history of a force each, and what `end` does to the log.
base::Bytes packed_directory(const std::vector<Record>& history,
                             const std::function<void(wal::Writer&)>& end,
                             bool with_sealed) {
    wal::MemoryDisk disk;
    std::vector<std::uint64_t> sealed;
    std::vector<Record> checkpoint = start();
    if (with_sealed) {
        sealed.push_back(coordinator::first_sealed_file(1));
        wal::SealedFile file{kIncarnation, 1, sealed.front(), 7};
        static_cast<void>(wal::write_sealed(disk.directory(), file, encoded({sealed_keys()})));
        checkpoint.emplace_back(KeyTurnRecord{1});
        checkpoint.emplace_back(
            SealedRecord{sealed.front(), 1, 1, content_checksum({sealed_keys()})});
    }
    auto writer = wal::Writer::start(
        disk.directory(), {}, writer_options(), kIncarnation, encoded(checkpoint), sealed);
    if (!writer.has_value()) return {};
    for (const base::Bytes& record : encoded(history)) {
        writer.value()->append(record);
        static_cast<void>(writer.value()->force());
    }
    end(*writer.value());
    return pack_log(disk, kRepairAll);
}

void seed_directories(const SeedSink& sink) {
    int number = 0;
    for (const std::vector<Record>& history : histories()) {
        std::string name = "history-" + std::to_string(++number);
        sink("log_directory",
             name,
             packed_directory(
                 history, [](wal::Writer&) {}, number % 2 == 0));
    }
    std::vector<Record> one = histories().front();
    sink("log_directory",
         "clean",
         packed_directory(
             one, [](wal::Writer& writer) { static_cast<void>(writer.close_clean()); }, false));
    sink("log_directory",
         "heartbeat",
         packed_directory(
             one, [](wal::Writer& writer) { static_cast<void>(writer.heartbeat()); }, true));
    sink("log_directory",
         "checkpoint",
         packed_directory(
             one,
             [](wal::Writer& writer) { static_cast<void>(writer.checkpoint(encoded(start()))); },
             false));
}

}  // namespace

void seed_logs(const SeedSink& sink) {
    int number = 0;
    for (const std::vector<Record>& history : histories()) {
        sink("log_fold", "history-" + std::to_string(++number), packed_fold(history));
        for (const Record& record : history) {
            sink("log_record", "type-" + std::to_string(record.index()), encode_record(record));
        }
    }
    for (const Record& record : start()) {
        sink("log_record", "type-" + std::to_string(record.index()), encode_record(record));
    }
    Record sealed = SealedRecord{1, 1, 1, content_checksum({sealed_keys()})};
    sink("log_record", "type-" + std::to_string(sealed.index()), encode_record(sealed));
    base::Bytes fold = packed_fold({KeyTurnRecord{1}, sealed});
    fold.push_back(1);
    append_piece(fold, sealed_keys());
    sink("log_fold", "sealed", fold);
    Record bits = OutcomesRecord{1, 0, {0xfe, 1}};
    Record outcomes = SealedOutcomesRecord{2, {1, 8}, 8, content_checksum({bits})};
    sink("log_record", "type-" + std::to_string(outcomes.index()), encode_record(outcomes));
    fold = packed_fold({outcomes});
    fold.push_back(1);
    append_piece(fold, bits);
    sink("log_fold", "sealed-outcomes", fold);
    seed_directories(sink);
    wal::MemoryDisk disk;
    wal::SealedFile file{kIncarnation, 1, 3, 7};
    std::vector<base::Bytes> records = encoded({sealed_keys(), sealed_keys()});
    static_cast<void>(wal::write_sealed(disk.directory(), file, records));
    sink("sealed_file", "two", pack_log(disk, kRepairAll));
    sink("sealed_file", "unrepaired", pack_log(disk, 0));
}

}  // namespace twofold::fuzz
