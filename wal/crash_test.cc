// A power loss at every single operation of a script that covers starts, forces, segment changes,
// spares that are made in steps, checkpoints, removal, heartbeats and a clean shutdown. What was
// not forced survives entirely, not at all, or as a pseudo-random subset of sectors and directory
// changes. Required each time: the log is accepted, holds everything acknowledged and nothing that
// was not appended, and so again after the next start and the next.
#include "wal/test_log.h"

namespace twofold::wal {
namespace {

bool changes_the_disk(MemoryDisk::Operation operation) {
    using Operation = MemoryDisk::Operation;
    return operation == Operation::create || operation == Operation::rename ||
           operation == Operation::remove || operation == Operation::force_directory ||
           operation == Operation::write || operation == Operation::force;
}

// Cuts the power during the n-th change from now on. `reached` tells whether there was one.
void cut_power_at(MemoryDisk& disk, std::uint64_t n, bool& reached) {
    auto count = std::make_shared<std::uint64_t>(0);
    reached = false;
    disk.set_hook([count, n, &reached](const MemoryDisk::Call& call) {
        if (!changes_the_disk(call.operation) || ++*count != n) return MemoryDisk::Fault::none;
        reached = true;
        return MemoryDisk::Fault::power_cut;
    });
}

bool run_script(TestLog& log) {
    if (!log.open() || !log.add() || !log.add(700)) return false;
    log.append(1500);
    log.append(3000);
    log.append(4000);  // more than one batch
    if (!log.force() || !log.heartbeat() || !log.add(6000) || !log.add()) return false;
    if (!log.checkpoint() || !log.add() || !log.add(5000) || !log.add()) return false;
    if (!log.checkpoint() || !log.close_clean()) return false;
    if (!log.open() || !log.add(2000) || !log.heartbeat() || !log.add()) return false;
    // Spares in steps, one finished, one given up by a checkpoint or left behind.
    for (int i = 0; i < 7; ++i) {
        if (!log.add() || !log.maintain()) return false;
    }
    return log.checkpoint() && log.add(6000) && log.maintain() && log.maintain();
}

struct Policy {
    std::string name;
    bool power_loss = true;
    MemoryDisk::Survives survives;
};

Policy random_policy(std::uint64_t seed) {
    auto rng = std::make_shared<base::SeededRng>(seed);
    auto per_mille = static_cast<std::uint32_t>(rng->between(50, 950));
    return {.name = "random " + std::to_string(seed),
            .power_loss = true,
            .survives = [rng, per_mille](const MemoryDisk::Unforced&) {
                return rng->chance_per_mille(per_mille);
            }};
}

std::vector<Policy> policies(std::uint64_t n, std::uint64_t random_ones) {
    std::vector<Policy> all;
    all.push_back({"all lost", true, [](const MemoryDisk::Unforced&) { return false; }});
    all.push_back({"all kept", true, [](const MemoryDisk::Unforced&) { return true; }});
    all.push_back({"only writes kept", true, [](const MemoryDisk::Unforced& lost) {
                       return !lost.is_directory_change;
                   }});
    all.push_back({"only names kept", true, [](const MemoryDisk::Unforced& lost) {
                       return lost.is_directory_change;
                   }});
    for (std::uint64_t i = 0; i < random_ones; ++i) all.push_back(random_policy(n * 1000 + i + 1));
    return all;
}

// Opens what the crash left, checks it, and leaves the log running.
void expect_sound(TestLog& log, const Records& acknowledged, const Records& attempted) {
    ASSERT_TRUE(log.open()) << log.error;
    ASSERT_TRUE(is_prefix(acknowledged, log.attempted)) << "an acknowledged record was lost";
    ASSERT_TRUE(is_prefix(log.attempted, attempted)) << "a record appeared from nowhere";
}

std::uint64_t cases = 0;

void crash_once(std::uint64_t n, const Policy& policy, std::uint64_t second_crash, bool& reached) {
    SCOPED_TRACE("crash " + std::to_string(n) + ", " + policy.name + ", second crash " +
                 std::to_string(second_crash));
    ++cases;
    MemoryDisk disk;
    TestLog log(disk.directory());
    cut_power_at(disk, n, reached);
    bool finished = run_script(log);
    // A cut during the write of a mark ends no script: marks may fail.
    ASSERT_TRUE(finished || reached) << log.error;
    log.die();
    disk.set_hook(nullptr);
    disk.crash(policy.survives);
    Records acknowledged = log.acknowledged;
    Records attempted = log.attempted;
    if (second_crash != 0) {
        // The recovery itself dies. It appends nothing, so the same must hold afterwards.
        bool second_reached = false;
        cut_power_at(disk, second_crash, second_reached);
        static_cast<void>(log.open());
        log.die();
        disk.set_hook(nullptr);
        disk.crash(policy.survives);
        // A completed start has acknowledged what it read.
        if (!second_reached) acknowledged = log.acknowledged;
    }
    expect_sound(log, acknowledged, attempted);
    if (testing::Test::HasFatalFailure()) return;
    // The second healthy restart after a torn tail.
    ASSERT_TRUE(log.add()) << log.error;
    acknowledged = log.acknowledged;
    disk.crash_losing_unforced();
    expect_sound(log, acknowledged, acknowledged);
}

TEST(Crash, power_loss_at_every_operation) {
    bool reached = true;
    std::uint64_t n = 1;
    for (; reached; ++n) {
        for (const Policy& policy : policies(n, 12)) {
            crash_once(n, policy, 0, reached);
            if (HasFatalFailure()) return;
        }
    }
    RecordProperty("operations", std::to_string(n));
    RecordProperty("cases", std::to_string(cases));
    std::printf("operations %lu, cases %lu\n", n, cases);
}

TEST(Crash, power_loss_at_every_operation_of_the_recovery_too) {
    bool reached = true;
    for (std::uint64_t n = 1; reached; n += 5) {
        for (std::uint64_t second = 1; second <= 24; ++second) {
            for (const Policy& policy : policies(n * 31 + second, 1)) {
                crash_once(n, policy, second, reached);
                if (HasFatalFailure()) return;
            }
        }
    }
    std::printf("cases %lu\n", cases);
}

// The death of the process alone keeps the page cache; the power fails during the next start, when
// things that were read may not be on the medium.
TEST(Crash, process_death_then_power_loss_in_the_next_start) {
    bool reached = true;
    std::uint64_t runs = 0;
    for (std::uint64_t n = 1; reached; n += 5) {
        for (std::uint64_t second = 1; second <= 24; ++second) {
            for (const Policy& policy : policies(n * 77 + second, 1)) {
                SCOPED_TRACE("death " + std::to_string(n) + ", power loss " +
                             std::to_string(second) + ", " + policy.name);
                ++runs;
                MemoryDisk disk;
                TestLog log(disk.directory());
                std::uint64_t count = 0;
                reached = false;
                disk.set_hook([&](const MemoryDisk::Call& call) {
                    if (changes_the_disk(call.operation)) ++count;
                    if (count < n) return MemoryDisk::Fault::none;
                    reached = true;
                    return MemoryDisk::Fault::io_error;
                });
                static_cast<void>(run_script(log));
                log.die();
                Records acknowledged = log.acknowledged;
                Records attempted = log.attempted;
                bool second_reached = false;
                cut_power_at(disk, second, second_reached);
                bool opened = log.open();
                log.die();
                if (opened) acknowledged = log.acknowledged;
                disk.set_hook(nullptr);
                disk.crash(policy.survives);
                expect_sound(log, acknowledged, attempted);
                if (HasFatalFailure()) return;
            }
        }
    }
    std::printf("cases %lu\n", runs);
}

}  // namespace
}  // namespace twofold::wal
