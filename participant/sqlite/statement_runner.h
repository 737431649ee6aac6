// Runs the statements of a branch on the work connection, one after the other, until one is
// refused.
#pragma once

#include "participant/sqlite/authorizer.h"
#include "participant/sqlite/capture.h"
#include "participant/sqlite/work.h"

#include <functional>
#include <string>

namespace twofold::participant::sqlite {

enum class StopCause { none, cancelled, statement_timeout, deadline };

// Ends the running statement from inside of SQLite when its time is over or somebody cancels.
class RunLimit {
public:
    using Clock = std::function<std::int64_t()>;  // monotonic milliseconds

    // Installs itself as progress handler; the connection must outlive it. `cancelled` is asked
    // often.
    RunLimit(Connection& connection, Clock clock, std::function<bool()> cancelled);
    ~RunLimit();
    RunLimit(const RunLimit&) = delete;
    RunLimit& operator=(const RunLimit&) = delete;

    // 0 = none.
    void begin_branch(std::chrono::milliseconds deadline);
    void begin_statement(std::chrono::milliseconds timeout);

    // Asks now; remembers and returns the first cause.
    StopCause check();
    [[nodiscard]] StopCause cause() const { return cause_; }

private:
    Connection& connection_;
    Clock clock_;
    std::function<bool()> cancelled_;
    std::int64_t deadline_at_ = 0;
    std::int64_t statement_until_ = 0;
    StopCause cause_ = StopCause::none;
};

struct RunOutcome {
    protocol::Reason refusal;  // empty: everything ran
    std::string results;       // JSON array, one element per statement
    bool executed = false;     // a statement was started
};

struct RunContext {
    Connection& connection;
    Authorizer& authorizer;
    Capture& capture;
    RunLimit& limit;
    ErrorState& errors;
    const StoreLimits& limits;
    std::chrono::milliseconds statement_timeout{0};
    bool must_be_recordable = true;
};

// The authorizer must be restricted, the capture active and a transaction open.
[[nodiscard]] RunOutcome run_statements(const RunContext& context,
                                        const std::vector<WorkStatement>& statements);

// The reason for an SQLite failure of a statement, or for the cause that stopped it.
[[nodiscard]] protocol::Reason reason_of(const RunContext& context,
                                         const std::string& what,
                                         std::int32_t index);

}  // namespace twofold::participant::sqlite
