// Branches that run: from their work's JSON to the answer. Each borrows a session, sends its script
// (script.h) in one message, and gives the session back with the answer.
//
// Whatever goes wrong with a session while PREPARE or COMMIT may run ends in one of two ways: this
// resource gave up itself (time, cancel): the backend is ended, and when it is gone the database is
// asked what is there; or the connection broke: the answer is unknown, and cancel() does the same
// later. Thread: the loop's.
#pragma once

#include "participant/postgres/finish.h"
#include "participant/postgres/pool.h"
#include "participant/postgres/script.h"
#include "participant/resource.h"

#include <map>
#include <memory>
#include <vector>

namespace twofold::participant::postgres {

class WorkRunner {
public:
    // `interactive` has the sessions that stay with their branch from its first call to its end.
    struct Pools {
        Pool& work;
        Pool& interactive;
        Pool& admin;
    };
    WorkRunner(Context& context, Pools pools, Finisher& finisher)
        : context_(context),
          work_(pools.work),
          interactive_(pools.interactive),
          admin_(pools.admin),
          finisher_(finisher) {}

    void execute(protocol::BranchWork work, bool one_phase, ResourcePort::WorkCallback done);
    // interactive.cc
    void execute_part(protocol::BranchWork work,
                      std::uint32_t sequence,
                      ResourcePort::WorkCallback done);
    void prepare_executed(const protocol::BranchKey& key, ResourcePort::WorkCallback done);

    void cancel(const protocol::BranchKey& key, ResourcePort::DoneCallback done);
    // Something of this branch may still run, so that it may become prepared.
    [[nodiscard]] bool may_run(const protocol::BranchKey& key) const {
        return runs_.contains(key) || orphans_.contains(key);
    }
    // Answers what runs with unknown.
    void stop();
    // Drops all callbacks: nobody is there any more.
    void forget();

private:
    struct Run {
        Run(async::EventLoop& loop, protocol::BranchWork w, bool one)
            : work(std::move(w)), one_phase(one), probe(loop) {}

        protocol::BranchWork work;
        bool one_phase;
        ScriptPart part = ScriptPart::whole;  // of the message that runs; whole: not interactive
        ResourcePort::WorkCallback done;
        std::vector<WorkStatement> statements;
        Pool::Ticket ticket = 0;
        SessionPtr session;  // once borrowed
        Backend backend;
        Script script;
        std::chrono::steady_clock::time_point until;
        // Why we ended it ourselves; empty: we did not.
        protocol::Reason given_up;
        bool settling = false;  // the session is being ended, or the branch rolled back
        bool key_free = false;  // nothing committed has the idempotency key
        std::vector<ResourcePort::DoneCallback> cancellers;
        async::Timer probe;
    };
    using RunPtr = std::shared_ptr<Run>;

    // Its JSON becomes its statements. False: it was refused.
    bool parse(const RunPtr& run);
    void on_session(const RunPtr& run, const base::Result<SessionPtr>& session);
    void send(const RunPtr& run, Exchange exchange, Connection::ReplyCallback on_reply);
    void on_reply(const RunPtr& run, Reply reply);
    void send_end(const RunPtr& run, Reply rest);
    void on_judged(const RunPtr& run, Verdict verdict);
    void on_lost(const RunPtr& run, Verdict verdict, Loss loss);
    void give_up(const RunPtr& run, protocol::Reason reason);

    // Is the backend waiting for a synchronous standby? The server has no timeout for that.
    void arm_probe(const RunPtr& run);
    void probe(const RunPtr& run);

    // interactive.cc
    [[nodiscard]] RunPtr find_idle(const protocol::BranchKey& key,
                                   const ResourcePort::WorkCallback& done);
    void send_part(const RunPtr& run, ScriptPart part);
    void answer_executed(const RunPtr& run, const Reply& reply);
    void end_idle(const RunPtr& run);
    void end_idle_backend(const RunPtr& run);
    void on_idle_ended(const RunPtr& run, bool is_clean);
    [[nodiscard]] Pool& pool_of(const Run& run) {
        return run.part == ScriptPart::whole ? work_ : interactive_;
    }

    void undo(const RunPtr& run,
              const protocol::Reason& reason,
              const std::optional<protocol::ProofToken>& proof);
    void examine(const RunPtr& run, const protocol::Reason& reason);
    void look_for_prepared(const RunPtr& run, const protocol::Reason& reason);
    void look_for_witness(const RunPtr& run, const protocol::Reason& reason);
    void note_not_replicated(const Run& run, const protocol::Reason& reason);
    void answer_from_key(const RunPtr& run, const protocol::Reason& reason);

    void give_back(const RunPtr& run, Cleanliness cleanliness);
    void refuse(const RunPtr& run, protocol::Reason reason, bool executed);
    void answer_unknown(const RunPtr& run, protocol::Reason reason, bool session_gone);
    void answer(const RunPtr& run, protocol::WorkResult result);
    static void tell(std::vector<ResourcePort::DoneCallback>& cancellers, bool session_gone);

    Context& context_;
    Pool& work_;
    Pool& interactive_;
    Pool& admin_;
    Finisher& finisher_;
    std::map<protocol::BranchKey, RunPtr> runs_;
    // Answered unknown; their backends may still be at work.
    std::map<protocol::BranchKey, Backend> orphans_;
};

}  // namespace twofold::participant::postgres
