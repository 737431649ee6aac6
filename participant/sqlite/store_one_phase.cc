// A transaction of one branch: work and witness in one SQLite transaction. The witness is the
// outcome; whoever asks later finds it, or puts a tombstone in its place.
#include "base/crash_point.h"
#include "base/planted_bug.h"
#include "participant/sqlite/store_impl.h"

#include <sqlite3.h>

namespace twofold::participant::sqlite {

namespace reason = protocol::reason;
using protocol::WorkResult;
using protocol::WorkStatus;

WorkResult Store::Impl::one_phase(const protocol::BranchWork& work) {
    base::Result<void> begun = begin_operation();
    if (!begun.has_value()) return work_failed(begun.error(), false, false);
    if (!started_) {
        return refuse({std::string(reason::kNotReady), "the store has not started", -1, {}}, false);
    }
    if (session_.has_value()) return refuse(session_open(), false);
    ParsedWork parsed = parse_work(work.work, options_);
    if (!parsed.refusal.empty()) return refuse(std::move(parsed.refusal), false);
    statements_ = std::move(parsed.statements);
    begin_work(work);
    for (int attempt = 0; attempt < 3; ++attempt) {
        MaybeWork result = attempt_one_phase(work);
        w_->rollback();
        if (!result.has_value()) continue;
        end_work();
        return std::move(*result);
    }
    end_work();
    return refuse({std::string(reason::kLockTimeout), "the schema keeps changing", -1, {}}, false);
}

Store::Impl::MaybeWork Store::Impl::attempt_one_phase(const protocol::BranchWork& work) {
    bool repeat = false;
    MaybeWork answer = open_work(work, true, repeat);
    if (answer.has_value() || repeat) return answer;
    std::int64_t changes_before = sqlite3_total_changes64(w_->handle());
    RunOutcome outcome = run(work, false);
    if (!outcome.refusal.empty()) return refuse(std::move(outcome.refusal), outcome.executed);
    // Changes of virtual tables reach no hook, but they are counted.
    bool wrote = capture_->changes() > 0 || sqlite3_total_changes64(w_->handle()) != changes_before;
    if (!wrote) {
        WorkResult result = read_only(outcome);
        result.status = WorkStatus::committed;
        return result;
    }
    base::Result<void> witnessed = write_witness(work);
    if (!witnessed.has_value()) return work_failed(witnessed.error(), outcome.executed, false);
    end_work();  // from here on it cannot be cancelled
    TWOFOLD_CRASH_POINT(sqlite_before_one_phase_commit);
    base::Result<void> committed = commit_forced(*w_);
    if (!committed.has_value()) return work_failed(committed.error(), outcome.executed, true);
    TWOFOLD_CRASH_POINT(sqlite_after_one_phase);
    ++meta_.counter;
    ++counters.one_phase_commits;
    WorkResult result;
    result.status = WorkStatus::committed;
    result.proof = protocol::ProofToken{meta_.counter, {1, meta_.counter}, true};
    result.results = std::make_shared<const std::string>(std::move(outcome.results));
    return result;
}

base::Result<void> Store::Impl::write_witness(const protocol::BranchWork& work) {
    std::uint64_t counter = meta_.counter + 1;
    Witness witness{work.gid, Ended::committed, counter, work.idempotency, options_.wall_ms()};
    if (!TWOFOLD_PLANTED_BUG("sqlite.one_phase_without_witness")) {
        TWOFOLD_TRY(insert_witness(*w_, work.key, witness));
    }
    TWOFOLD_TRY(set_counter(*w_, counter));
    return prune_some(*w_);
}

}  // namespace twofold::participant::sqlite
