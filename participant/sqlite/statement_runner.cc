#include "participant/sqlite/statement_runner.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "participant/sqlite/error_class.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <sqlite3.h>

namespace twofold::participant::sqlite {

namespace {

namespace json = boost::json;
namespace reason = protocol::reason;

constexpr int kProgressSteps =
    1'000;  // virtual machine instructions between two looks at the clock

int on_progress(void* context) {
    return static_cast<RunLimit*>(context)->check() == StopCause::none ? 0 : 1;
}

std::string plural(std::uint64_t count) {
    return std::to_string(count) + (count == 1 ? " row" : " rows");
}

// Of one cell as JSON, with its comma.
std::size_t json_size(const json::value& cell) {
    if (const json::string* text = cell.if_string()) return base::json_string_size(*text) + 1;
    if (const json::object* blob = cell.if_object()) {  // {"base64": "…"}
        std::size_t size = 2;
        for (const auto& [name, value] : *blob) size += name.size() + 3 + json_size(value);
        return size;
    }
    return 26;  // the longest number
}

// One pass over the statements of one branch.
class Runner {
public:
    explicit Runner(const RunContext& context) : context_(context) {}

    RunOutcome run(const std::vector<WorkStatement>& statements) {
        for (const WorkStatement& statement : statements) {
            if (context_.limit.check() != StopCause::none) {
                refuse_failure();
                break;
            }
            run_one(statement);
            if (!outcome_.refusal.empty()) break;
            ++index_;
            TWOFOLD_CRASH_POINT(part_during_work);
        }
        if (outcome_.refusal.empty()) outcome_.results = json::serialize(results_);
        return std::move(outcome_);
    }

private:
    // For messages: counted from 1, as people do.
    [[nodiscard]] std::string label() const { return "statement " + std::to_string(index_ + 1); }

    void refuse(std::string_view code, std::string text) {
        outcome_.refusal = {std::string(code), label() + ": " + std::move(text), index_, {}};
    }
    void refuse_failure() { outcome_.refusal = reason_of(context_, label(), index_); }

    void run_one(const WorkStatement& work);
    sqlite3_stmt* compile(const std::string& sql);
    bool bind(Statement& statement, const WorkStatement& work);
    bool collect(Statement& statement, json::array& rows);
    void check_expectation(const WorkStatement& work, std::uint64_t found);

