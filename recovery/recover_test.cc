// Recovery on a disk that forgets: every start gets a new epoch, what was read is durable again, a
// damaged record is refused.
#include "recovery/recover.h"

#include "base/rng.h"
#include "wal/memory_file.h"
#include "wal/sealed.h"

#include <gtest/gtest.h>

namespace twofold::recovery {
namespace {

RecoverOptions options_for(std::uint8_t start) {
    RecoverOptions options;
    options.writer.segment_size_bytes = 1U << 16U;
    options.writer.salt_seed = 7;
    options.incarnation_if_new.bytes.fill(start);
    options.key.fill(start);
    return options;
}

Recovered start(wal::MemoryDisk& disk, std::uint8_t number) {
    auto recovered = recover(disk.directory(), options_for(number));
    EXPECT_TRUE(recovered.has_value()) << recovered.error().text();
    return std::move(recovered).value();
}

void append(wal::Writer& writer, const protocol::Record& record) {
    writer.append(protocol::encode_record(record));
}

TEST(Recover, every_start_has_its_own_epoch_and_key_and_one_incarnation) {
    wal::MemoryDisk disk;
    protocol::Incarnation first;
    for (std::uint8_t i = 1; i <= 4; ++i) {
        Recovered recovered = start(disk, i);
        if (i == 1) first = recovered.state.incarnation;
        EXPECT_EQ(recovered.state.incarnation, first);
        EXPECT_EQ(recovered.state.epoch, i);
        EXPECT_EQ(recovered.writer->epoch(), i);
        ASSERT_EQ(recovered.state.epochs.size(), i);
        EXPECT_EQ(recovered.state.epochs.at(i).key[0], i);
        EXPECT_EQ(recovered.state.epochs.at(1).key[0], 1);
    }
}

TEST(Recover, what_was_forced_is_there_and_what_was_not_may_be_gone) {
    wal::MemoryDisk disk;
    protocol::ParticipantRecord one{protocol::ParticipantNumber(1), {}, "one", {"x", {"1"}}, false};
    {
        Recovered recovered = start(disk, 1);
        append(*recovered.writer, one);
        ASSERT_TRUE(recovered.writer->force().has_value());
        append(*recovered.writer, protocol::HorizonRecord{{1, 5}});
    }
    disk.crash([](const auto&) { return false; });
    Recovered recovered = start(disk, 2);
    EXPECT_EQ(recovered.state.participants.at(one.number), one);
    EXPECT_EQ(recovered.state.horizon, protocol::IdPosition{});
    disk.crash([](const auto&) { return false; });
    EXPECT_EQ(start(disk, 3).state.participants.at(one.number), one) << "durable again";
}

TEST(Recover, a_log_without_epochs_left_is_refused) {
    wal::MemoryDisk disk;
    {
        Recovered recovered = start(disk, 1);
        protocol::RestoreRecord accepted;
        accepted.accepted = true;
        accepted.epoch = 0xffffffff;
        append(*recovered.writer, accepted);
        ASSERT_TRUE(recovered.writer->force().has_value());
    }
    auto refused = recover(disk.directory(), options_for(2));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, base::Errc::corrupt);
}

TEST(Recover, an_accepted_log_goes_on_above_every_epoch_that_was_heard) {
    wal::MemoryDisk disk;
    {
        Recovered recovered = start(disk, 1);
        append(*recovered.writer,
               protocol::RestoreRecord{true, protocol::ParticipantNumber(1), 40, 9, "x", "y"});
        ASSERT_TRUE(recovered.writer->force().has_value());
    }
    Recovered above = start(disk, 2);
    EXPECT_EQ(above.state.epoch, 41U);
    EXPECT_EQ(above.writer->epoch(), 41U);
    ASSERT_TRUE(above.writer->force().has_value());
    above = {};
    EXPECT_EQ(start(disk, 3).state.epoch, 42U);
}

// ---- sealed keys ----------------------------------------------------------------------

protocol::SettledKey key_of(std::uint8_t number) {
    protocol::SettledKey key;
    key.idempotency.key_hash.fill(number);
    key.position = {1, number};
    key.committed = number % 2 == 0;
    if (!key.committed) key.reason = "because";
    return key;
}

// A forced abort, as a client hears it under its key, or a commit that has ended.
void append_key(wal::Writer& writer, const Recovered& recovered, std::uint8_t number) {
    protocol::SettledKey key = key_of(number);
    protocol::TxnId id = protocol::make_txn_id(recovered.state.incarnation,
                                               1,
                                               number,
                                               {},
                                               base::KeyedHash(recovered.state.epochs.at(1).key));
    if (key.committed) {
        protocol::DecisionRecord decision;
        decision.group = id;
        decision.members.push_back({id, key.idempotency, {}});
        append(writer, decision);
        append(writer, protocol::EndRecord{id, protocol::Outcome::committed});
    } else {
        append(writer, protocol::IdempotentAbortRecord{id, key.idempotency, key.reason});
    }
}

void expect_keys(const RecoveredState& state, std::uint8_t count) {
    EXPECT_EQ(state.keys.size(), count);
    for (std::uint8_t number = 1; number <= count; ++number) {
        auto known = state.keys.find(key_of(number).idempotency.key_hash);
        ASSERT_TRUE(known.has_value()) << int{number};
        EXPECT_TRUE(known->settled);
        EXPECT_EQ(known->committed, number % 2 == 0);
        EXPECT_EQ(known->position, key_of(number).position);
    }
}

std::vector<std::string> sealed_files(const wal::MemoryDisk& disk) {
    std::vector<std::string> names = disk.names();
    std::erase_if(names, [](const std::string& name) {
        return !name.starts_with("sealed-") || !name.ends_with(".wal");
    });
    return names;
}

// Eleven keys in the log of the first start; three to a file.
bool write_keys(wal::MemoryDisk& disk) {
    auto recovered = recover(disk.directory(), options_for(1));
    if (!recovered.has_value()) return false;
    for (std::uint8_t number = 1; number <= 11; ++number) {
        append_key(*recovered.value().writer, recovered.value(), number);
    }
    return recovered.value().writer->force().has_value();
}

base::Result<Recovered> start_sealing(wal::MemoryDisk& disk, std::uint8_t number) {
    RecoverOptions options = options_for(number);
    options.keys_per_file = 3;
    return recover(disk.directory(), options);
}

TEST(SealedKeys, a_start_seals_what_the_log_held_and_the_next_one_reads_it) {
    wal::MemoryDisk disk;
    ASSERT_TRUE(write_keys(disk));
    for (std::uint8_t number = 2; number <= 4; ++number) {
        auto recovered = start_sealing(disk, number);
        ASSERT_TRUE(recovered.has_value()) << recovered.error().text();
        expect_keys(recovered.value().state, 11);
        EXPECT_EQ(recovered.value().state.keys.loose(), 2U);
        EXPECT_EQ(recovered.value().state.sealed.size(), 3U);
        EXPECT_EQ(sealed_files(disk).size(), 3U) << "written once";
        disk.crash_losing_unforced();
    }
}

TEST(SealedKeys, a_power_loss_at_every_operation_of_a_start_loses_none) {
    std::uint64_t crashes = 0;
    base::SeededRng rng(5);
    for (int policy = 0; policy < 6; ++policy) {
        for (std::uint64_t n = 1;; ++n) {
            wal::MemoryDisk disk;
            ASSERT_TRUE(write_keys(disk));
            bool reached = false;
            disk.set_hook([count = std::uint64_t{0}, n, &reached](const auto&) mutable {
                if (++count != n) return wal::MemoryDisk::Fault::none;
                reached = true;
                return wal::MemoryDisk::Fault::power_cut;
            });
            (void)start_sealing(disk, 2).has_value();
            if (!reached) break;
            ++crashes;
            disk.set_hook(nullptr);
            disk.crash(
                [&](const auto&) { return policy == 1 || (policy > 1 && rng.below(2) == 0); });
            auto again = start_sealing(disk, 3);
            ASSERT_TRUE(again.has_value()) << again.error().text();
            expect_keys(again.value().state, 11);
            EXPECT_EQ(sealed_files(disk).size(), 3U) << "nothing is left behind";
        }
    }
    EXPECT_GT(crashes, 200U);
}

// The space of its checkpoint is there, that of a new file is not.
TEST(SealedKeys, a_start_on_a_full_disk_repeats_what_it_cannot_seal) {
    wal::MemoryDisk disk;
    ASSERT_TRUE(write_keys(disk));
    disk.set_hook([](const wal::MemoryDisk::Call& call) {
        bool is_new = call.operation == wal::MemoryDisk::Operation::create;
        return is_new ? wal::MemoryDisk::Fault::disk_full : wal::MemoryDisk::Fault::none;
    });
    for (std::uint8_t number = 2; number <= 3; ++number) {
        auto full = start_sealing(disk, number);
        ASSERT_TRUE(full.has_value()) << full.error().text();
        expect_keys(full.value().state, 11);
        EXPECT_EQ(full.value().state.keys.loose(), 11U);
    }
    disk.set_hook(nullptr);
    auto again = start_sealing(disk, 4);
    ASSERT_TRUE(again.has_value()) << again.error().text();
    expect_keys(again.value().state, 11);
    EXPECT_EQ(again.value().state.keys.loose(), 2U);
    EXPECT_EQ(sealed_files(disk).size(), 3U);
}

// A start dies with what it wrote in the page cache, and the power is lost in the next one. The
// generation of all files is over, so that neither's checkpoint names one of them.
TEST(SealedKeys, a_start_that_dies_and_a_power_loss_in_the_next_one_lose_no_file) {
    using Fault = wal::MemoryDisk::Fault;
    auto fault_at = [](std::uint64_t n, Fault fault, bool& reached) {
        reached = false;
        return [count = std::uint64_t{0}, n, fault, &reached](const auto&) mutable {
            if (++count != n) return Fault::none;
            reached = true;
            return fault;
        };
    };
    bool died = true;
    std::uint64_t crashes = 0;
    for (std::uint64_t dies = 1; died; ++dies) {
        bool cut = true;
        for (std::uint64_t n = 1; died && cut; ++n) {
            wal::MemoryDisk disk;
            ASSERT_TRUE(write_keys(disk));
            {
                auto recovered = start_sealing(disk, 2);
                ASSERT_TRUE(recovered.has_value());
                append(*recovered.value().writer, protocol::KeyTurnRecord{5});
                ASSERT_TRUE(recovered.value().writer->force().has_value());
            }
            disk.set_hook(fault_at(dies, Fault::io_error, died));
            (void)start_sealing(disk, 3).has_value();
            disk.set_hook(fault_at(n, Fault::power_cut, cut));
            (void)start_sealing(disk, 4).has_value();
            disk.set_hook(nullptr);
            disk.crash_losing_unforced();
            auto again = start_sealing(disk, 5);
            ASSERT_TRUE(again.has_value())
                << "dies at " << dies << ", cut " << n << ": " << again.error().text();
            EXPECT_EQ(again.value().state.keys.size(), 0U);
            EXPECT_TRUE(sealed_files(disk).empty());
            ++crashes;
        }
    }
    EXPECT_GT(crashes, 500U);
}

TEST(SealedKeys, a_missing_or_damaged_file_is_refused_by_its_name_and_changes_nothing) {
    wal::MemoryDisk disk;
    ASSERT_TRUE(write_keys(disk));
    ASSERT_TRUE(start_sealing(disk, 2).has_value());
    const std::string name = sealed_files(disk)[1];
    const base::Bytes good = disk.content(name);
    auto refused = [&] {
        auto names = disk.names();
        auto result = start_sealing(disk, 3);
        if (result.has_value()) return std::string("accepted");
        EXPECT_EQ(disk.names(), names);
        EXPECT_EQ(result.error().code, base::Errc::corrupt);
        return result.error().context;
    };
    disk.erase(name);
    EXPECT_NE(refused().find(name), std::string::npos);
    base::Bytes bad = good;
    bad[wal::kSegmentHeaderSizeBytes + 100] ^= 1U;
    disk.put(name, bad);
    EXPECT_NE(refused().find(name), std::string::npos);
    disk.put(name, disk.content(sealed_files(disk)[0]));
    EXPECT_NE(refused().find(name), std::string::npos);
    disk.put(name, good);
    EXPECT_EQ(refused(), "accepted");
}

// A log that was copied, and both copies were started: they have files of the same numbers, and
// perhaps with as many keys.
TEST(SealedKeys, a_file_of_another_copy_of_the_log_is_refused) {
    wal::MemoryDisk disk;
    ASSERT_TRUE(write_keys(disk));
    ASSERT_TRUE(start_sealing(disk, 2).has_value());
    const std::string name = sealed_files(disk)[2];
    wal::SealedFile file{.incarnation = options_for(1).incarnation_if_new.bytes,
                         .epoch = 2,
                         .number = coordinator::first_sealed_file(2) + 2,
                         .salt = 7};
    protocol::KeysRecord other{0, {key_of(20), key_of(21), key_of(22)}};
    disk.erase(name);
    std::vector<base::Bytes> content{protocol::encode_record(other)};
    ASSERT_TRUE(wal::write_sealed(disk.directory(), file, content).has_value());
    auto refused = start_sealing(disk, 3);
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().context.find(name + ": it holds something else"), std::string::npos)
        << refused.error().text();
}

