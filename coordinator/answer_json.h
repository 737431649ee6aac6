// Answers and reports as HTTP responses. Pure.
#pragma once

#include "coordinator/core/effects.h"
#include "coordinator/history.h"
#include "http/message.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::coordinator {

class Driver;
struct ParticipantStatus;

// What a report shows that the machine does not know.
struct ReportTimes {
    std::optional<Milliseconds> age;
    std::vector<History::Moment> timeline;
};
class ReportContext {
public:
    using Times = std::function<ReportTimes(const protocol::TxnId&)>;

    explicit ReportContext(std::function<std::string(protocol::ParticipantNumber)> name,
                           Times times = {})
        : name_(std::move(name)), times_(std::move(times)) {}
    std::string operator()(protocol::ParticipantNumber number) const { return name_(number); }
    [[nodiscard]] ReportTimes times(const protocol::TxnId& txn) const {
        return times_ ? times_(txn) : ReportTimes{};
    }

private:
    std::function<std::string(protocol::ParticipantNumber)> name_;
    Times times_;
};

// As the driver knows it; it must outlive the context.
[[nodiscard]] ReportContext report_context(const Driver& driver);

// Names the transaction that an answer is about; services pass it on to each other.
inline constexpr std::string_view kTransactionField = "Twofold-Transaction";
// "true" when another request under the same key had been there before.
inline constexpr std::string_view kReplayedField = "Idempotency-Replayed";

// The JSON object of a transaction.
[[nodiscard]] std::string report_json(const TransactionReport& report, const ReportContext& name);
// The same without what its statements returned, which may be megabytes: for lists.
[[nodiscard]] std::string listed_json(const TransactionReport& report, const ReportContext& name);

// The same with its timeline, for those who look at one.
[[nodiscard]] std::string detailed_json(const TransactionReport& report,
                                        const ReportContext& context);

// To a request that wants the transaction to end in a commit (POST).
[[nodiscard]] http::Response terminate_response(const Answer& answer, const ReportContext& name);

// To a request that wants it to end in an abort (POST).
[[nodiscard]] http::Response abort_response(const Answer& answer, const ReportContext& name);

// To a request that begins an interactive transaction. `left` is what is left of its time.
[[nodiscard]] http::Response begin_response(const Answer& answer,
                                            const ReportContext& name,
                                            Milliseconds left);

// To a request that enlists a participant, as the directory knows it.
[[nodiscard]] http::Response enlist_response(const Answer& answer,
                                             const protocol::ParticipantRecord& participant,
                                             const protocol::SenderStamp& sender,
                                             Milliseconds left);

// To a request that asks how it is (GET): 200 whatever the outcome is.
[[nodiscard]] http::Response query_response(const Answer& answer, const ReportContext& name);

// The JSON object of a participant.
void append_participant(std::string& out, const ParticipantStatus& status);

}  // namespace twofold::coordinator
