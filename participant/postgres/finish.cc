#include "participant/postgres/finish.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "base/planted_bug.h"
#include "participant/postgres/admin.h"
#include "participant/postgres/error_class.h"
#include "participant/postgres/key_owner.h"
#include "participant/postgres/script.h"

#include <algorithm>
#include <utility>

namespace twofold::participant::postgres {

namespace {

namespace reason = protocol::reason;
using base::log_event;
using base::LogLevel;
using protocol::FinishResult;
using protocol::FinishStatus;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::string_view kWarning = "01000";
constexpr milliseconds kSettleLockWait{2'000};
constexpr milliseconds kFirstPause{10};
constexpr milliseconds kLongestPause{500};

FinishResult unknown(std::string_view code, std::string text) {
    return {FinishStatus::unknown, make_reason(code, std::move(text))};
}

FinishResult unknown_after(const Reply& reply) {
    std::string sqlstate = reply.sqlstate();
    std::string_view code = reason::kUnavailable;
    std::string text = reply.problem();
    if (sqlstate == "42501") {
        code = reason::kNotAllowed;
        text = "another role prepared this branch: " + text;
    } else if (sqlstate == "0A000") {
        code = reason::kIdentityMismatch;
        text = "this branch was prepared in another database of the server: " + text;
    }
    FinishResult result = unknown(code, std::move(text));
    result.reason.sqlstate = std::move(sqlstate);
    return result;
}

bool has_warning(const Reply& reply) {
    return std::ranges::any_of(reply.notices,
                               [](const Notice& notice) { return notice.sqlstate == kWarning; });
}

bool is_gone(const Reply& reply) {
    return reply.loss == Loss::none && error_class(reply.sqlstate()).at_finish == Meaning::gone;
}

// One rollback at a time until the gid is gone or the limit has passed.
class RollbackLoop : public std::enable_shared_from_this<RollbackLoop> {
public:
    RollbackLoop(Context& context,
                 Finisher& finisher,
                 protocol::FinishRequest request,
                 Finisher::Callback done)
        : context_(context),
          finisher_(finisher),
          request_(std::move(request)),
          done_(std::move(done)),
          until_(steady_clock::now() + context.options.limits.finish),
          timer_(context.loop) {}

    void go() {
        finisher_.rollback(request_, [self = shared_from_this()](FinishResult result) {
            self->on_result(std::move(result));
        });
    }

private:
    void on_result(FinishResult result) {
        bool again = result.status == FinishStatus::unknown && !context_.stopping &&
                     steady_clock::now() < until_;
        if (!again) return done_(std::move(result));
        timer_.start(pause_, [self = shared_from_this(), alive = std::weak_ptr(context_.alive)] {
            if (!alive.expired()) self->go();
        });
        pause_ = std::min(pause_ * 2, kLongestPause);
    }

    Context& context_;
    Finisher& finisher_;
    protocol::FinishRequest request_;
    Finisher::Callback done_;
    steady_clock::time_point until_;
    async::Timer timer_;
    milliseconds pause_ = kFirstPause;
};

}  // namespace

// ---- commit
// --------------------------------------------------------------------------------------

void Finisher::commit(protocol::FinishRequest request, Callback done) {
    std::vector<Statement> statements = {{"COMMIT PREPARED " + quoted_gid(request.gid)}};
    TWOFOLD_CRASH_POINT(pg_before_commit_prepared);
    finish_.run(std::move(statements),
                context_.options.limits.finish,
                [this, request = std::move(request), done = std::move(done)](const Reply& reply) {
                    on_commit_reply(request, reply, done);
                });
}

void Finisher::on_commit_reply(const protocol::FinishRequest& request,
                               const Reply& reply,
                               const Callback& done) {
    if (is_gone(reply) && TWOFOLD_PLANTED_BUG("postgres.missing_is_committed")) {
        return done({FinishStatus::committed, {}});
    }
    if (is_gone(reply)) return ask_proof(request, &prove_commit, done);
    if (!reply.ok()) return done(unknown_after(reply));
    if (reply.results[0].tag != "COMMIT PREPARED") {
        return done(unknown(reason::kProtocolViolation,
                            "COMMIT PREPARED was answered with " + reply.results[0].tag));
    }
    TWOFOLD_CRASH_POINT(pg_after_commit_prepared);
    ++context_.counters.commits;
    FinishResult result{FinishStatus::committed, {}};
    if (has_warning(reply)) {
        ++context_.counters.not_replicated;
        result.reason = make_reason(
            reason::kNotReplicated,
            "committed here, but no synchronous standby has confirmed it: a failover may lose it");
        log_event(LogLevel::warning,
                  "postgres_commit_not_replicated",
                  result.reason.message,
                  {{"gid", request.gid}});
    } else if (request.proof.has_value()) {
        context_.note_position(request.proof->position);
    }
    done(std::move(result));
}

void Finisher::ask_proof(const protocol::FinishRequest& request,
                         Prove prove,
                         const Callback& done) {
    ++context_.counters.proofs_asked;
    finish_.run(
        evidence_statements(request),
        context_.options.limits.finish,
        [this, request, prove, done](const Reply& reply) {
            std::optional<Evidence> evidence = read_evidence(reply);
            if (!evidence.has_value()) {
                return done(unknown(
                    reason::kUnavailable,
                    "the branch is gone, and its end could not be asked for: " + reply.problem()));
            }
            FinishResult result = prove(request, *evidence);
            if (result.status == FinishStatus::hazard) ++context_.counters.hazards;
            if (!result.reason.empty()) {
                log_event(LogLevel::warning,
                          "postgres_branch_gone",
                          result.reason.message,
                          {{"gid", request.gid}});
            }
            done(std::move(result));
        });
}

// ---- rollback
// ------------------------------------------------------------------------------------

void Finisher::rollback(protocol::FinishRequest request, Callback done) {
    std::vector<Statement> statements = {
        {"SELECT pg_catalog.set_config('synchronous_commit', 'local', false)", {}, false, true},
        {"ROLLBACK PREPARED " + quoted_gid(request.gid), {}, false, true},
        {"SELECT pg_catalog.set_config('synchronous_commit', $1, false)",
         {{context_.options.synchronous_commit}},
         false,
         true}};
    TWOFOLD_CRASH_POINT(pg_before_rollback_prepared);
    finish_.run(
        std::move(statements),
        context_.options.limits.finish,
        [this, request = std::move(request), done = std::move(done)](const Reply& reply) {
            // Somebody may have committed it by hand: that it is gone is no success by itself.
            if (is_gone(reply)) return ask_proof(request, &prove_rollback, done);
            if (!reply.ok()) return done(unknown_after(reply));
            if (reply.results[1].tag != "ROLLBACK PREPARED") {
                return done(unknown(reason::kProtocolViolation,
                                    "ROLLBACK PREPARED was answered with " + reply.results[1].tag));
            }
            TWOFOLD_CRASH_POINT(pg_after_rollback_prepared);
            ++context_.counters.rollbacks;
            done({FinishStatus::aborted, {}});
        });
}

void Finisher::rollback_until_gone(protocol::FinishRequest request, Callback done) {
    std::make_shared<RollbackLoop>(context_, *this, std::move(request), std::move(done))->go();
}

// ---- for a person
// --------------------------------------------------------------------------------

void Finisher::resolve(const protocol::FinishRequest& request,
                       protocol::Decision decision,
                       const Callback& done) {
    bool is_commit = decision == protocol::Decision::commit;
    std::vector<Statement> statements = {
        {"INSERT INTO twofold.resolved (gid, outcome, reason) VALUES ($1, $2, $3) "
         "ON CONFLICT (gid) DO NOTHING",
         {{request.gid}, {is_commit ? "committed" : "aborted"}, {request.operator_reason}},
         false,
         true}};
    admin_.run(std::move(statements),
               context_.options.limits.admin,
               [this, request, is_commit, done](const Reply& reply) {
                   if (!reply.ok()) return done(unknown_after(reply));
                   auto finished = [this, gid = request.gid, done](const FinishResult& result) {
                       mark_applied(gid, result, done);
                   };
                   if (is_commit) return commit(request, finished);
                   rollback(request, finished);
               });
}

// Its end does not depend on the mark: without it, a later question is answered with a hazard.
void Finisher::mark_applied(const std::string& gid,
                            const FinishResult& result,
                            const Callback& done) {
    if (result.status == FinishStatus::unknown || result.status == FinishStatus::hazard) {
        return done(result);
    }
    std::string outcome = result.status == FinishStatus::committed ? "committed" : "aborted";
    admin_.run({{"UPDATE twofold.resolved SET applied = true, outcome = $2 WHERE gid = $1",
                 {{gid}, {outcome}},
                 false,
                 true}},
               context_.options.limits.admin,
               [result, done](const Reply& /*reply*/) { done(result); });
}

// ---- one-phase
// -----------------------------------------------------------------------------------

// A branch that still runs holds its witness row: the tombstone waits for it, at most the lock
// timeout. One that has not come so far finds the tombstone, and cannot commit any more.
void Finisher::settle_one_phase(const std::string& gid,
                                const std::optional<protocol::IdempotencyKey>& idempotency,
                                Callback done) {
    std::vector<Statement> statements = {
        {"BEGIN ISOLATION LEVEL READ COMMITTED"},
        {"SELECT pg_catalog.set_config('lock_timeout', $1, true)",
         {{std::to_string(kSettleLockWait.count())}}},
        {"INSERT INTO twofold.witness (gid, outcome) VALUES ($1, 'aborted') "
         "ON CONFLICT (gid) DO NOTHING",
         {{gid}}},
        {"SELECT w.outcome FROM twofold.witness w WHERE w.gid = $1", {{gid}}},
        key_owner_statement(idempotency),
        {"COMMIT"}};
    TWOFOLD_CRASH_POINT(pg_before_settle);
    admin_.run(
        std::move(statements),
        context_.options.limits.admin,
        [this, gid, done = std::move(done)](const Reply& reply) {
            if (!reply.ok() || reply.results[5].tag != "COMMIT") {
                return done(unknown_after(reply));
            }
            TWOFOLD_CRASH_POINT(pg_after_settle);
            if (has_warning(reply)) {
                return done(unknown(reason::kNotReplicated,
                                    "the outcome has not reached a synchronous standby yet"));
            }
            auto committed = [&](const std::optional<protocol::TxnId>& original) {
                confirm_replicated(gid, [done, original](protocol::Reason why) {
                    done({FinishStatus::committed, std::move(why), original});
                });
            };
            std::string outcome = reply.results[3].text(0, 0);
            if (outcome == "committed") return committed(std::nullopt);
            if (outcome != "aborted") {
                return done(unknown(reason::kUnavailable, "no outcome could be read"));
            }
            KeyOwner owner = read_key_owner(reply.results[4]);
            if (owner.is_other_request) {
                return done({FinishStatus::aborted, key_conflict_reason()});
            }
            if (owner.txn) return committed(owner.txn);
            done({FinishStatus::aborted, {}});
        });
}

// The commit that is waited for is another one, and younger: a standby that has it has all before.
// On a session of phase 2, where waiting for a standby holds up nothing else.
void Finisher::confirm_replicated(const std::string& gid,
                                  std::function<void(protocol::Reason)> done) {
    std::vector<Statement> statements = {
        {"BEGIN ISOLATION LEVEL READ COMMITTED"},
        {"SELECT pg_catalog.pg_logical_emit_message(true, 'twofold', ''::text) "
         "WHERE pg_catalog.current_setting('synchronous_standby_names') <> ''"},
        {"COMMIT"}};
    finish_.run(
        std::move(statements),
        context_.options.limits.standby_wait,
        [this, gid, done = std::move(done)](const Reply& reply) {
            bool is_there = reply.ok() && reply.results[2].tag == "COMMIT";
            if (is_there && !has_warning(reply)) return done({});
            ++context_.counters.not_replicated;
            protocol::Reason why =
                make_reason(reason::kNotReplicated,
                            "committed here, but a synchronous standby may not have "
                            "confirmed it: a failover may lose it");
            log_event(
                LogLevel::warning, "postgres_commit_not_replicated", why.message, {{"gid", gid}});
            done(std::move(why));
        });
}

}  // namespace twofold::participant::postgres
