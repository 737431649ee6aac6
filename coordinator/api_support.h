// What the handlers of the REST interface share: the driver, the limits, and the reading of what
// many requests have.
#pragma once

#include "coordinator/answer_json.h"
#include "coordinator/api.h"
#include "coordinator/submit_request.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace twofold::coordinator {

struct ApiContext {
    Driver& driver;
    ApiOptions options;

    [[nodiscard]] SubmitLimits limits() const;
    [[nodiscard]] ReportContext names() const;

    // Runs a request whose answer comes later. A client that goes away is not a reason to stop:
    // the outcome can be asked for.
    using Respond = std::function<http::Response(const Answer&)>;
    void run(http::ResponseSink sink,
             const Respond& respond,
             const std::function<Input(Ticket)>& input) const;
};

// 400 for text that is not the expected JSON, 422 for what cannot be carried out.
[[nodiscard]] http::Response body_problem(const base::Error& error);

// The participant of this name. Nothing: `refusal` says why (unknown, or never reached yet); `path`
// is the member that names it.
[[nodiscard]] const ParticipantStatus* usable_participant(const Driver& driver,
                                                          std::string_view name,
                                                          const std::string& path,
                                                          http::Response& refusal);

// The id in the path. Nothing: `refusal` says why. A Twofold-Transaction field must agree with it.
[[nodiscard]] std::optional<protocol::TxnId> transaction_of(const http::Request& request,
                                                            http::Response& refusal);

// The request's Idempotency-Key with its body's fingerprint; nothing when it has none.
[[nodiscard]] base::Result<std::optional<protocol::IdempotencyKey>> idempotency_of(
    const http::Request& request);

}  // namespace twofold::coordinator
