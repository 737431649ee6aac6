// The memory of idempotency keys: what lives how long, what is loose, what sealing takes away, and
// that no step of the machine handles more keys than one file holds.
#include "coordinator/core/key_memory.h"

#include "coordinator/core/script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::coordinator {
namespace {

using enum protocol::ItemStatus;
using protocol::SettledKey;

SettledKey key_of(std::uint64_t number, bool committed = true) {
    SettledKey key;
    for (unsigned byte = 0; byte < 8; ++byte) {
        key.idempotency.key_hash[byte] = static_cast<std::uint8_t>(number >> (8 * byte));
    }
    key.idempotency.fingerprint.fill(9);
    key.position = {1, number};
    key.committed = committed;
    if (!committed) key.reason = "because";
    return key;
}

KeyMemory::Hash hash_of(std::uint64_t number) { return key_of(number).idempotency.key_hash; }

protocol::TxnId id_of(std::uint64_t number) {
    return protocol::make_txn_id({}, 1, number, {}, base::KeyedHash(base::HashKey{}));
}

TEST(KeyMemory, an_open_key_is_settled_once) {
    KeyMemory keys;
    keys.add(key_of(1).idempotency, id_of(1), false);
    EXPECT_FALSE(keys.find(hash_of(1))->settled);
    EXPECT_FALSE(keys.find(hash_of(1))->committed);
    keys.set_committed(hash_of(1));
    EXPECT_TRUE(keys.find(hash_of(1))->committed);
    EXPECT_EQ(keys.loose(), 0U) << "the decision has it";
    keys.settle(key_of(1), true);
    EXPECT_TRUE(keys.find(hash_of(1))->settled);
    EXPECT_EQ(keys.find(hash_of(1))->position, (protocol::IdPosition{1, 1}));
    EXPECT_EQ(keys.size(), 1U);
    EXPECT_EQ(keys.loose(), 1U);
    EXPECT_FALSE(keys.find(hash_of(2)).has_value());
    keys.erase(hash_of(1));
    EXPECT_EQ(keys.size(), 0U);
}

TEST(KeyMemory, aborts_are_found_by_their_id) {
    KeyMemory keys;
    keys.settle(key_of(4, false), true);
    ASSERT_NE(keys.abort_reason({1, 4}), nullptr);
    EXPECT_EQ(*keys.abort_reason({1, 4}), "because");
    EXPECT_EQ(keys.abort_reason({2, 4}), nullptr);
    EXPECT_EQ(keys.abort_reason({1, 4 + 4096}), nullptr);
    EXPECT_EQ(keys.loose_records(9)[0].keys, (std::vector{key_of(4, false)}));
}

TEST(KeyMemory, ids_of_other_logs_are_kept_whole) {
    KeyMemory keys;
    protocol::Incarnation other;
    other.bytes.fill(5);
    auto id = protocol::make_txn_id(other, 3, 8, {}, base::KeyedHash(base::HashKey{}));
    keys.add(key_of(1).idempotency, id, true);
    EXPECT_EQ(keys.find(hash_of(1))->foreign, id);
    keys.turn(1);
    keys.refresh(hash_of(1));
    EXPECT_EQ(keys.find(hash_of(1))->foreign, id);
    EXPECT_EQ(keys.find(hash_of(1))->generation, 1U);
}

TEST(KeyMemory, a_generation_goes_as_a_whole_after_four_more) {
    KeyMemory keys;
    keys.settle(key_of(1), true);
    keys.settle(key_of(2, false), true);
    keys.turn(1);
    keys.settle(key_of(3), true);
    keys.turn(4);
    EXPECT_EQ(keys.size(), 3U);
    keys.refresh(hash_of(2));
    keys.turn(5);
    EXPECT_FALSE(keys.find(hash_of(1)).has_value());
    EXPECT_TRUE(keys.find(hash_of(2)).has_value()) << "refreshed";
    EXPECT_NE(keys.abort_reason({1, 2}), nullptr);
    EXPECT_TRUE(keys.find(hash_of(3)).has_value());
    EXPECT_EQ(keys.loose_records(9).size(), 2U) << "what is gone is not written";
    keys.turn(9);
    EXPECT_EQ(keys.size(), 0U);
}

TEST(KeyMemory, a_generation_that_has_begun_drops_nothing_by_itself) {
    KeyMemory keys;
    keys.settle(key_of(1), true);
    keys.turn(4);
    keys.begin(5);
    keys.settle(key_of(2), true);
    EXPECT_TRUE(keys.find(hash_of(1)).has_value());
    EXPECT_EQ(keys.find(hash_of(2))->generation, 5U);
    keys.drop(5);
    EXPECT_FALSE(keys.find(hash_of(1)).has_value());
    EXPECT_EQ(keys.size(), 1U);
}

// On the disk a key lives no longer than in memory.
TEST(KeyMemory, keys_are_written_with_their_own_generation) {
    KeyMemory keys;
    keys.settle(key_of(1), true);
    keys.turn(2);
    keys.settle(key_of(2), true);
    keys.turn(3);
    for (std::uint64_t i = 3; i <= 70; ++i) keys.settle(key_of(i), true);
    keys.restore({1, {key_of(71), key_of(72)}}, true);
    std::vector<std::pair<std::uint32_t, std::size_t>> records;
    for (const auto& record : keys.loose_records(1'000)) {
        records.emplace_back(record.generation, record.keys.size());
    }
    std::vector<std::pair<std::uint32_t, std::size_t>> expected{
        {0, 1}, {2, 1}, {3, 64}, {3, 4}, {1, 2}};
    EXPECT_EQ(records, expected);
}

TEST(KeyMemory, a_key_that_is_used_again_counts_as_the_newer_one) {
    KeyMemory keys;
    keys.turn(6);
    SettledKey newer = key_of(1);
    newer.position = {2, 70};
    keys.restore({5, {newer}}, true);
    keys.restore({3, {key_of(1), key_of(2)}}, false);  // an older file
    EXPECT_EQ(keys.find(hash_of(1))->position, newer.position);
    EXPECT_EQ(keys.size(), 2U);
    EXPECT_EQ(keys.loose(), 1U);
    keys.restore({1, {key_of(3)}}, false);
    EXPECT_FALSE(keys.find(hash_of(3)).has_value()) << "its time is over";
}

TEST(KeyMemory, many_keys_cost_little_more_than_their_bytes) {
    KeyMemory keys;
    constexpr std::uint64_t kCount = 200'000;
    for (std::uint64_t i = 1; i <= kCount; ++i) {
        keys.settle(key_of(i), true);
        keys.forget_loose(1);
    }
    EXPECT_EQ(keys.size(), kCount);
    for (std::uint64_t i = 1; i <= kCount; i += 997) {
        ASSERT_EQ(keys.find(hash_of(i))->position.sequence, i);
    }
    EXPECT_LT(keys.reserved_bytes() / kCount, 64U);
}

TEST(KeyMemory, records_fit_into_the_smallest_segment) {
    KeyMemory keys;
    for (std::uint64_t i = 1; i <= 200; ++i) keys.settle(key_of(i), true);
    auto records = keys.loose_records(130);
    ASSERT_EQ(records.size(), 3U);
    EXPECT_EQ(records[2].keys.size(), 2U);
    for (const auto& record : records) {
        EXPECT_LE(protocol::encode_record(record).size(), 4096U - 64U - 4U);
    }
    EXPECT_EQ(records[0].keys[0], key_of(1)) << "oldest first";
    keys.forget_loose(130);
    EXPECT_EQ(keys.loose_records(1000)[0].keys[0], key_of(131));
}

// ---- the machine ----------------------------------------------------------------------

BeginOptions keyed(std::uint8_t key) {
    BeginOptions options;
    options.idempotency.emplace();
    options.idempotency->key_hash.fill(key);
    options.idempotency->fingerprint.fill(1);
    return options;
}

void commit_under(Script& s, std::uint8_t key) {
    s.when("work comes", s.submit({1, 2}, keyed(key)));
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed));
    s.when("committed", s.reply(2, committed));
}

