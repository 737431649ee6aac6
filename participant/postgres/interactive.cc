// Interactive branches: the session stays with its branch from the first call to PREPARE or the
// end. Between two calls nothing runs, and the run has no callback. What breaks the session in that
// time is noticed at the next call: nothing of the branch can have survived it, because PREPARE was
// not sent.
#include "base/crash_point.h"
#include "participant/postgres/admin.h"
#include "participant/postgres/work_runner.h"

#include <algorithm>
#include <span>
#include <utility>

namespace twofold::participant::postgres {

namespace {

namespace reason = protocol::reason;
using base::Result;
using protocol::WorkResult;
using protocol::WorkStatus;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::string_view kLost = "the branch's database session was lost between two calls";

WorkResult lost_result() {
    WorkResult result;
    result.status = WorkStatus::refused;
    result.reason = make_reason(reason::kBranchLost, std::string(kLost));
    return result;
}

protocol::Reason no_session(const PostgresOptions& options, milliseconds waited) {
    return make_reason(reason::kLockTimeout,
                       "no database session was free within the lock timeout of " +
                           std::to_string(waited.count()) +
                           " ms: " + std::to_string(options.interactive_connections) +
                           " interactive branches are open (interactive_connections)");
}

}  // namespace

void WorkRunner::execute_part(protocol::BranchWork work,
                              std::uint32_t sequence,
                              ResourcePort::WorkCallback done) {
    milliseconds limit = context_.options.limits.branch;
    if (work.deadline_ms != 0) limit = milliseconds(work.deadline_ms);
    if (sequence != 1) {
        RunPtr run = find_idle(work.key, done);
        if (run == nullptr) return;
        run->done = std::move(done);
        run->until = steady_clock::now() + limit;
        run->work.work = std::move(work.work);
        if (parse(run)) send_part(run, ScriptPart::next_execute);
        return;
    }
    auto run = std::make_shared<Run>(context_.loop, std::move(work), false);
    run->part = ScriptPart::first_execute;
    run->done = std::move(done);
    run->until = steady_clock::now() + limit;
    runs_[run->work.key] = run;
    if (!parse(run)) return;
    // Others keep their sessions while they wait for something, ours perhaps: like a lock, and so
    // ended like one.
    milliseconds patience(run->work.options.lock_timeout_ms);
    if (patience.count() == 0) patience = context_.options.limits.lock_timeout;
    run->ticket = interactive_.acquire(
        std::min(limit, patience),
        [this, run, patience, ends_first = limit <= patience](const Result<SessionPtr>& session) {
            bool is_late = !session.has_value() && session.error().code == base::Errc::timed_out;
            if (is_late && !ends_first) {
                return refuse(run, no_session(context_.options, patience), false);
            }
            on_session(run, session);
        });
}

void WorkRunner::prepare_executed(const protocol::BranchKey& key, ResourcePort::WorkCallback done) {
    RunPtr run = find_idle(key, done);
    if (run == nullptr) return;
    run->done = std::move(done);
    run->until = steady_clock::now() + context_.options.limits.branch;
    run->statements.clear();
    arm_probe(run);
    send_part(run, ScriptPart::prepare);
}

// The branch's session, when it still lives. Otherwise `done` was called.
WorkRunner::RunPtr WorkRunner::find_idle(const protocol::BranchKey& key,
                                         const ResourcePort::WorkCallback& done) {
    auto found = runs_.find(key);
    RunPtr run = found == runs_.end() ? nullptr : found->second;
    bool is_idle = run != nullptr && !run->done && !run->settling && run->session != nullptr;
    if (is_idle && run->session->connection.is_open()) return run;
    if (is_idle) {
        give_back(run, Cleanliness::broken);
        runs_.erase(key);
    }
    ++context_.counters.refused;
    done(lost_result());
    return nullptr;
}

void WorkRunner::send_part(const RunPtr& run, ScriptPart part) {
    run->part = part;
    run->script =
        make_script(context_, {run->work, run->statements, false, part}, run->session->cleanliness);
    Exchange exchange;
    exchange.statements = std::move(run->script.statements);
    if (part == ScriptPart::prepare) {
        TWOFOLD_CRASH_POINT(pg_before_prepare);
    } else {
        TWOFOLD_CRASH_POINT(pg_before_execute);
    }
    send(run, std::move(exchange), [this, run](Reply reply) { on_reply(run, std::move(reply)); });
}

// The session stays open. What its transaction has done is answered, but is no vote.
void WorkRunner::answer_executed(const RunPtr& run, const Reply& reply) {
    TWOFOLD_CRASH_POINT(part_during_work);
    WorkResult result;
    result.status = WorkStatus::prepared;
    result.results = std::make_shared<const std::string>(
        results_json(std::span(reply.results).subspan(run->script.work, run->script.work_count)));
    auto done = std::exchange(run->done, nullptr);
    done(std::move(result));
}

// ---- cancel
// --------------------------------------------------------------------------------------

// A rollback is enough as long as the server answers; otherwise its backend is ended.
void WorkRunner::end_idle(const RunPtr& run) {
    run->settling = true;
    if (!run->session->connection.is_open()) return end_idle_backend(run);
    Exchange exchange;
    exchange.statements = cleaning_statements(Cleanliness::failed);
    exchange.limit = context_.options.limits.admin;
    run->session->connection.run(std::move(exchange),
                                 [this, run, session = run->session](const Reply& reply) {
                                     if (!reply.ok()) return end_idle_backend(run);
                                     on_idle_ended(run, true);
                                 });
}

void WorkRunner::end_idle_backend(const RunPtr& run) {
    give_back(run, Cleanliness::broken);
    end_backend(context_, admin_, run->backend, [this, run](const Result<void>& ended) {
        if (!ended.has_value()) orphans_[run->work.key] = run->backend;
        on_idle_ended(run, false);
    });
}

void WorkRunner::on_idle_ended(const RunPtr& run, bool is_clean) {
    if (is_clean) give_back(run, Cleanliness::clean);
    runs_.erase(run->work.key);
    auto cancellers = std::exchange(run->cancellers, {});
    tell(cancellers, !orphans_.contains(run->work.key));
}

}  // namespace twofold::participant::postgres
