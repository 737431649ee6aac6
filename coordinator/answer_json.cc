#include "coordinator/answer_json.h"

#include "base/assert.h"
#include "base/json_writer.h"
#include "coordinator/driver.h"
#include "coordinator/problems.h"
#include "protocol/json.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

namespace {

using base::append_json_string;
namespace json = base::json;
using protocol::Outcome;
using protocol::Reason;

// A generation of keys is forgotten about every quarter of an hour.
constexpr unsigned kKeysRetrySeconds = 900;

std::string reason_json(const Reason& reason) {
    std::string out;
    protocol::append_reason(out, reason);
    return out;
}

enum class Results : std::uint8_t { shown, left_out };

std::string branch_json(const BranchReport& branch, const ReportContext& name, Results results) {
    std::string out = "{";
    json::number(out, "branch", branch.branch);
    json::text(out, "participant", name(branch.participant));
    json::text(out, "state", branch.state);
    json::number(out, "attempt", branch.attempt);
    json::number(out, "tries", branch.tries);
    if (branch.outcome != Outcome::unknown) json::text(out, "outcome", to_string(branch.outcome));
    if (!branch.evidence.empty()) json::text(out, "evidence", branch.evidence);
    if (branch.by_operator) json::flag(out, "by_operator", true);
    if (!branch.reason.empty()) json::raw(out, "reason", reason_json(branch.reason));
    bool is_shown = branch.results && results == Results::shown;
    if (is_shown) json::raw(out, "results", *branch.results);
    return out + "}";
}

bool is_heuristic(Outcome outcome) {
    return outcome == Outcome::heuristic_commit || outcome == Outcome::heuristic_abort ||
           outcome == Outcome::heuristic_mixed || outcome == Outcome::heuristic_hazard;
}

std::string location_of(const Answer& answer) {
    return "/v1/transactions/" + answer.report.txn.text();
}

bool worth_another_try(const Reason& reason) {
    namespace code = protocol::reason;
    return reason.code == code::kLockTimeout || reason.code == code::kDeadlock ||
           reason.code == code::kSerialization || reason.code == code::kSlotsExhausted ||
           reason.code == code::kUnavailable || reason.code == code::kNotReady ||
           reason.code == code::kUnansweredPrepare || reason.code == code::kDeadline ||
           reason.code == code::kCoordinatorRestart || reason.code == code::kOnePhaseUnavailable;
}

const BranchReport* blamed_branch(const TransactionReport& report) {
    for (const BranchReport& branch : report.branches) {
        if (branch.branch == report.blamed_branch) return &branch;
    }
    return nullptr;
}

http::Response aborted_response(const Answer& answer, const ReportContext& name) {
    const TransactionReport& report = answer.report;
    http::ProblemExtras extras;
    extras.transaction_id = report.txn.text();
    extras.instance = location_of(answer);
    extras.retryable = worth_another_try(report.reason);
    extras.members_json.emplace_back("outcome", "\"aborted\"");
    if (report.answered_by) {
        extras.members_json.emplace_back("answered_by", '"' + report.answered_by->text() + '"');
    }
    std::string detail = report.reason.message;
    if (!report.reason.empty()) {
        extras.members_json.emplace_back("reason", reason_json(report.reason));
    }
    if (const BranchReport* branch = blamed_branch(report)) {
        std::string quoted;
        append_json_string(quoted, name(branch->participant));
        extras.members_json.emplace_back("branch", std::to_string(branch->branch));
        extras.members_json.emplace_back("participant", quoted);
        detail = "participant " + name(branch->participant) + ": " + detail;
    }
    return http::problem(problems::kTransactionAborted, detail, extras);
}

http::Response heuristic_response(const Answer& answer, const ReportContext& name) {
    http::ProblemExtras extras;
    extras.transaction_id = answer.report.txn.text();
    extras.instance = location_of(answer);
    std::string outcome;
    append_json_string(outcome, to_string(answer.report.outcome));
    extras.members_json.emplace_back("outcome", outcome);
    extras.members_json.emplace_back("transaction", report_json(answer.report, name));
    return http::problem(problems::kTransactionHeuristic,
                         "The decision could not be carried out everywhere; see the branches. A "
                         "person has to look at it.",
                         extras);
}

http::Response accepted_response(const Answer& answer,
                                 std::string_view decision,
                                 const ReportContext& name) {
    std::string body = report_json(answer.report, name);
    body.pop_back();
    json::text(body, "decision", decision);
    http::Response response = http::json_response(202, body + "}\n");
    response.headers.add("Location", location_of(answer));
    return response;
}

http::Response refused(const Answer& answer,
                       const http::ProblemCode& code,
                       std::optional<unsigned> retry_after_seconds = {}) {
    http::ProblemExtras extras;
    const TransactionReport& report = answer.report;
    if (report.txn != protocol::TxnId{}) extras.transaction_id = report.txn.text();
    if (!answer.reason.empty()) {
        extras.members_json.emplace_back("reason", reason_json(answer.reason));
    }
    if (report.outcome != Outcome::unknown) {
        std::string outcome;
        append_json_string(outcome, to_string(report.outcome));
        extras.members_json.emplace_back("outcome", std::move(outcome));
    }
    extras.retry_after_seconds = retry_after_seconds;
    return http::problem(code, answer.reason.message, extras);
}

http::Response opposite_response(const Answer& answer) {
    Answer explained = answer;
    explained.reason.message = "the transaction was " +
                               std::string(to_string(answer.report.outcome)) +
                               (answer.reason.empty() ? "" : ": " + answer.reason.message);
    return refused(explained, problems::kOppositeOutcome);
}

const http::ProblemCode& invalid_code(const Reason& reason) {
    if (reason.code == protocol::reason::kKeyConflict) return problems::kKeyConflict;
    if (reason.code == protocol::reason::kStaleParticipantEpoch) return problems::kWrongState;
    bool unusable = reason.code == protocol::reason::kIdentityMismatch ||
                    reason.code == protocol::reason::kUnavailable;
    return unusable ? problems::kParticipantUnusable : problems::kInvalidRequest;
}

http::Response invalid_response(const Answer& answer) {
    const http::ProblemCode& code = invalid_code(answer.reason);
    if (code.status == problems::kParticipantUnusable.status) return refused(answer, code, 1);
    return refused(answer, code);
}

// Answers that are the same for every kind of request; nothing for the others.
std::optional<http::Response> common_response(const Answer& answer) {
    switch (answer.kind) {
        case AnswerKind::not_found: return refused(answer, problems::kTransactionNotFound);
        case AnswerKind::expired: return refused(answer, problems::kTransactionExpired);
        case AnswerKind::cannot_tell: return refused(answer, problems::kCannotTell, 1);
        case AnswerKind::overloaded: return refused(answer, problems::kNoRoom, 1);
        case AnswerKind::keys_exhausted:
            return refused(answer, problems::kKeysExhausted, kKeysRetrySeconds);
        case AnswerKind::draining: return refused(answer, problems::kDraining, 1);
        case AnswerKind::unsettled: return refused(answer, problems::kKeyUnsettled, 1);
        case AnswerKind::wrong_state: return refused(answer, problems::kWrongState);
        case AnswerKind::doomed: return refused(answer, problems::kBranchLost);
        case AnswerKind::opposite: return opposite_response(answer);
        case AnswerKind::invalid: return invalid_response(answer);
        case AnswerKind::changed: return refused(answer, problems::kVersionChanged);
        case AnswerKind::done:
        case AnswerKind::begun:
        case AnswerKind::enlisted:
        case AnswerKind::finished:
        case AnswerKind::decided:
        case AnswerKind::undecided: break;
    }
    return std::nullopt;
}

// The fields that every answer about a transaction has.
http::Response with_fields(http::Response response, const Answer& answer) {
    if (answer.report.txn != protocol::TxnId{}) {
        response.headers.set(kTransactionField, answer.report.txn.text());
    }
    return response;
}

http::Response report_response(int status, const Answer& answer, const ReportContext& name) {
    return http::json_response(status, report_json(answer.report, name) + "\n");
}

http::Response ended_response(const Answer& answer, const ReportContext& name) {
    switch (answer.kind) {
        case AnswerKind::decided: return accepted_response(answer, "commit", name);
        case AnswerKind::undecided: return accepted_response(answer, "none", name);
        case AnswerKind::finished: break;
        default: TWOFOLD_UNREACHABLE("answer of another kind of request");
    }
    if (is_heuristic(answer.report.outcome)) return heuristic_response(answer, name);
    return report_response(200, answer, name);
}

std::string transaction_json(const TransactionReport& report,
                             const ReportContext& name,
                             Results results) {
    ReportTimes times = name.times(report.txn);
    std::string out = "{";
    json::text(out, "id", report.txn.text());
    json::text(out, "state", report.state);
    json::text(out, "outcome", to_string(report.outcome));
    json::flag(out, "recorded", report.recorded);
    json::number(out, "version", report.version);
    if (times.age) json::number(out, "age_ms", static_cast<std::uint64_t>(times.age->count()));
    if (report.results_lost) json::text(out, "results", "lost");
    if (report.key_open) json::text(out, "idempotency_key", "open");
    if (report.answered_by) json::text(out, "answered_by", report.answered_by->text());
    if (!report.reason.empty()) json::raw(out, "reason", reason_json(report.reason));
    if (report.blamed_branch != 0) {
        json::number(out, "refused_by_branch", report.blamed_branch);
    }
    json::array(out, "branches", report.branches, [&](std::string& to, const BranchReport& branch) {
        to += branch_json(branch, name, results);
    });
    if (!report.labels.empty()) {
        std::string labels = "{";
        for (const auto& [label, value] : report.labels) json::foreign_text(labels, label, value);
        json::raw(out, "labels", labels + "}");
    }
    return out + "}";
}

}  // namespace