template <class Record>
std::vector<Record> only(const std::vector<protocol::Record>& records) {
    std::vector<Record> out;
    for (const protocol::Record& record : records) {
        if (const auto* one = std::get_if<Record>(&record)) out.push_back(*one);
    }
    return out;
}

std::size_t loose_keys(const Machine& machine) {
    std::size_t count = 0;
    for (const auto& record : only<protocol::KeysRecord>(machine.checkpoint())) {
        count += record.keys.size();
    }
    return count;
}

const Seal* sealed_by(const Script& s) {
    for (const Effect& effect : s.effects) {
        if (const auto* seal = std::get_if<Seal>(&effect)) return seal;
    }
    return nullptr;
}

TEST(SealedKeys, leave_the_checkpoints_for_a_file) {
    Config config;
    config.keys_per_file = 3;
    Script s(2, config);
    for (std::uint8_t key = 1; key <= 2; ++key) commit_under(s, key);
    EXPECT_EQ(loose_keys(s.machine), 2U);
    commit_under(s, 3);
    const Seal* seal = sealed_by(s);
    ASSERT_NE(seal, nullptr);
    EXPECT_EQ(seal->file, first_sealed_file(1));
    ASSERT_EQ(only<protocol::KeysRecord>(seal->records).size(), 1U);
    EXPECT_EQ(only<protocol::KeysRecord>(seal->records)[0].keys.size(), 3U);
    EXPECT_EQ(loose_keys(s.machine), 0U);
    auto files = only<protocol::SealedRecord>(s.machine.checkpoint());
    ASSERT_EQ(files.size(), 1U);
    EXPECT_EQ(
        files[0],
        (protocol::SealedRecord{seal->file, 0, 3, protocol::content_checksum(seal->records)}));
    commit_under(s, 4);
    EXPECT_EQ(sealed_by(s), nullptr);
    EXPECT_EQ(loose_keys(s.machine), 1U) << "what is sealed is not written again";
    s.when("once more", s.submit({1, 2}, keyed(2))).expect({"answer 5 finished committed"});
}

