// Answers and reports as HTTP responses. Pure.
#pragma once

#include "coordinator/core/effects.h"
#include "http/message.h"

#include <functional>
#include <string>

namespace twofold::coordinator {

using ParticipantName = std::function<std::string(protocol::ParticipantNumber)>;

// The JSON object of a transaction.
[[nodiscard]] std::string report_json(const TransactionReport& report, const ParticipantName& name);

// To a request that wants the transaction to end in a commit (POST).
[[nodiscard]] http::Response terminate_response(const Answer& answer, const ParticipantName& name);

// To a request that asks how it is (GET): 200 whatever the outcome is.
[[nodiscard]] http::Response query_response(const Answer& answer, const ParticipantName& name);

}  // namespace twofold::coordinator