ReportContext report_context(const Driver& driver) {
    return ReportContext(
        [&driver](protocol::ParticipantNumber number) { return driver.participant_name(number); },
        [&driver](const protocol::TxnId& txn) {
            const History& history = driver.history();
            return ReportTimes{history.age(txn, std::chrono::steady_clock::now()),
                               history.timeline(txn)};
        });
}

std::string report_json(const TransactionReport& report, const ReportContext& name) {
    return transaction_json(report, name, Results::shown);
}

std::string listed_json(const TransactionReport& report, const ReportContext& name) {
    return transaction_json(report, name, Results::left_out);
}

http::Response terminate_response(const Answer& answer, const ReportContext& name) {
    http::Response response;
    if (auto common = common_response(answer)) {
        response = std::move(*common);
    } else if (answer.kind == AnswerKind::finished && answer.report.outcome == Outcome::aborted) {
        response = aborted_response(answer, name);
    } else {
        response = ended_response(answer, name);
    }
    if (answer.repeated) response.headers.set(kReplayedField, "true");
    return with_fields(std::move(response), answer);
}

http::Response abort_response(const Answer& answer, const ReportContext& name) {
    auto common = common_response(answer);
    return with_fields(common ? std::move(*common) : ended_response(answer, name), answer);
}

http::Response begin_response(const Answer& answer, const ReportContext& name, Milliseconds left) {
    if (answer.kind != AnswerKind::begun) {
        http::Response known = query_response(answer, name);
        if (answer.repeated) known.headers.set(kReplayedField, "true");
        return known;
    }
    std::string body = report_json(answer.report, name);
    body.pop_back();
    json::number(body, "deadline_ms", static_cast<std::uint64_t>(left.count()));
    http::Response response = http::json_response(201, body + "}\n");
    response.headers.set("Location", location_of(answer));
    if (answer.repeated) response.headers.set(kReplayedField, "true");
    return with_fields(std::move(response), answer);
}