TEST(SealedKeys, a_file_with_other_keys_than_its_record_says_is_refused) {
    Fold fold;
    ASSERT_TRUE(fold.apply(1, protocol::EpochRecord{{}, 1, {}}).has_value());
    ASSERT_TRUE(fold.apply(1, protocol::SealedRecord{7, 0, 2}).has_value());
    auto fewer =
        fold.apply_sealed(protocol::SealedRecord{7, 0, 2}, {protocol::KeysRecord{0, {key_of(1)}}});
    ASSERT_FALSE(fewer.has_value());
    EXPECT_NE(fewer.error().context.find("holds 1 keys, not 2"), std::string::npos);
    Fold other;
    auto record =
        other.apply_sealed(protocol::SealedRecord{7, 0, 1}, {protocol::HorizonRecord{{1, 5}}});
    ASSERT_FALSE(record.has_value());
    Fold unread;
    ASSERT_TRUE(unread.apply(1, protocol::SealedRecord{7, 0, 2}).has_value());
    protocol::EpochRecord epoch;
    epoch.epoch = 1;
    EXPECT_FALSE(std::move(unread).finish(epoch).has_value()) << "its file was not read";
}

// ---- sealed outcomes ------------------------------------------------------------------

constexpr std::uint64_t kCommits = 300;  // every 70th id: each is in a word of its own

