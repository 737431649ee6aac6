// Differential test: the same random SQL on the same random schema, through the store and directly.
// A committed branch must leave exactly what the direct transaction leaves, rowids and
// AUTOINCREMENT counters included; an aborted one nothing.
#include "participant/sqlite/random_schema.h"
#include "participant/sqlite/test_store.h"

#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>

namespace twofold::participant::sqlite::test {
namespace {

using protocol::FinishStatus;
using protocol::WorkStatus;

struct Tally {
    int committed = 0;
    int aborted = 0;
    int refused = 0;
    int read_only = 0;
    int crashed = 0;
    int not_recordable = 0;
};

// What a transaction that SQLite runs itself does.
class Direct {
public:
    explicit Direct(const std::string& path) : plain_(path) {
        plain_.exec("PRAGMA foreign_keys = ON");
    }

    enum class End { ran, failed, orphans };

    // What ran is committed or rolled back as told.
    End run(const std::vector<std::string>& statements, bool keep) {
        plain_.exec("BEGIN");
        for (const std::string& sql : statements) {
            if (plain_.try_exec(sql).empty()) continue;
            return rollback(End::failed);
        }
        int open_keys = 0;
        int unused = 0;
        sqlite3_db_status(plain_.handle(), SQLITE_DBSTATUS_DEFERRED_FKS, &open_keys, &unused, 0);
        if (open_keys != 0) return rollback(End::failed);
        // Where parent and child have columns of different affinity ('5' and 5), SQLite does not
        // find all children of a key that moves, and leaves orphans. No basis for a comparison.
        if (!plain_.query("PRAGMA foreign_key_check").empty()) return rollback(End::orphans);
        if (!keep) return rollback(End::ran);
        plain_.exec("COMMIT");
        return End::ran;
    }
    std::string dump() { return plain_.dump(); }

private:
    End rollback(End end) {
        if (sqlite3_get_autocommit(plain_.handle()) == 0) plain_.exec("ROLLBACK");
        return end;
    }

    Plain plain_;
};

class RandomRun {
public:
    RandomRun(std::uint64_t seed, Tally& tally)
        : rng_(seed), tally_(tally), schema_(random_schema(rng_)), path_(folder_.file("0.db")) {
        make_database(path_, schema_.script);
        make_database(folder_.file("direct.db"), schema_.script);
        direct_ = std::make_unique<Direct>(folder_.file("direct.db"));
        store_ = open_store(path_);
        copy_guards();
    }

    void run(int cases) {
        for (int i = 0; i < cases && !::testing::Test::HasFailure(); ++i) one_case();
        if (::testing::Test::HasFailure()) ADD_FAILURE() << schema_.script;
    }

private:
    // A trigger changes what SQLite does in rare cases: with a BEFORE trigger it notices orphans
    // that INSERT OR REPLACE leaves in a table that refers to itself, and counts a reference of
    // another type (1 for '1') within one row as open. The guards are triggers, so both sides have
    // them.
    void copy_guards() {
        std::string guards = Plain(path_).query(
            "SELECT group_concat(sql, ';') FROM sqlite_schema WHERE name LIKE '\\_tc\\_guard%' "
            "ESCAPE '\\'");
        Plain direct(folder_.file("direct.db"));
        direct.exec("CREATE TABLE _tc_lock (x); " + guards.substr(1, guards.size() - 2));
    }

    // The files as a killed process leaves them, under another name.
    void crash() {
        ++tally_.crashed;
        std::string next = folder_.file(std::to_string(tally_.crashed) + "c.db");
        for (const char* suffix : {"", "-wal"}) {
            std::filesystem::copy_file(path_ + suffix, next + suffix);
        }
        store_.reset();
        path_ = next;
        store_ = open_store(path_);
    }

    void one_case() {
        ++sequence_;
        std::vector<std::string> statements;
        std::uint64_t count = 1 + rng_.below(4);
        for (std::uint64_t i = 0; i < count; ++i)
            statements.push_back(random_statement(rng_, schema_));
        bool keep = rng_.below(3) != 0;
        bool one_phase = rng_.below(5) == 0;
        if (one_phase) keep = true;
        Direct::End end = direct_->run(statements, keep);
        if (end == Direct::End::orphans) return;
        protocol::BranchWork work = sql_work(sequence_, statements);
        protocol::WorkResult result =
            one_phase ? store_->one_phase(work) : store_->execute_prepare(work);
        check(result, end == Direct::End::ran);
        if (::testing::Test::HasFailure()) {
            for (const std::string& sql : statements) ADD_FAILURE() << sql;
        }
        if (result.status == WorkStatus::prepared) finish(keep);
        Plain plain(path_);
        if (plain.dump() == direct_->dump()) return;
        ADD_FAILURE() << "stored:\n" << plain.dump() << "direct:\n" << direct_->dump();
        for (const std::string& sql : statements) ADD_FAILURE() << sql;
    }

    void check(const protocol::WorkResult& result, bool ran) {
        if (result.reason.code == protocol::reason::kNotRecordable) ++tally_.not_recordable;
        if (result.status == WorkStatus::refused) ++tally_.refused;
        if (result.status == WorkStatus::read_only) ++tally_.read_only;
        EXPECT_EQ(result.status != WorkStatus::refused, ran)
            << result.reason.code << ": " << result.reason.message;
    }

    void finish(bool keep) {
        if (rng_.below(4) == 0) crash();
        auto finished =
            keep ? store_->commit(finish_of(sequence_)) : store_->rollback(finish_of(sequence_));
        EXPECT_EQ(finished.status, keep ? FinishStatus::committed : FinishStatus::aborted)
            << finished.reason.message;
        ++(keep ? tally_.committed : tally_.aborted);
    }

    base::SeededRng rng_;
    Tally& tally_;
    TempFolder folder_;
    RandomSchema schema_;
    std::string path_;
    std::unique_ptr<Direct> direct_;
    std::unique_ptr<Store> store_;
    std::uint64_t sequence_ = 0;
};

// SQLITE_RANDOM_SEED and SQLITE_RANDOM_SCHEMAS in the environment look further.
TEST(RandomTest, BranchesDoWhatTheSameSqlDoesDirectly) {
    const char* seed_text = std::getenv("SQLITE_RANDOM_SEED");
    const char* count_text = std::getenv("SQLITE_RANDOM_SCHEMAS");
    std::uint64_t first = seed_text == nullptr ? 1 : std::strtoull(seed_text, nullptr, 10);
    std::uint64_t count = count_text == nullptr ? 100 : std::strtoull(count_text, nullptr, 10);
    Tally tally;
    for (std::uint64_t seed = first; seed < first + count; ++seed) {
        RandomRun(seed, tally).run(25);
        ASSERT_FALSE(HasFailure()) << "seed " << seed;
    }
    std::printf(
        "committed %d, aborted %d, refused %d, read-only %d, crashed %d, not recordable %d\n",
        tally.committed,
        tally.aborted,
        tally.refused,
        tally.read_only,
        tally.crashed,
        tally.not_recordable);
    EXPECT_GT(tally.committed, 0);
    EXPECT_EQ(tally.not_recordable, 0);
}

}  // namespace
}  // namespace twofold::participant::sqlite::test