http::Response enlist_response(const Answer& answer,
                               const protocol::ParticipantRecord& participant,
                               const protocol::SenderStamp& sender,
                               Milliseconds left) {
    if (auto common = common_response(answer)) return with_fields(std::move(*common), answer);
    TWOFOLD_ASSERT(answer.kind == AnswerKind::enlisted, "answer of another kind of request");
    auto branch = std::ranges::find(answer.report.branches, answer.branch, &BranchReport::branch);
    TWOFOLD_ASSERT(branch != answer.report.branches.end(), "what was enlisted is in the report");
    std::string body = "{";
    json::text(body, "id", answer.report.txn.text());
    json::number(body, "branch", branch->branch);
    json::number(body, "attempt", branch->attempt);
    json::text(body, "participant", participant.name);
    json::text(body, "participant_uuid", participant.uuid.text());
    json::text(body, "identity", participant.identity.text());
    json::number(body, "participant_epoch", branch->participant_epoch);
    // A duration; at least 1, because the abort of what is over is on its way.
    json::number(body, "deadline_ms", std::max<std::uint64_t>(left.count(), 1));
    if (answer.report.idle_deadline.count() > 0) {
        json::number(body,
                     "idle_deadline_ms",
                     static_cast<std::uint64_t>(answer.report.idle_deadline.count()));
    }
    json::text(body, "state", branch->state);
    json::member(body, "sender");
    protocol::append_sender(body, sender);
    return with_fields(http::json_response(answer.repeated ? 200 : 201, body + "}\n"), answer);
}

std::string detailed_json(const TransactionReport& report, const ReportContext& context) {
    std::string body = report_json(report, context);
    std::vector<History::Moment> timeline = context.times(report.txn).timeline;
    if (timeline.empty()) return body;
    body.pop_back();
    json::array(body, "timeline", timeline, [](std::string& to, const History::Moment& moment) {
        std::string one = "{";
        json::text(one, "state", moment.state);
        json::number(one, "at_ms", static_cast<std::uint64_t>(moment.at.count()));
        to += one + '}';
    });
    return body + '}';
}

http::Response query_response(const Answer& answer, const ReportContext& name) {
    auto common = common_response(answer);
    if (common) return with_fields(std::move(*common), answer);
    http::Response response = http::json_response(200, detailed_json(answer.report, name) + "\n");
    response.headers.set("ETag", '"' + std::to_string(answer.report.version) + '"');
    return with_fields(std::move(response), answer);
}

void append_participant(std::string& out, const ParticipantStatus& status) {
    out += '{';
    json::text(out, "name", status.name);
    json::text(out, "url", status.url);
    json::number(out, "number", status.number.value);
    json::flag(out, "up", status.up);
    if (status.retired) json::flag(out, "retired", true);
    if (!status.problem.empty()) json::text(out, "problem", status.problem);
    if (!status.info.identity.empty()) {
        json::text(out, "uuid", status.info.uuid.text());
        json::text(out, "identity", status.info.identity.text());
        json::number(out, "epoch", status.info.epoch);
        json::number(out, "slots", status.info.slots);
    }
    out += '}';
}

}  // namespace twofold::coordinator
