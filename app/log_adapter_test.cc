// The log adapter over a real writer on the in-memory disk: group commit, order, a full disk.
#include "app/log_adapter.h"

#include "wal/memory_file.h"
#include "wal/reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace twofold::app {
namespace {

using protocol::HorizonRecord;
using protocol::Record;

Record numbered(std::uint64_t number) { return HorizonRecord{{1, number}}; }

class LogAdapterTest : public ::testing::Test {
protected:
    void open() {
        wal::WriterOptions options;
        options.segment_size_bytes = 64U << 10U;
        auto summary = wal::read_log(disk_.directory(), [](const wal::RecoveredRecord&) {});
        ASSERT_TRUE(summary.has_value()) << summary.error().text();
        auto writer =
            wal::Writer::start(disk_.directory(), summary.value(), options, wal::Incarnation{}, {});
        ASSERT_TRUE(writer.has_value()) << writer.error().text();
        LogAdapterOptions adapter;
        adapter.idle_after = std::chrono::milliseconds(20);
        adapter.checkpoint_bytes = checkpoint_bytes_;
        log_ = std::make_unique<LogAdapter>(
            loop_, std::move(writer.value()), adapter, [this](std::chrono::nanoseconds) {
                ++forced_;
            });
    }
    bool run(const std::function<bool()>& done) {
        return loop_.run_until(done, std::chrono::seconds(10));
    }
    std::vector<std::uint64_t> numbers_on_disk() {
        std::vector<std::uint64_t> numbers;
        auto summary =
            wal::read_log(disk_.directory(), [&numbers](const wal::RecoveredRecord& record) {
                auto decoded = protocol::decode_record(record.payload);
                if (!decoded.has_value()) return;
                if (auto* mark = std::get_if<HorizonRecord>(&decoded.value())) {
                    numbers.push_back(mark->horizon.sequence);
                }
            });
        EXPECT_TRUE(summary.has_value());
        return numbers;
    }

