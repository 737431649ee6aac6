#include "participant/postgres/proof.h"

#include "participant/postgres/script.h"

#include <utility>

namespace twofold::participant::postgres {

namespace {

namespace reason = protocol::reason;
using protocol::FinishResult;
using protocol::FinishStatus;

std::string position_text(const protocol::Position& position) {
    return std::to_string(position.timeline) + "/" + std::to_string(position.value);
}

std::string evidence_text(const protocol::FinishRequest& request, const Evidence& evidence) {
    std::string text = "the prepared transaction " + request.gid + " is gone; database now at " +
                       position_text(evidence.position);
    if (request.proof.has_value()) {
        text += ", when it was prepared at " + position_text(request.proof->position) +
                ", transaction " + std::to_string(request.proof->xid) + ": ";
        text += !evidence.transaction_error.empty()   ? evidence.transaction_error
                : evidence.transaction_status.empty() ? "too old for the commit log"
                                                      : evidence.transaction_status;
    } else {
        text += ", no proof came with the vote";
    }
    return text +
           (evidence.witness.has_value() ? ", witness: " + *evidence.witness : ", no witness row");
}

// The commit log speaks about the same history only on the same timeline, not behind the position
// at which the branch was prepared: a restored database may have given the number to another
// transaction.
bool same_history(const protocol::ProofToken& token, const protocol::Position& now) {
    return token.xid != 0 && token.position.timeline == now.timeline &&
           token.position.value <= now.value;
}

FinishResult finding(FinishStatus status, std::string_view code, std::string text) {
    return {status, make_reason(code, std::move(text))};
}

// How it ended, as far as the evidence goes; hazard: it does not say.
FinishStatus ending(const protocol::FinishRequest& request, const Evidence& evidence) {
    if (request.proof.has_value() && same_history(*request.proof, evidence.position)) {
        if (evidence.transaction_status == "committed") return FinishStatus::committed;
        if (evidence.transaction_status == "aborted") return FinishStatus::aborted;
        // Somebody finishes it just now.
        if (evidence.transaction_status == "in progress") return FinishStatus::unknown;
    }
    // A row that was committed with the branch. Its absence proves nothing: it may not have been
    // asked for, or the database is older than the branch.
    if (evidence.witness == "committed") return FinishStatus::committed;
    // A person had it aborted, and that was seen to the end.
    if (evidence.witness == "aborted") return FinishStatus::aborted;
    return FinishStatus::hazard;
}

}  // namespace

std::vector<Statement> evidence_statements(const protocol::FinishRequest& request) {
    std::uint64_t xid = request.proof.has_value() ? request.proof->xid : 0;
    return {
        {"SELECT pg_catalog.pg_current_wal_insert_lsn(), "
         "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)",
         {},
         false,
         true},
        {"SELECT pg_catalog.pg_xact_status($1::text::xid8)", {{std::to_string(xid)}}, false, true},
        {"SELECT w.outcome FROM twofold.witness w WHERE w.gid = $1 UNION ALL "
         "SELECT CASE WHEN r.applied THEN r.outcome ELSE 'begun' END FROM twofold.resolved r "
         "WHERE r.gid = $1",
         {{request.gid}},
         false,
         true}};
}

std::optional<Evidence> read_evidence(const Reply& reply) {
    if (reply.loss != Loss::none || reply.results.size() != 3) return std::nullopt;
    const StatementResult& position = reply.results[0];
    const StatementResult& status = reply.results[1];
    const StatementResult& witness = reply.results[2];
    if (!position.ok() || !witness.ok()) return std::nullopt;
    Evidence evidence;
    evidence.position = {parse_timeline(position.text(0, 1)), parse_lsn(position.text(0, 0))};
    if (status.ok()) {
        evidence.transaction_status = status.text(0, 0);
    } else if (status.error.sqlstate == "22023") {
        evidence.transaction_error = status.error.message;
    } else {
        return std::nullopt;
    }
    if (!witness.rows.empty()) evidence.witness = witness.text(0, 0);
    return evidence;
}

FinishResult prove_commit(const protocol::FinishRequest& request, const Evidence& evidence) {
    FinishStatus status = ending(request, evidence);
    if (status == FinishStatus::committed) return {status, {}};
    std::string_view code =
        status == FinishStatus::unknown ? reason::kUnavailable : reason::kNotPrepared;
    return finding(status, code, evidence_text(request, evidence));
}

FinishResult prove_rollback(const protocol::FinishRequest& request, const Evidence& evidence) {
    FinishStatus status = ending(request, evidence);
    if (status == FinishStatus::aborted) return {status, {}};
    if (status == FinishStatus::hazard) {
        // A person was about to finish it, and how far that came is not known.
        bool is_open = evidence.witness == "begun";
        if (!request.proof.has_value() && !is_open) return {FinishStatus::not_found, {}};
        if (request.proof.has_value() && request.proof->witness) return {FinishStatus::aborted, {}};
    }
    std::string_view code =
        status == FinishStatus::unknown ? reason::kUnavailable : reason::kNotPrepared;
    return finding(status, code, evidence_text(request, evidence));
}

}  // namespace twofold::participant::postgres
