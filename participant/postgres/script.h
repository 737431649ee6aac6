// What is sent for one branch, and what its answer means. Pure: statements in, verdicts out.
//
// One message for a branch that prepares; an error makes the server skip everything up to the sync:
//
//   [ROLLBACK, sync] [DISCARD ALL]
//                  what the session's last branch left behind, when it was not cleaned yet
//
//   BEGIN ISOLATION LEVEL …
//
//   settings       timeouts; one-phase: an error when the database has foreign servers; with an
//                  idempotency key: another error when the key's work is committed already
//
//   the work       one statement each
//
//   SET CONSTRAINTS ALL IMMEDIATE
//                  deferred constraints and triggers run here, where errors are clear
//
//   tail           role, synchronous_commit and client_min_messages back to what we need, whatever
//                  the work did to them; xid and LSN; an error when nothing was written (the guard)
//
//                  (with free SQL: an error when the work has written or locked a table of ours)
//
//   [witness row]
//
//   PREPARE TRANSACTION, or COMMIT, and a sync
//
// An interactive branch's message ends after the work (with free SQL: after a look at the locks on
// our tables), and the next one begins with work, or, to prepare, with SET CONSTRAINTS.
//
// The guard is why a read-only branch costs no forced write and no second message: its error makes
// the server skip PREPARE. It shows in the server's log as an error that says that it is none.
#pragma once

#include "participant/postgres/context.h"
#include "participant/postgres/session.h"
#include "participant/postgres/work.h"
#include "protocol/branch_work.h"

#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace twofold::participant::postgres {

// Which part of a branch one message is. An interactive branch is sent in several.
enum class ScriptPart : std::uint8_t {
    whole,
    first_execute,  // up to and with the work
    next_execute,   // the work only
    prepare,        // what comes after the work
};

struct Script {
    static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

    std::vector<Statement> statements;
    // Positions in statements and in the reply's results; kNone: not in this part.
    std::size_t begin = kNone;
    std::size_t settings = kNone;
    std::size_t work = 0;
    std::size_t work_count = 0;
    std::size_t own_tables = kNone;  // looks at locks on our tables, between two calls
    std::size_t constraints = kNone;
    std::size_t tail = kNone;
    std::size_t witness = kNone;
    std::size_t end = kNone;
    bool one_phase = false;
    bool checks_key = false;  // the settings look for the idempotency key
    bool guarded = false;     // a branch that wrote nothing stops at the tail
    // One-phase with something to check: COMMIT is sent when the rest was judged, because it cannot
    // be taken back as a PREPARE can.
    bool end_apart = false;
};

enum class Finding : std::uint8_t {
    prepared,
    committed,
    read_only,
    refused,
    undo,       // prepared, but the answer must be no: roll it back, then refuse
    proceed,    // all is well so far, and the transaction is open: send the end, or the next call
    duplicate,  // this gid is prepared already, by somebody else: nothing was done
    key_taken,  // a witness with the key (or, one-phase, with the gid) is there already; rolled
                // back
    examine,    // end the session, then look whether the branch is there
    lost,       // the connection broke: it may be there, or may come
};

struct Verdict {
    Finding finding = Finding::examine;
    protocol::Reason reason;
    std::optional<protocol::ProofToken> proof;
    std::string results;
    bool executed = true;
    bool recorded = true;
    bool key_free = false;   // the key was looked for, and nothing committed has it
    bool replicated = true;  // false: a standby's receipt is missing
    Cleanliness after = Cleanliness::broken;
};

struct BranchRequest {
    const protocol::BranchWork& work;
    const std::vector<WorkStatement>& statements;
    bool one_phase = false;
    ScriptPart part = ScriptPart::whole;
};

[[nodiscard]] Script make_script(const Context& context,
                                 const BranchRequest& request,
                                 Cleanliness session);

// The last statement of a script with end_apart.
[[nodiscard]] Statement end_statement();
// The reply to the rest followed by the reply to the end, as if they had been one.
[[nodiscard]] Reply joined(Reply rest, Reply end);

[[nodiscard]] Verdict judge(const Script& script,
                            const std::vector<WorkStatement>& statements,
                            const Limits& limits,
                            const Reply& reply);

[[nodiscard]] protocol::Reason make_reason(std::string_view code, std::string message);

}  // namespace twofold::participant::postgres