// An abort under key 1 and the timer of its generation, the last one that was armed.
TimerId abort_under_key(Script& s) {
    s.when("work comes", s.submit({1, 2}, keyed(1)));
    TimerId timer = s.timers.back();
    s.when("no", s.reply(1, no, protocol::reason::kConstraint));
    s.when("durable", s.durable());
    s.when("aborted", s.reply(2, aborted));
    return timer;
}

TEST(SealedKeys, every_generation_has_its_own_file_and_takes_it_away) {
    Script s;
    TimerId timer = abort_under_key(s);
    for (std::uint32_t turn = 1; turn <= 4; ++turn) {
        s.when("a quarter of the lifetime", TimerFired{timer})
            .expect_one("force key turn " + std::to_string(turn));
        EXPECT_EQ(sealed_by(s) != nullptr, turn == 1);
        s.when("durable", s.durable()).quiet();
        timer = s.timers.back();
        auto files = only<protocol::SealedRecord>(s.machine.checkpoint());
        ASSERT_EQ(files.size(), 1U);
        EXPECT_EQ(files[0].keys, 1U);
    }
    s.when("the last quarter", TimerFired{timer}).expect({"force key turn 5"});
    s.when("durable", s.durable()).quiet();
    EXPECT_TRUE(only<protocol::SealedRecord>(s.machine.checkpoint()).empty());
}

// Until then the next start would know its abort, and a second use would be answered with it.
TEST(SealedKeys, a_key_is_free_when_the_end_of_its_time_is_durable) {
    Script s;
    TimerId timer = abort_under_key(s);
    for (std::uint32_t turn = 1; turn <= 4; ++turn) {
        s.when("a quarter of the lifetime", TimerFired{timer});
        s.when("durable", s.durable());
        timer = s.timers.back();
    }
    s.when("the last quarter", TimerFired{timer});
    Input turned = s.durable();
    s.when("the key comes", s.submit({1, 2}, keyed(1)))
        .expect({"answer 2 finished aborted (constraint_violation)"});
    s.when("it is over on the disk", turned).quiet();
    s.when("the key comes again", s.submit({1, 2}, keyed(1))).expect_one("append preparing t1.2");
}

// What settles while a turn is on its way to the disk comes after it in the log, and in memory.
TEST(SealedKeys, what_settles_during_a_turn_is_of_the_new_generation) {
    Script s;
    s.when("work comes", s.submit({1, 2}, keyed(1)));
    TimerId timer = s.timers.back();
    s.when("yes", s.reply(1, yes));
    s.when("yes", s.reply(2, yes));
    s.when("durable", s.decided());
    s.when("committed", s.reply(1, committed));
    s.when("a quarter of the lifetime", TimerFired{timer}).expect({"force key turn 1"});
    s.when("committed", s.reply(2, committed)).expect_one("append end t1.1 committed");
    auto records = only<protocol::KeysRecord>(s.machine.checkpoint());
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].generation, 1U);
}

TEST(SealedKeys, an_unfinished_commit_owns_its_key_whatever_else_is_known_of_it) {
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    auto id =
        protocol::make_txn_id(state.incarnation, 1, 9, {}, base::KeyedHash(state.epochs.at(1).key));
    SettledKey old = key_of(1, false);
    old.idempotency = *keyed(1).idempotency;
    state.keys.settle(old, true);
    UnfinishedGroup& group = state.unfinished_commits[id];
    group.decision.group = id;
    group.decision.members.push_back({id, keyed(1).idempotency, {}});
    protocol::BranchRecord branch;
    branch.branch = 1;
    branch.attempt = 1;
    branch.participant = protocol::ParticipantNumber(1);
    branch.uuid = participant_info(1).uuid;
    branch.identity = participant_info(1).identity;
    group.decision.branches.push_back(branch);
    Script s(std::move(state), {});
    s.when("the key comes", s.submit({1}, keyed(1))).quiet();
    s.when("committed", s.reply(1, committed)).expect_one("answer 1 finished committed");
    auto records = only<protocol::KeysRecord>(s.machine.checkpoint());
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].keys.back().position, id.position()) << "so the next start knows, too";
}

// What the loop does for a checkpoint does not depend on how many keys there are.
TEST(SealedKeys, a_checkpoint_does_not_grow_with_them) {
    for (std::uint64_t count : {std::uint64_t{20'000}, std::uint64_t{200'000}}) {
        RecoveredState state = first_start(2);
        constexpr std::uint64_t kPerFile = 8'192;
        for (std::uint64_t i = 1; i <= count; ++i) {
            state.keys.settle(key_of(i), true);
            if (i % kPerFile != 0) continue;
            state.keys.forget_loose(kPerFile);
            state.sealed[i] = {i, 0, kPerFile};
        }
        Machine machine({}, std::move(state));
        std::size_t bytes = 0;
        for (const auto& record : machine.checkpoint()) {
            bool is_reference = std::holds_alternative<protocol::SealedRecord>(record);
            if (!is_reference) bytes += protocol::encode_record(record).size();
        }
        EXPECT_LE(loose_keys(machine), kPerFile);
        EXPECT_LE(bytes, kPerFile * 50) << count << " keys";
    }
}

}  // namespace
}  // namespace twofold::coordinator