    const RunContext& context_;
    RunOutcome outcome_;
    json::array results_;
    std::int32_t index_ = 0;
    std::size_t rows_ = 0;
    std::size_t bytes_ = 0;
};

void Runner::run_one(const WorkStatement& work) {
    context_.limit.begin_statement(context_.statement_timeout);
    context_.authorizer.clear_denial();
    sqlite3_stmt* handle = compile(work.sql);
    if (handle == nullptr) return;
    Statement statement(context_.connection, handle, nullptr);
    if (!bind(statement, work)) return;
    json::array columns;
    for (int i = 0; i < statement.column_count(); ++i) {
        columns.emplace_back(sqlite3_column_name(handle, i));
        bytes_ += base::json_string_size(sqlite3_column_name(handle, i)) + 1;
    }
    bool writes = sqlite3_stmt_readonly(handle) == 0;
    json::array rows;
    outcome_.executed = true;
    if (!collect(statement, rows)) return;
    if (context_.must_be_recordable && !context_.capture.not_recordable().empty()) {
        return refuse(reason::kNotRecordable, context_.capture.not_recordable());
    }
    // OR ROLLBACK and RAISE(ROLLBACK) also return an error, so this cannot happen; if it did, the
    // next statement would commit by itself.
    if (!context_.connection.in_transaction()) {
        return refuse(reason::kStatementFailed, "it ended the transaction");
    }
    std::int64_t changed = writes ? sqlite3_changes64(context_.connection.handle()) : 0;
    check_expectation(work, writes ? static_cast<std::uint64_t>(changed) : rows.size());
    results_.push_back(json::object{
        {"rows_affected", changed}, {"columns", std::move(columns)}, {"rows", std::move(rows)}});
}

// It has been admitted by its first keyword, a second lock on the door besides the authorizer,
// which is not asked about every statement (VACUUM). Exactly one statement: what follows it may
// only be white space, comments and semicolons.
sqlite3_stmt* Runner::compile(const std::string& sql) {
    sqlite3* handle = context_.connection.handle();
    sqlite3_stmt* first = nullptr;
    const char* rest = sql.data();
    const char* end = sql.data() + sql.size();
    while (rest < end) {
        sqlite3_stmt* next = nullptr;
        int code = sqlite3_prepare_v2(handle, rest, static_cast<int>(end - rest), &next, &rest);
        if (first != nullptr && (next != nullptr || code != SQLITE_OK)) {
            sqlite3_finalize(next);
            sqlite3_finalize(first);
            refuse(reason::kBadRequest, "only one SQL statement is allowed in each item");
            return nullptr;
        }
        if (code != SQLITE_OK) {
            static_cast<void>(context_.connection.failure("compiling"));
            refuse_failure();
            return nullptr;
        }
        if (next != nullptr) first = next;
    }
    if (first == nullptr) refuse(reason::kBadRequest, "there is no SQL statement in it");
    return first;
}

bool Runner::bind(Statement& statement, const WorkStatement& work) {
    const std::vector<Value>& params = work.params;
    auto wanted = static_cast<std::size_t>(sqlite3_bind_parameter_count(statement.handle()));
    if (params.size() != wanted) {
        refuse(reason::kBadRequest,
               "it has " + std::to_string(wanted) + " parameters, but " +
                   std::to_string(params.size()) + " values were given");
        return false;
    }
    statement.bind_row(1, params);
    return true;
}

bool Runner::collect(Statement& statement, json::array& rows) {
    for (;;) {
        base::Result<bool> step = statement.step();
        if (!step.has_value()) {
            refuse_failure();
            return false;
        }
        if (!step.value()) return true;
        json::array row;
        for (int i = 0; i < statement.column_count(); ++i) {
            row.push_back(to_json(statement.column(i)));
            bytes_ += json_size(row.back());
        }
        rows.push_back(std::move(row));
        if (++rows_ > context_.limits.rows_max || bytes_ > context_.limits.result_bytes_max) {
            refuse(reason::kNotAllowed,
                   "the branch returns more than " + plural(context_.limits.rows_max) + " or " +
                       std::to_string(context_.limits.result_bytes_max) + " bytes");
            return false;
        }
    }
}

void Runner::check_expectation(const WorkStatement& work, std::uint64_t found) {
    if (!work.expect_rows.has_value() || *work.expect_rows == found) return;
    refuse(reason::kExpectationMissed,
           "expected " + plural(*work.expect_rows) + ", found " + std::to_string(found));
}

std::string_view code_of(StopCause cause) {
    switch (cause) {
        case StopCause::cancelled: return reason::kClientAbort;
        case StopCause::deadline: return reason::kDeadline;
        default: return reason::kStatementTimeout;
    }
}

std::string_view text_of(StopCause cause) {
    switch (cause) {
        case StopCause::cancelled: return "the branch was cancelled";
        case StopCause::deadline: return "the transaction's deadline passed";
        default: return "it ran longer than its statement timeout";
    }
}

}  // namespace

RunLimit::RunLimit(Connection& connection, Clock clock, std::function<bool()> cancelled)
    : connection_(connection), clock_(std::move(clock)), cancelled_(std::move(cancelled)) {
    sqlite3_progress_handler(connection_.handle(), kProgressSteps, on_progress, this);
}

RunLimit::~RunLimit() { sqlite3_progress_handler(connection_.handle(), 0, nullptr, nullptr); }

void RunLimit::begin_branch(std::chrono::milliseconds deadline) {
    cause_ = StopCause::none;
    statement_until_ = 0;
    deadline_at_ = deadline.count() == 0 ? 0 : clock_() + deadline.count();
}

void RunLimit::begin_statement(std::chrono::milliseconds timeout) {
    statement_until_ = timeout.count() == 0 ? 0 : clock_() + timeout.count();
}

StopCause RunLimit::check() {
    if (cause_ != StopCause::none) return cause_;
    if (cancelled_()) return cause_ = StopCause::cancelled;
    if (deadline_at_ == 0 && statement_until_ == 0) return cause_;
    std::int64_t now = clock_();
    if (deadline_at_ != 0 && now >= deadline_at_) return cause_ = StopCause::deadline;
    if (statement_until_ != 0 && now >= statement_until_) {
        return cause_ = StopCause::statement_timeout;
    }
    return cause_;
}

protocol::Reason reason_of(const RunContext& context, const std::string& what, std::int32_t index) {
    // sqlite3_interrupt() from another thread shows up as a code; the limit knows who it was.
    bool interrupted = (context.errors.code() & 0xff) == SQLITE_INTERRUPT;
    StopCause cause = interrupted ? context.limit.check() : context.limit.cause();
    if (context.errors.code() != 0 && !interrupted) cause = StopCause::none;
    if (cause != StopCause::none) {
        return {std::string(code_of(cause)), what + ": " + std::string(text_of(cause)), index, {}};
    }
    const Authorizer::Denial& denial = context.authorizer.denial();
    if (!denial.code.empty())
        return {std::string(denial.code), what + ": " + denial.text, index, {}};
    const ErrorClass& row = error_class(context.errors.code());
    return {
        std::string(row.reason), what + ": " + context.errors.text(), index, std::string(row.name)};
}

RunOutcome run_statements(const RunContext& context, const std::vector<WorkStatement>& statements) {
    return Runner(context).run(statements);
}

}  // namespace twofold::participant::sqlite