    wal::MemoryDisk disk_;
    async::EventLoop loop_;
    std::unique_ptr<LogAdapter> log_;
    int forced_ = 0;
    std::uint64_t checkpoint_bytes_ = 64U << 20U;
};

TEST_F(LogAdapterTest, WhatWasAppendedBeforeAForceIsDurableWhenItAnswers) {
    open();
    bool durable = false;
    log_->append(numbered(1));
    log_->append(numbered(2));
    log_->force([&] { durable = true; });
    ASSERT_TRUE(run([&] { return durable; }));
    EXPECT_EQ(log_->durable_position(), 2U);
    EXPECT_EQ(numbers_on_disk(), (std::vector<std::uint64_t>{1, 2}));
}

TEST_F(LogAdapterTest, ForcesThatComeTogetherShareOne) {
    open();
    int durable = 0;
    std::vector<int> order;
    for (int i = 0; i < 100; ++i) {
        log_->append(numbered(static_cast<std::uint64_t>(i)));
        log_->force([&, i] {
            order.push_back(i);
            ++durable;
        });
    }
    ASSERT_TRUE(run([&] { return durable == 100; }));
    // The first went alone, the other 99 waited for it and shared the second.
    EXPECT_EQ(log_->figures().forces, 2U);
    EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST_F(LogAdapterTest, AnIdleLogWritesWhatIsPending) {
    open();
    log_->append(numbered(7));
    ASSERT_TRUE(run([&] { return log_->figures().idle_forces > 0 && forced_ > 0; }));
    EXPECT_EQ(numbers_on_disk(), (std::vector<std::uint64_t>{7}));
    EXPECT_EQ(log_->figures().forces, 0U) << "nobody waited";
}

TEST_F(LogAdapterTest, NoForceMakesASegmentInSteadyLoad) {
    open();
    for (std::uint64_t i = 0; log_->figures().writer.segments_begun < 8; ++i) {
        bool durable = false;
        log_->append(numbered(i));
        log_->force([&] { durable = true; });
        ASSERT_TRUE(run([&] { return durable; }));
    }
    EXPECT_EQ(log_->figures().writer.segments_made_in_force, 0U);
    EXPECT_GT(log_->figures().writer.segments_created, 8U);
}

TEST_F(LogAdapterTest, ACheckpointReplacesWhatCameBefore) {
    open();
    log_->append(numbered(1));
    bool done = false;
    log_->checkpoint({numbered(50)}, [&] { done = true; });
    ASSERT_TRUE(run([&] { return done; }));
    bool durable = false;
    log_->append(numbered(51));
    log_->force([&] { durable = true; });
    ASSERT_TRUE(run([&] { return durable; }));
    EXPECT_EQ(numbers_on_disk(), (std::vector<std::uint64_t>{50, 51}));
}

// A file is there before the checkpoint that names it, and goes with the first one that does not.
// One that comes while a checkpoint is under way is not known to that one, and stays.
TEST_F(LogAdapterTest, SealedFilesComeAndGoInOrderWithTheCheckpoints) {
    open();
    auto file = [](std::uint64_t number) { return protocol::SealedRecord{number, 0, 1}; };
    auto is_there = [this](std::uint64_t number) {
        std::string digits = std::to_string(number);
        return disk_.has("sealed-" + std::string(20 - digits.size(), '0') + digits + ".wal");
    };
    int done = 0;
    log_->seal(1, {numbered(1)});
    log_->checkpoint({file(1)}, [&] { ++done; });
    log_->seal(2, {numbered(2)});
    ASSERT_TRUE(run([&] { return done == 1; }));
    log_->checkpoint({file(1), file(2)}, [&] { ++done; });
    ASSERT_TRUE(run([&] { return done == 2; }));
    EXPECT_TRUE(is_there(1));
    EXPECT_TRUE(is_there(2));
    EXPECT_EQ(log_->figures().writer.sealed_files, 2U);
    log_->checkpoint({file(2)}, [&] { ++done; });
    ASSERT_TRUE(run([&] { return done == 3; }));
    EXPECT_FALSE(is_there(1));
    EXPECT_TRUE(is_there(2));
}

// Otherwise a state that is larger than the limit would be written again and again.
TEST_F(LogAdapterTest, TheNextCheckpointWaitsForAsMuchLogAsTheLastOneHad) {
    checkpoint_bytes_ = 10'000;
    open();
    auto write = [&](std::uint64_t bytes) {
        std::uint64_t before = log_->figures().live_bytes;
        while (log_->figures().live_bytes < before + bytes) {
            bool durable = false;
            log_->append(numbered(1));
            log_->force([&] { durable = true; });
            ASSERT_TRUE(run([&] { return durable; }));
        }
    };
    EXPECT_FALSE(log_->wants_checkpoint());
    write(20'000);
    EXPECT_TRUE(log_->wants_checkpoint());
    std::vector<Record> state(4'000, numbered(50));
    bool done = false;
    log_->checkpoint(state, [&] { done = true; });
    ASSERT_TRUE(run([&] { return done; }));
    std::uint64_t size = log_->figures().live_bytes;
    ASSERT_GT(size, 20'000U);
    EXPECT_FALSE(log_->wants_checkpoint());
    write(size / 2);
    EXPECT_FALSE(log_->wants_checkpoint());
    write(size);
    EXPECT_TRUE(log_->wants_checkpoint());
}

TEST_F(LogAdapterTest, CloseLeavesACleanLog) {
    open();
    log_->append(numbered(3));
    bool closed = false;
    log_->close([&] { closed = true; });
    ASSERT_TRUE(run([&] { return closed; }));
    auto summary = wal::read_log(disk_.directory(), [](const wal::RecoveredRecord&) {});
    ASSERT_TRUE(summary.has_value());
    EXPECT_TRUE(summary.value().clean_shutdown);
}

TEST_F(LogAdapterTest, CloseWritesWhatWaitsForTheNextForce) {
    open();
    bool second = false;
    log_->append(numbered(1));
    log_->force([] {});
    log_->append(numbered(2));
    log_->force([&] { second = true; });  // waits for the first one
    bool closed = false;
    log_->close([&] { closed = true; });
    ASSERT_TRUE(run([&] { return closed; }));
    for (int i = 0; i < 20; ++i) loop_.poll();
    EXPECT_FALSE(second) << "who closed the log does not want to hear of it any more";
    EXPECT_EQ(log_->figures().forces, 1U) << "nothing is forced behind the end";
    log_ = nullptr;
    EXPECT_EQ(numbers_on_disk(), (std::vector<std::uint64_t>{1, 2}));
    auto summary = wal::read_log(disk_.directory(), [](const wal::RecoveredRecord&) {});
    ASSERT_TRUE(summary.has_value());
    EXPECT_TRUE(summary.value().clean_shutdown);
}

}  // namespace
}  // namespace twofold::app