protocol::TxnId commit_id(const Recovered& recovered, std::uint64_t number) {
    return protocol::make_txn_id(recovered.state.incarnation,
                                 1,
                                 number * 70,
                                 {},
                                 base::KeyedHash(recovered.state.epochs.at(1).key));
}

void append_commit(Recovered& recovered, std::uint64_t number) {
    protocol::DecisionRecord decision;
    decision.group = commit_id(recovered, number);
    append(*recovered.writer, decision);
    append(*recovered.writer, protocol::EndRecord{decision.group, protocol::Outcome::committed});
}

bool write_outcomes(wal::MemoryDisk& disk, std::uint64_t count) {
    auto recovered = recover(disk.directory(), options_for(1));
    if (!recovered.has_value()) return false;
    for (std::uint64_t i = 1; i <= count; ++i) append_commit(recovered.value(), i);
    return recovered.value().writer->force().has_value();
}

base::Result<Recovered> start_sealing_outcomes(wal::MemoryDisk& disk, std::uint8_t number) {
    RecoverOptions options = options_for(number);
    options.outcome_words_per_file = 80;
    return recover(disk.directory(), options);
}

void expect_outcomes(const RecoveredState& state, std::uint64_t count) {
    for (std::uint64_t sequence = 0; sequence < (count + 2) * 70; ++sequence) {
        bool is_one = sequence % 70 == 0 && sequence > 0 && sequence / 70 <= count;
        ASSERT_EQ(state.outcomes.is_committed({1, sequence}), is_one) << sequence;
    }
}

