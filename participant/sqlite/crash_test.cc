// Real processes, really killed: at every crash point, and at random moments. What a kill cannot
// show is a missing force (the page cache survives it); commit_error_test.cc and the simulator look
// at that.
#include "base/crash_point.h"
#include "base/rng.h"
#include "participant/sqlite/test_store.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <set>

namespace twofold::participant::sqlite::test {
namespace {

using protocol::FinishStatus;

constexpr const char* kBank =
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));"
    "CREATE TABLE entries (txn INTEGER, account INTEGER, amount INTEGER, PRIMARY KEY (txn, "
    "account))"
    " WITHOUT ROWID;"
    "INSERT INTO accounts VALUES (1, 100000), (2, 100000), (3, 100000), (4, 100000)";

// Moves money and writes it down, so that a lost, doubled or half branch shows.
std::vector<std::string> transfer(std::uint64_t sequence) {
    std::string n = std::to_string(sequence);
    std::string from = std::to_string(1 + sequence % 4);
    std::string to = std::to_string(1 + (sequence + 1) % 4);
    return {"UPDATE accounts SET balance = balance - 3 WHERE id = " + from,
            "UPDATE accounts SET balance = balance + 3 WHERE id = " + to,
            "INSERT INTO entries VALUES (" + n + ", " + from + ", -3), (" + n + ", " + to + ", 3)"};
}

// Checks the books, and returns the transactions that are in them.
std::set<std::uint64_t> booked(const std::string& path) {
    Plain plain(path);
    EXPECT_EQ(plain.query("SELECT sum(balance) FROM accounts"), "400000");
    EXPECT_EQ(plain.query("SELECT a.id FROM accounts a WHERE balance <> 100000 + (SELECT"
                          " coalesce(sum(amount), 0) FROM entries WHERE account = a.id)"),
              "");
    EXPECT_EQ(plain.query("PRAGMA integrity_check"), "'ok'");
    std::set<std::uint64_t> found;
    std::string rows = plain.query("SELECT DISTINCT txn FROM entries");
    for (const char* at = rows.c_str(); *at != '\0';) {
        char* end = nullptr;
        found.insert(std::strtoull(at, &end, 10));
        at = *end == '\0' ? end : end + 1;
    }
    return found;
}

// A new process, because a crash point is armed once in the life of a process.
int run_child(const std::string& path, const std::string& crash_point) {
    return in_child([&] {
        setenv("TWOFOLD_TEST_DATABASE", path.c_str(), 1);
        setenv("TWOFOLD_CRASH_AT", crash_point.c_str(), 1);
        int silent = ::open("/dev/null", O_WRONLY);
        dup2(silent, STDOUT_FILENO);
        execl("/proc/self/exe",
              "test",
              "--gtest_also_run_disabled_tests",
              "--gtest_filter=CrashChild.DISABLED_PreparesAndCommits",
              nullptr);
    });
}

TEST(CrashChild, DISABLED_PreparesAndCommits) {
    const char* path = std::getenv("TWOFOLD_TEST_DATABASE");
    ASSERT_NE(path, nullptr);
    auto store = open_store(path);
    prepare(*store, 1, transfer(1));
    commit(*store, 1);
}

enum class Left { nothing, prepared, committed };

struct CrashRow {
    const char* point;
    Left left;
};

const CrashRow kRows[] = {
    {"part_during_work", Left::nothing},
    {"part_during_work:3", Left::nothing},
    {"sqlite_after_rehearsal", Left::nothing},
    {"sqlite_before_prepare_commit", Left::nothing},
    {"sqlite_after_prepare", Left::prepared},
    {"sqlite_before_commit", Left::prepared},
    {"sqlite_after_commit", Left::committed},
};

FinishStatus expected(Left left, bool commit_it) {
    switch (left) {
        case Left::nothing: return commit_it ? FinishStatus::hazard : FinishStatus::not_found;
        case Left::prepared: return commit_it ? FinishStatus::committed : FinishStatus::aborted;
        case Left::committed: return FinishStatus::committed;
    }
    return FinishStatus::unknown;
}

