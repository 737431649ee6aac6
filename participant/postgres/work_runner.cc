#include "participant/postgres/work_runner.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "participant/postgres/admin.h"
#include "participant/postgres/key_owner.h"

#include <algorithm>
#include <utility>

namespace twofold::participant::postgres {

namespace {

namespace reason = protocol::reason;
using base::Result;
using protocol::Reason;
using protocol::WorkResult;
using protocol::WorkStatus;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

protocol::JsonText json_text(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
}

milliseconds left_until(steady_clock::time_point until) {
    auto left = std::chrono::duration_cast<milliseconds>(until - steady_clock::now());
    return std::max(left, milliseconds(1));
}

}  // namespace

// ---- running
// -------------------------------------------------------------------------------------

void WorkRunner::execute(protocol::BranchWork work,
                         bool one_phase,
                         ResourcePort::WorkCallback done) {
    auto run = std::make_shared<Run>(context_.loop, std::move(work), one_phase);
    run->done = std::move(done);
    bool fresh = runs_.emplace(run->work.key, run).second;
    if (!fresh) {
        WorkResult result;
        result.status = WorkStatus::refused;
        result.executed = false;
        result.reason = make_reason(reason::kProtocolViolation, "this branch is running already");
        return run->done(std::move(result));
    }
    if (context_.fenced) {
        return refuse(
            run, make_reason(reason::kStaleParticipantEpoch, context_.fenced_text), false);
    }
    if (!parse(run)) return;
    milliseconds limit = context_.options.limits.branch;
    if (run->work.deadline_ms != 0) limit = milliseconds(run->work.deadline_ms);
    run->until = steady_clock::now() + limit;
    run->ticket = work_.acquire(
        limit, [this, run](const Result<SessionPtr>& session) { on_session(run, session); });
}

bool WorkRunner::parse(const RunPtr& run) {
    ParsedWork parsed = parse_work(run->work.work, context_.options);
    if (!parsed.refusal.empty()) {
        refuse(run, std::move(parsed.refusal), false);
        return false;
    }
    run->statements = std::move(parsed.statements);
    return true;
}

void WorkRunner::on_session(const RunPtr& run, const Result<SessionPtr>& session) {
    if (!session.has_value()) {
        std::string_view code = reason::kUnavailable;
        if (context_.fenced) code = reason::kStaleParticipantEpoch;
        if (session.error().code == base::Errc::timed_out) code = reason::kDeadline;
        return refuse(run, make_reason(code, session.error().context), false);
    }
    run->session = session.value();
    run->backend = run->session->backend;
    if (run->part != ScriptPart::whole) return send_part(run, ScriptPart::first_execute);
    run->script = make_script(
        context_, {run->work, run->statements, run->one_phase}, run->session->cleanliness);
    Exchange exchange;
    exchange.statements = std::move(run->script.statements);
    arm_probe(run);
    if (run->one_phase) {
        TWOFOLD_CRASH_POINT(pg_before_one_phase);
    } else {
        TWOFOLD_CRASH_POINT(pg_before_prepare);
    }
    send(run, std::move(exchange), [this, run](Reply reply) { on_reply(run, std::move(reply)); });
}

void WorkRunner::send(const RunPtr& run, Exchange exchange, Connection::ReplyCallback on_reply) {
    exchange.limit = left_until(run->until);
    exchange.rows_max = context_.options.limits.rows_max;
    exchange.bytes_max = context_.options.limits.result_bytes_max;
    // The session must live until its exchange is over, whoever forgets the run.
    run->session->connection.run(
        std::move(exchange), [session = run->session, on_reply = std::move(on_reply)](Reply reply) {
            on_reply(std::move(reply));
        });
}

void WorkRunner::on_reply(const RunPtr& run, Reply reply) {
    if (!run->done) return;  // answered by stop()
    Verdict verdict = judge(run->script, run->statements, context_.options.limits, reply);
    if (verdict.finding == Finding::lost) return on_lost(run, std::move(verdict), reply.loss);
    if (verdict.finding == Finding::proceed) {
        bool is_interactive = run->part != ScriptPart::whole;
        return is_interactive ? answer_executed(run, reply) : send_end(run, std::move(reply));
    }
    on_judged(run, std::move(verdict));
}

void WorkRunner::send_end(const RunPtr& run, Reply rest) {
    Exchange exchange;
    exchange.statements.push_back(end_statement());
    auto kept = std::make_shared<Reply>(std::move(rest));
    send(run, std::move(exchange), [this, run, kept](Reply end) {
        if (!run->done) return;
        Reply reply = joined(std::move(*kept), std::move(end));
        Verdict verdict = judge(run->script, run->statements, context_.options.limits, reply);
        if (verdict.finding == Finding::lost) return on_lost(run, std::move(verdict), reply.loss);
        on_judged(run, std::move(verdict));
    });
}

void WorkRunner::on_judged(const RunPtr& run, Verdict verdict) {
    run->probe.cancel();
    run->key_free = verdict.key_free;
    switch (verdict.finding) {
        case Finding::prepared: TWOFOLD_CRASH_POINT(pg_after_prepare); break;
        case Finding::committed: TWOFOLD_CRASH_POINT(pg_after_one_phase); break;
        case Finding::examine: return examine(run, verdict.reason);
        default: break;
    }
    give_back(run, verdict.after);
    WorkResult result;
    result.executed = verdict.executed;
    result.reason = std::move(verdict.reason);
    switch (verdict.finding) {
        case Finding::prepared:
            result.status = WorkStatus::prepared;
            ++context_.counters.prepares;
            break;
        case Finding::committed:
            result.status = WorkStatus::committed;
            result.recorded = verdict.recorded;
            ++context_.counters.one_phase_commits;
            if (!verdict.replicated) note_not_replicated(*run, result.reason);
            break;
        case Finding::read_only:
            result.status = WorkStatus::read_only;
            ++context_.counters.read_only;
            break;
        case Finding::undo: return undo(run, result.reason, verdict.proof);
        case Finding::duplicate: return answer_unknown(run, std::move(result.reason), true);
        case Finding::key_taken: run->settling = true; return answer_from_key(run, result.reason);
        default: return refuse(run, std::move(result.reason), result.executed);
    }
    if (verdict.proof.has_value() && verdict.recorded) {
        result.proof = verdict.proof;
        if (verdict.replicated) context_.note_position(verdict.proof->position);
    }
    // An interactive branch's results were answered call by call.
    if (run->part == ScriptPart::whole) result.results = json_text(std::move(verdict.results));
    answer(run, std::move(result));
}

void WorkRunner::on_lost(const RunPtr& run, Verdict verdict, Loss loss) {
    run->probe.cancel();
    if (loss == Loss::timed_out && run->given_up.empty()) {
        run->given_up = make_reason(reason::kDeadline, "the branch: " + verdict.reason.message);
    }
    if (!run->given_up.empty()) return examine(run, run->given_up);
    answer_unknown(run, std::move(verdict.reason), false);
}

void WorkRunner::give_up(const RunPtr& run, Reason why) {
    if (run->settling || !run->given_up.empty() || run->session == nullptr) return;
    run->given_up = std::move(why);
    // Its reply comes inside of this call, as a loss.
    run->session->connection.close();
}

// ---- waiting for a standby
// -----------------------------------------------------------------------

void WorkRunner::arm_probe(const RunPtr& run) {
    std::weak_ptr<Run> weak = run;
    run->probe.start(context_.options.limits.standby_wait, [this, weak] {
        if (RunPtr alive = weak.lock()) probe(alive);
    });
}

void WorkRunner::probe(const RunPtr& run) {
    Statement statement{
        "SELECT FROM pg_catalog.pg_stat_activity a WHERE a.pid = $1::int AND " +
            std::string(kStartedUs) + " = $2::bigint AND a.wait_event = 'SyncRep'",
        {{std::to_string(run->backend.pid)}, {std::to_string(run->backend.started_us)}}};
    std::weak_ptr<Run> weak = run;
    admin_.run(
        {std::move(statement)}, context_.options.limits.admin, [this, weak](const Reply& reply) {
            RunPtr alive = weak.lock();
            if (alive == nullptr || alive->settling || !alive->done) return;
            if (!reply.ok() || reply.results[0].tag != "SELECT 1") return arm_probe(alive);
            give_up(alive,
                    make_reason(
                        reason::kNotReplicated,
                        "no synchronous standby has confirmed the branch in time; is the standby "
                        "that synchronous_standby_names demands running?"));
        });
}

// ---- afterwards
// ----------------------------------------------------------------------------------

void WorkRunner::undo(const RunPtr& run,
                      const Reason& why,
                      const std::optional<protocol::ProofToken>& proof) {
    run->settling = true;
    ++context_.counters.rolled_back_after_prepare;
    if (why.code == reason::kNotReplicated) ++context_.counters.not_replicated;
    finisher_.rollback_until_gone(
        {run->work.key, run->work.gid, proof}, [this, run, why](protocol::FinishResult result) {
            using protocol::FinishStatus;
            if (result.status == FinishStatus::aborted || result.status == FinishStatus::not_found)
                return refuse(run, why, true);
            if (result.status == FinishStatus::committed) {
                // Somebody was faster, by hand, and committed what must not be.
                WorkResult committed;
                committed.status = WorkStatus::committed;
                committed.reason = std::move(result.reason);
                return answer(run, std::move(committed));
            }
            Reason text = why;
            text.message += "; rolling it back: " + result.reason.message;
            answer_unknown(run, std::move(text), true);
        });
}

void WorkRunner::examine(const RunPtr& run, const Reason& why) {
    run->settling = true;
    give_back(run, Cleanliness::broken);
    end_backend(context_, admin_, run->backend, [this, run, why](const Result<void>& ended) {
        if (!ended.has_value()) {
            Reason text = why;
            text.message += "; " + ended.error().context;
            return answer_unknown(run, std::move(text), false);
        }
        if (run->one_phase) return look_for_witness(run, why);
        look_for_prepared(run, why);
    });
}

void WorkRunner::look_for_prepared(const RunPtr& run, const Reason& why) {
    Statement statement{
        "SELECT p.gid FROM pg_catalog.pg_prepared_xacts p "
        "WHERE p.gid = $1 AND p.database = pg_catalog.current_database()",
        {{run->work.gid}}};
    admin_.run({std::move(statement)},
               context_.options.limits.admin,
               [this, run, why](const Reply& reply) {
                   if (!reply.ok()) return answer_unknown(run, why, true);
                   if (!reply.results[0].rows.empty()) return undo(run, why, {});
                   refuse(run, why, true);
               });
}

void WorkRunner::look_for_witness(const RunPtr& run, const Reason& why) {
    Statement statement{
        "SELECT w.outcome, pg_catalog.current_setting('synchronous_standby_names') <> '' "
        "FROM twofold.witness w WHERE w.gid = $1",
        {{run->work.gid}}};
    admin_.run({std::move(statement)},
               context_.options.limits.admin,
               [this, run, why](const Reply& reply) {
                   if (!reply.ok()) return answer_unknown(run, why, true);
                   if (reply.results[0].text(0, 0) != "committed") return refuse(run, why, true);
                   WorkResult result;
                   result.status = WorkStatus::committed;
                   if (reply.results[0].text(0, 1) == "t") {
                       // Its session was ended, perhaps while it waited for a standby.
                       result.reason =
                           make_reason(reason::kNotReplicated,
                                       "committed here, but a synchronous standby may not have "
                                       "confirmed it: a failover may lose it");
                       note_not_replicated(*run, result.reason);
                   }
                   answer(run, std::move(result));
               });
}

void WorkRunner::note_not_replicated(const Run& run, const Reason& why) {
    ++context_.counters.not_replicated;
    base::log_event(base::LogLevel::warning,
                    "postgres_commit_not_replicated",
                    why.message,
                    {{"gid", run.work.gid}});
}

// The idempotency key's work is committed already, or this gid has an outcome already: that is the
// answer. Our own work is rolled back.
void WorkRunner::answer_from_key(const RunPtr& run, const Reason& why) {
    Statement own{"SELECT w.outcome FROM twofold.witness w WHERE w.gid = $1",
                  {{run->work.gid, 25}}};
    admin_.run(
        {std::move(own), key_owner_statement(run->work.idempotency)},
        context_.options.limits.admin,
        [this, run, why](const Reply& reply) {
            if (!reply.ok()) return answer_unknown(run, why, true);
            std::string own_outcome = reply.results[0].text(0, 0);
            KeyOwner owner = read_key_owner(reply.results[1]);
            auto committed = [&](const std::optional<protocol::TxnId>& original) {
                finisher_.confirm_replicated(run->work.gid, [this, run, original](Reason unproven) {
                    if (!run->done) return;  // answered by stop()
                    WorkResult result;
                    result.status = WorkStatus::committed;
                    result.reason = std::move(unproven);
                    result.original = original;
                    result.executed = !original;
                    answer(run, std::move(result));
                });
            };
            if (own_outcome == "committed") return committed(std::nullopt);
            if (own_outcome == "aborted") {
                return refuse(
                    run, make_reason(reason::kAfterAbort, "this branch was aborted before"), true);
            }
            if (owner.is_other_request) return refuse(run, key_conflict_reason(), false);
            if (!owner.txn) return answer_unknown(run, why, true);  // it went just now
            committed(owner.txn);
        });
}

// ---- cancel
// --------------------------------------------------------------------------------------

void WorkRunner::cancel(const protocol::BranchKey& key, ResourcePort::DoneCallback done) {
    if (auto found = runs_.find(key); found != runs_.end()) {
        RunPtr run = found->second;
        run->cancellers.push_back(std::move(done));
        Reason why = make_reason(reason::kBranchLost, "the branch was cancelled");
        if (run->session == nullptr && !run->settling) {
            pool_of(*run).withdraw(run->ticket);
            return refuse(run, std::move(why), false);
        }
        if (!run->done && !run->settling) return end_idle(run);
        if (!run->done) return;
        return give_up(run, std::move(why));
    }
    auto orphan = orphans_.find(key);
    if (orphan == orphans_.end()) return done(base::ok());
    end_backend(context_, admin_, orphan->second, [this, key, done](const Result<void>& ended) {
        if (ended.has_value()) orphans_.erase(key);
        done(ended);
    });
}

void WorkRunner::forget() {
    for (const auto& [key, run] : runs_) {
        run->done = nullptr;
        run->cancellers.clear();
    }
}

void WorkRunner::stop() {
    std::map<protocol::BranchKey, RunPtr> runs = runs_;
    for (const auto& [key, run] : runs) {
        answer_unknown(
            run, make_reason(reason::kUnavailable, "the participant is stopping"), false);
    }
}

// ---- answers
// -------------------------------------------------------------------------------------

void WorkRunner::give_back(const RunPtr& run, Cleanliness cleanliness) {
    SessionPtr session = std::exchange(run->session, nullptr);
    if (session == nullptr) return;
    session->cleanliness = cleanliness;
    pool_of(*run).release(session);
}

void WorkRunner::refuse(const RunPtr& run, Reason why, bool executed) {
    ++context_.counters.refused;
    if (why.code == reason::kOnePhaseUnavailable) context_.has_foreign_servers = true;
    WorkResult result;
    result.status = WorkStatus::refused;
    result.executed = executed;
    result.reason = std::move(why);
    result.key_free = run->key_free;
    answer(run, std::move(result));
}

void WorkRunner::answer_unknown(const RunPtr& run, Reason why, bool session_gone) {
    ++context_.counters.unknown;
    if (!session_gone && run->backend.pid != 0) orphans_[run->work.key] = run->backend;
    WorkResult result;
    result.status = WorkStatus::unknown;
    result.reason = std::move(why);
    answer(run, std::move(result));
}

void WorkRunner::answer(const RunPtr& run, WorkResult result) {
    if (!run->done) return;
    // Taken out first: giving back a session that still runs brings its reply inside of the call.
    auto done = std::exchange(run->done, nullptr);
    run->probe.cancel();
    give_back(run, Cleanliness::broken);
    runs_.erase(run->work.key);
    bool session_gone = !orphans_.contains(run->work.key);
    auto cancellers = std::exchange(run->cancellers, {});
    done(std::move(result));
    tell(cancellers, session_gone);
}

void WorkRunner::tell(std::vector<ResourcePort::DoneCallback>& cancellers, bool session_gone) {
    for (auto& canceller : cancellers) {
        if (session_gone) {
            canceller(base::ok());
        } else {
            canceller(
                base::fail(base::Errc::unavailable, "the branch's session could not be ended"));
        }
    }
}

}  // namespace twofold::participant::postgres