TEST(SealedOutcomes, a_start_seals_what_the_log_held_and_the_next_one_reads_it) {
    wal::MemoryDisk disk;
    ASSERT_TRUE(write_outcomes(disk, kCommits));
    std::vector<base::Bytes> contents;
    for (std::uint8_t number = 2; number <= 4; ++number) {
        auto recovered = start_sealing_outcomes(disk, number);
        ASSERT_TRUE(recovered.has_value()) << recovered.error().text();
        const RecoveredState& state = recovered.value().state;
        expect_outcomes(state, kCommits);
        EXPECT_EQ(state.outcomes.loose(), kCommits - 240) << "less than a file";
        ASSERT_EQ(state.sealed_outcomes.size(), 3U);
        EXPECT_EQ(state.sealed_outcomes.begin()->second.committed, 80U);
        EXPECT_EQ(state.sealed_outcomes.rbegin()->second.newest, (protocol::IdPosition{1, 16'800}));
        std::vector<base::Bytes> now;
        for (const std::string& name : sealed_files(disk)) now.push_back(disk.content(name));
        if (number > 2) EXPECT_EQ(now, contents) << "written once";
        contents = now;
        disk.crash_losing_unforced();
    }
}

TEST(SealedOutcomes, a_file_goes_when_the_horizon_has_passed_its_ids) {
    wal::MemoryDisk disk;
    ASSERT_TRUE(write_outcomes(disk, kCommits));
    {
        auto recovered = start_sealing_outcomes(disk, 2);
        ASSERT_TRUE(recovered.has_value());
        append(*recovered.value().writer, protocol::HorizonRecord{{1, 5'601}});
        ASSERT_TRUE(recovered.value().writer->force().has_value());
        EXPECT_EQ(sealed_files(disk).size(), 3U);
    }
    auto recovered = start_sealing_outcomes(disk, 3);
    ASSERT_TRUE(recovered.has_value()) << recovered.error().text();
    EXPECT_EQ(sealed_files(disk).size(), 2U);
    EXPECT_FALSE(recovered.value().state.outcomes.is_committed({1, 5'600}));
    EXPECT_TRUE(recovered.value().state.outcomes.is_committed({1, 5'670}));
}

TEST(SealedOutcomes, a_power_loss_at_every_operation_of_a_start_loses_none) {
    std::uint64_t crashes = 0;
    base::SeededRng rng(6);
    for (int policy = 0; policy < 6; ++policy) {
        for (std::uint64_t n = 1;; ++n) {
            wal::MemoryDisk disk;
            ASSERT_TRUE(write_outcomes(disk, 170));
            bool reached = false;
            disk.set_hook([count = std::uint64_t{0}, n, &reached](const auto&) mutable {
                if (++count != n) return wal::MemoryDisk::Fault::none;
                reached = true;
                return wal::MemoryDisk::Fault::power_cut;
            });
            (void)start_sealing_outcomes(disk, 2).has_value();
            if (!reached) break;
            ++crashes;
            disk.set_hook(nullptr);
            disk.crash(
                [&](const auto&) { return policy == 1 || (policy > 1 && rng.below(2) == 0); });
            auto again = start_sealing_outcomes(disk, 3);
            ASSERT_TRUE(again.has_value()) << again.error().text();
            expect_outcomes(again.value().state, 170);
            EXPECT_EQ(sealed_files(disk).size(), 2U) << "nothing is left behind";
        }
    }
    EXPECT_GT(crashes, 150U);
}

TEST(SealedOutcomes, a_missing_or_damaged_file_is_refused_by_its_name_and_changes_nothing) {
    wal::MemoryDisk disk;
    ASSERT_TRUE(write_outcomes(disk, kCommits));
    ASSERT_TRUE(start_sealing_outcomes(disk, 2).has_value());
    const std::string name = sealed_files(disk)[1];
    const base::Bytes good = disk.content(name);
    auto refused = [&] {
        auto names = disk.names();
        auto result = start_sealing_outcomes(disk, 3);
        if (result.has_value()) return std::string("accepted");
        EXPECT_EQ(disk.names(), names);
        EXPECT_EQ(result.error().code, base::Errc::corrupt);
        return result.error().context;
    };
    disk.erase(name);
    EXPECT_NE(refused().find(name), std::string::npos);
    base::Bytes bad = good;
    bad[wal::kSegmentHeaderSizeBytes + 100] ^= 1U;
    disk.put(name, bad);
    EXPECT_NE(refused().find(name), std::string::npos);
    disk.put(name, disk.content(sealed_files(disk)[0]));
    EXPECT_NE(refused().find(name), std::string::npos);
    disk.put(name, good);
    EXPECT_EQ(refused(), "accepted");
}

TEST(SealedOutcomes, a_file_with_others_than_its_record_says_is_refused) {
    auto refused = [](const protocol::SealedOutcomesRecord& file, const protocol::Record& content) {
        Fold fold;
        EXPECT_TRUE(fold.apply(1, file).has_value());
        return !fold.apply_sealed(file, {content}).has_value();
    };
    protocol::OutcomesRecord two{1, 64, {0x81}};
    EXPECT_FALSE(refused({7, {1, 71}, 2}, two));
    EXPECT_TRUE(refused({7, {1, 71}, 3}, two));
    EXPECT_TRUE(refused({7, {1, 72}, 2}, two));
    EXPECT_TRUE(refused({7, {1, 71}, 2}, protocol::KeysRecord{0, {}}));
    EXPECT_TRUE(refused({7, {1, 71}, 2}, protocol::HorizonRecord{{1, 5}}));
    Fold fold;
    protocol::Record none = protocol::HorizonRecord{{1, 5}};
    EXPECT_FALSE(fold.apply_sealed(none, {two}).has_value()) << "it refers to nothing";
}

// A log of before there were files: all outcomes stand in its checkpoint.
TEST(SealedOutcomes, a_checkpoint_that_has_them_all_is_read_and_sealed) {
    wal::MemoryDisk disk;
    {
        Recovered recovered = start(disk, 1);
        for (std::uint64_t first = 0; first < 640'000; first += 64'000) {
            append(*recovered.writer, protocol::OutcomesRecord{1, first, base::Bytes(8'000, 0xff)});
        }
        ASSERT_TRUE(recovered.writer->force().has_value());
    }
    for (std::uint8_t number = 2; number <= 3; ++number) {
        Recovered recovered = start(disk, number);
        EXPECT_EQ(recovered.state.sealed_outcomes.size(), 1U);
        EXPECT_EQ(recovered.state.outcomes.loose(), 10'000U - 8'192U);
        for (std::uint64_t sequence : {1U, 524'287U, 524'288U, 639'999U}) {
            EXPECT_TRUE(recovered.state.outcomes.is_committed({1, sequence})) << sequence;
        }
        EXPECT_FALSE(recovered.state.outcomes.is_committed({1, 640'000}));
    }
}

TEST(Recover, a_record_that_is_none_is_refused_by_its_number) {
    wal::MemoryDisk disk;
    std::uint64_t lsn = 0;
    {
        Recovered recovered = start(disk, 1);
        lsn = recovered.writer->append(base::Bytes{99, 1, 2, 3});
        ASSERT_TRUE(recovered.writer->force().has_value());
    }
    auto refused = recover(disk.directory(), options_for(2));
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().context.find("log record " + std::to_string(lsn)), std::string::npos)
        << refused.error().text();
}

}  // namespace
}  // namespace twofold::recovery
