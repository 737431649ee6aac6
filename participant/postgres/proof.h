// How a prepared branch ended whose gid is gone: "does not exist" is said for a commit, for
// somebody's rollback and for a restored database alike. Pure: evidence in, finding out.
//
// In this order:
//   same timeline and no older position than when it voted → the commit log's word about its xid
//   a witness row                                           → committed
//   otherwise                                               → hazard, with the evidence
//
// For a rollback two more things are known. A branch that wrote its witness row itself has not been
// committed where the row is missing, whatever the timeline. And a branch without a proof has
// promised nothing as far as anybody knows: `not_found`, as long as no witness says otherwise.
#pragma once

#include "participant/postgres/connection.h"
#include "participant/postgres/context.h"
#include "protocol/branch_work.h"

#include <optional>
#include <string>
#include <vector>

namespace twofold::participant::postgres {

struct Evidence {
    protocol::Position position;  // of the database, now
    std::string
        transaction_status;  // of the token's xid: "committed", …; "" = the server cannot say
    std::string transaction_error;       // why not, if it said
    std::optional<std::string> witness;  // outcome of the witness row
};

// Three statements that collect the evidence, each synced apart: asking for a transaction of the
// future is an error.
[[nodiscard]] std::vector<Statement> evidence_statements(const protocol::FinishRequest& request);
// Nothing when the evidence itself could not be read: ask again.
[[nodiscard]] std::optional<Evidence> read_evidence(const Reply& reply);

[[nodiscard]] protocol::FinishResult prove_commit(const protocol::FinishRequest& request,
                                                  const Evidence& evidence);
[[nodiscard]] protocol::FinishResult prove_rollback(const protocol::FinishRequest& request,
                                                    const Evidence& evidence);

}  // namespace twofold::participant::postgres
