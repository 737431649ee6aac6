// Phase 2 on its own sessions, so that a commit never waits behind work: COMMIT PREPARED and
// ROLLBACK PREPARED, each alone between syncs (they refuse to run inside of a transaction), and the
// settling of one-phase branches.
//
// Definite are only the exact success tag, and "does not exist" together with proof (proof.h).
// Everything else is unknown: ask again. Thread: the loop's.
#pragma once

#include "async/timer.h"
#include "participant/postgres/pool.h"
#include "participant/postgres/proof.h"
#include "participant/resource.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace twofold::participant::postgres {

class Finisher {
public:
    using Callback = ResourcePort::FinishCallback;

    Finisher(Context& context, Pool& finish, Pool& admin)
        : context_(context), finish_(finish), admin_(admin) {}

    void commit(protocol::FinishRequest request, Callback done);
    // A rollback does not wait for a standby: a prepared transaction that a failover brings back is
    // listed and asked about again.
    void rollback(protocol::FinishRequest request, Callback done);
    // Rolls back a branch that this resource prepared itself, again and again until it is gone;
    // `unknown` when it takes too long.
    void rollback_until_gone(protocol::FinishRequest request, Callback done);
    void settle_one_phase(const std::string& gid,
                          const std::optional<protocol::IdempotencyKey>& idempotency,
                          Callback done);
    // Of what was found committed, and not by its own COMMIT: waits until a synchronous standby has
    // it, where one is demanded. Empty: it has, or none is. Otherwise why that cannot be said.
    void confirm_replicated(const std::string& gid, std::function<void(protocol::Reason)> done);
    // What a person has decided: written to twofold.resolved, carried out, and marked as applied.
    void resolve(const protocol::FinishRequest& request,
                 protocol::Decision decision,
                 const Callback& done);

private:
    void mark_applied(const std::string& gid,
                      const protocol::FinishResult& result,
                      const Callback& done);
    void on_commit_reply(const protocol::FinishRequest& request,
                         const Reply& reply,
                         const Callback& done);
    using Prove = protocol::FinishResult (*)(const protocol::FinishRequest& request,
                                             const Evidence& evidence);
    void ask_proof(const protocol::FinishRequest& request, Prove prove, const Callback& done);

    Context& context_;
    Pool& finish_;
    Pool& admin_;
};

}  // namespace twofold::participant::postgres
