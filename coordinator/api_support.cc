#include "coordinator/api_support.h"

#include "base/planted_bug.h"
#include "coordinator/problems.h"

#include <memory>
#include <utility>

namespace twofold::coordinator {

using base::Errc;

SubmitLimits ApiContext::limits() const {
    SubmitLimits limits;
    limits.json_depth_max = options.json_depth_max;
    limits.branches_max = options.branches_max;
    limits.statements_max = options.statements_max;
    limits.labels_max = options.labels_max;
    limits.deadline_default = options.deadline_default;
    limits.deadline_max = options.deadline_max;
    return limits;
}

ReportContext ApiContext::names() const { return report_context(driver); }

void ApiContext::run(http::ResponseSink sink,
                     const Respond& respond,
                     const std::function<Input(Ticket)>& input) const {
    auto shared = std::make_shared<http::ResponseSink>(std::move(sink));
    Ticket ticket = driver.open_ticket(
        [shared, respond](const Answer& answer) { shared->send(respond(answer)); });
    shared->on_closed([this, ticket] { driver.close_ticket(ticket); });
    driver.submit(input(ticket));
}

http::Response body_problem(const base::Error& error) {
    const http::ProblemCode& code =
        error.code == Errc::invalid_argument ? problems::kMalformedBody : problems::kInvalidRequest;
    return http::problem(code, error.context);
}

const ParticipantStatus* usable_participant(const Driver& driver,
                                            std::string_view name,
                                            const std::string& path,
                                            http::Response& refusal) {
    const ParticipantStatus* status = driver.find_participant(name);
    if (status == nullptr) {
        std::string message = path + ": \"" + std::string(name.substr(0, 128)) +
                              "\" is not configured; configured are";
        for (const auto& known : driver.participants()) message.append(" ").append(known.name);
        refusal = http::problem(problems::kUnknownParticipant, message);
        return nullptr;
    }
    if (status->number.value == 0) {
        // It was never reached, so it has no number and nothing can be enlisted.
        http::ProblemExtras extras;
        extras.retry_after_seconds = 1;
        refusal = http::problem(
            problems::kParticipantUnusable,
            path + ": participant " + status->name + " at " + status->url +
                " has not been reached since the coordinator's start: " + status->problem,
            extras);
        return nullptr;
    }
    return status;
}

std::optional<protocol::TxnId> transaction_of(const http::Request& request,
                                              http::Response& refusal) {
    std::string_view text = request.path_parameter("id");
    auto id = protocol::TxnId::parse(text);
    if (!id) {
        refusal = http::problem(problems::kTransactionNotFound,
                                "a transaction id has 48 characters of A-Z a-z 0-9 - _");
        return std::nullopt;
    }
    auto context = request.headers.find(kTransactionField);
    if (context && *context != text) {
        refusal = http::problem(http::problems::kBadRequest,
                                std::string(kTransactionField) +
                                    ": names another transaction than the path; leave it out, or "
                                    "send the same id");
        return std::nullopt;
    }
    return id;
}

base::Result<std::optional<protocol::IdempotencyKey>> idempotency_of(const http::Request& request) {
    std::optional<protocol::IdempotencyKey> key;
    auto field = request.headers.find("Idempotency-Key");
    if (!field || TWOFOLD_PLANTED_BUG("edge.key_is_ignored")) return key;
    TWOFOLD_TRY(key, parse_idempotency_key(*field, request.body));
    return key;
}

}  // namespace twofold::coordinator