TEST(CrashTest, EveryPointAndBothEnds) {
    if (base::crash_points().empty()) GTEST_SKIP() << "built without crash points";
    for (const CrashRow& row : kRows) {
        for (bool commit_it : {true, false}) {
            SCOPED_TRACE(std::string(row.point) + (commit_it ? ", commit" : ", rollback"));
            TempFolder folder;
            std::string path = folder.file("a.db");
            make_database(path, kBank);
            int status = run_child(path, row.point);
            ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
            if (row.left == Left::prepared) {
                EXPECT_NE(Plain(path).try_exec("DELETE FROM accounts"), "") << "guards hold";
            }
            auto store = open_store(path);
            EXPECT_EQ(store->list().value().size(), row.left == Left::prepared ? 1U : 0U);
            FinishStatus end = expected(row.left, commit_it);
            for (int repeat = 0; repeat < 2; ++repeat) {
                auto result =
                    commit_it ? store->commit(finish_of(1)) : store->rollback(finish_of(1));
                if (repeat == 1 && end == FinishStatus::not_found) end = FinishStatus::aborted;
                EXPECT_EQ(result.status, end) << result.reason.message;
            }
            EXPECT_EQ(booked(path).contains(1), end == FinishStatus::committed);
            EXPECT_EQ(store->list().value().size(), 0U);
            prepare(*store, 2, transfer(2));
            commit(*store, 2);
        }
    }
}

// What the child has been told: 'p' prepared, 'c' committed, 'a' aborted.
struct Acknowledged {
    char what;
    std::uint64_t sequence;
};

[[noreturn]] void work_until_killed(const std::string& path, std::uint64_t first, int pipe) {
    auto store = open_store(path);
    for (std::uint64_t sequence = first;; ++sequence) {
        auto tell = [&](char what) {
            Acknowledged line{what, sequence};
            if (write(pipe, &line, sizeof(line)) != sizeof(line)) _exit(1);
        };
        if (store->execute_prepare(sql_work(sequence, transfer(sequence))).status !=
            protocol::WorkStatus::prepared) {
            _exit(2);
        }
        tell('p');
        bool abort = sequence % 5 == 0;
        auto end =
            abort ? store->rollback(finish_of(sequence)) : store->commit(finish_of(sequence));
        if (end.status != (abort ? FinishStatus::aborted : FinishStatus::committed)) _exit(3);
        tell(abort ? 'a' : 'c');
    }
}

class Ledger {
public:
    void read_all(int pipe) {
        Acknowledged line{};
        while (read(pipe, &line, sizeof(line)) == sizeof(line)) {
            last = line.sequence;
            if (line.what == 'p') in_doubt.insert(line.sequence);
            if (line.what != 'p') in_doubt.erase(line.sequence);
            if (line.what == 'c') committed.insert(line.sequence);
            if (line.what == 'a') aborted.insert(line.sequence);
        }
    }

    std::uint64_t last = 0;
    std::set<std::uint64_t> in_doubt;
    std::set<std::uint64_t> committed;
    std::set<std::uint64_t> aborted;
};

TEST(CrashTest, RandomKills) {
    base::SeededRng rng(20);
    TempFolder folder;
    std::string path = folder.file("a.db");
    make_database(path, kBank);
    Ledger ledger;
    std::size_t found_prepared = 0;
    for (int cycle = 0; cycle < 60 && !HasFailure(); ++cycle) {
        std::array<int, 2> pipe{};
        ASSERT_EQ(::pipe(pipe.data()), 0);
        std::uint64_t first = ledger.last + 2;  // the one after `last` may have begun
        pid_t child = fork();
        if (child == 0) work_until_killed(path, first, pipe[1]);
        close(pipe[1]);
        usleep(static_cast<useconds_t>(2'000 + rng.below(20'000)));
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
        ledger.last = std::max(ledger.last, first);
        ledger.read_all(pipe[0]);
        close(pipe[0]);
        // The coordinator: commits what it has a yes for, aborts the rest.
        auto store = open_store(path);
        auto listed = store->list();
        for (const protocol::PreparedBranch& branch : listed.value()) {
            ++found_prepared;
            std::uint64_t sequence = branch.key.group.sequence();
            bool keep = ledger.in_doubt.contains(sequence) && sequence % 5 != 0;
            auto end =
                keep ? store->commit(finish_of(sequence)) : store->rollback(finish_of(sequence));
            EXPECT_EQ(end.status, keep ? FinishStatus::committed : FinishStatus::aborted);
            (keep ? ledger.committed : ledger.aborted).insert(sequence);
            ledger.in_doubt.erase(sequence);
        }
        // A yes that is not listed any more had reached its end, and the answer was lost.
        for (std::uint64_t sequence : ledger.in_doubt) {
            auto end = sequence % 5 == 0 ? store->rollback(finish_of(sequence))
                                         : store->commit(finish_of(sequence));
            bool committed = end.status == FinishStatus::committed;
            EXPECT_EQ(committed, sequence % 5 != 0) << sequence;
            (committed ? ledger.committed : ledger.aborted).insert(sequence);
        }
        ledger.in_doubt.clear();
        EXPECT_EQ(booked(path), ledger.committed);
    }
    EXPECT_GT(ledger.committed.size(), 20U);
    EXPECT_GT(found_prepared, 0U);
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
