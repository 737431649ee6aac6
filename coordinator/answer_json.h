// Answers and reports as HTTP responses. Pure.
#pragma once

#include "coordinator/core/effects.h"
#include "http/message.h"

#include <functional>
#include <string>
#include <string_view>

namespace twofold::coordinator {

struct ParticipantStatus;

using ParticipantName = std::function<std::string(protocol::ParticipantNumber)>;

// Names the transaction that an answer is about; services pass it on to each other.
inline constexpr std::string_view kTransactionField = "Twofold-Transaction";
// "true" when another request under the same key had been there before.
inline constexpr std::string_view kReplayedField = "Idempotency-Replayed";

// The JSON object of a transaction.
[[nodiscard]] std::string report_json(const TransactionReport& report, const ParticipantName& name);

// To a request that wants the transaction to end in a commit (POST).
[[nodiscard]] http::Response terminate_response(const Answer& answer, const ParticipantName& name);

// To a request that wants it to end in an abort (POST).
[[nodiscard]] http::Response abort_response(const Answer& answer, const ParticipantName& name);

// To a request that begins an interactive transaction. `left` is what is left of its time.
[[nodiscard]] http::Response begin_response(const Answer& answer,
                                            const ParticipantName& name,
                                            Milliseconds left);

// To a request that enlists a participant, as the directory knows it.
[[nodiscard]] http::Response enlist_response(const Answer& answer,
                                             const protocol::ParticipantRecord& participant,
                                             Milliseconds left);

// To a request that asks how it is (GET): 200 whatever the outcome is.
[[nodiscard]] http::Response query_response(const Answer& answer, const ParticipantName& name);

// The JSON object of a participant.
void append_participant(std::string& out, const ParticipantStatus& status);

}  // namespace twofold::coordinator
