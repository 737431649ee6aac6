// RAII around sqlite3 and sqlite3_stmt. Connections remember prepared statements by their text.
// Failures are base::Error for the way up; the SQLite code that decides what may be answered is
// kept in an ErrorState that all connections of a store share.
#pragma once

#include "base/result.h"
#include "participant/sqlite/value.h"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

struct sqlite3;
struct sqlite3_stmt;

namespace twofold::participant::sqlite {

// The first failure since the last clear(); one that ends the process replaces any other.
class ErrorState {
public:
    void clear();
    // Notes an extended result code; `at_commit` when a COMMIT returned it.
    void note(int code, std::string text, bool at_commit);

    [[nodiscard]] int code() const { return code_; }
    [[nodiscard]] const std::string& text() const { return text_; }
    [[nodiscard]] bool must_exit() const { return must_exit_; }

private:
    int code_ = 0;
    std::string text_;
    bool must_exit_ = false;  // never cleared
};

class Connection;

// A prepared statement, borrowed from its connection; must not outlive it. Reset when destroyed.
class Statement {
public:
    Statement(Connection& connection, sqlite3_stmt* handle, bool* in_use);
    ~Statement();
    Statement(Statement&& other) noexcept;
    Statement& operator=(Statement&&) = delete;
    Statement(const Statement&) = delete;
    Statement& operator=(const Statement&) = delete;

    // Positions from 1. Values are copied.
    void bind(int position, const Value& value);
    void bind(int position, std::int64_t value);
    void bind(int position, std::string_view text);
    void bind(int position, base::ByteSpan blob);
    // From `first` on; returns the position after the last.
    int bind_row(int first, const Row& row);

    // True: a row is there. False: done.
    [[nodiscard]] base::Result<bool> step();
    // Steps to the end, ignoring rows.
    [[nodiscard]] base::Result<void> run();
    void reset();

    // Columns of the current row, from 0.
    [[nodiscard]] int column_count() const;
    [[nodiscard]] Value column(int index) const;
    [[nodiscard]] std::int64_t integer(int index) const;
    [[nodiscard]] std::string text(int index) const;
    [[nodiscard]] base::Bytes blob(int index) const;

    [[nodiscard]] sqlite3_stmt* handle() const { return handle_; }

private:
    Connection* connection_;
    sqlite3_stmt* handle_;
    bool* in_use_;  // of the cache; null: this statement is ours to finalise
};

// What a busy handler asks between its waits.
struct BusyWait {
    std::chrono::milliseconds limit{0};
    std::function<bool()> give_up;  // may be empty
};

class Connection {
public:
    // `path` must not be interpretable as a URI. `errors` must outlive the connection.
    [[nodiscard]] static base::Result<std::unique_ptr<Connection>> open(const std::string& path,
                                                                        const std::string& vfs,
                                                                        ErrorState& errors);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    [[nodiscard]] base::Result<Statement> prepare(std::string_view sql);
    // One statement without parameters, rows ignored.
    [[nodiscard]] base::Result<void> exec(std::string_view sql);
    // First column of the first row; an error when there is none.
    [[nodiscard]] base::Result<std::int64_t> query_integer(std::string_view sql);
    [[nodiscard]] base::Result<std::string> query_text(std::string_view sql);

    // How long statements outside of transactions wait for other processes.
    void set_wait(BusyWait wait);
    // BEGIN IMMEDIATE, waiting for other processes as `wait` says.
    [[nodiscard]] base::Result<void> begin_immediate(BusyWait wait);
    // COMMIT. After an error the transaction is rolled back as far as this process can tell;
    // whether that is so after a restart depends on the code (see error_class.h), which errors has.
    [[nodiscard]] base::Result<void> commit();
    // No-op without a transaction. A failing ROLLBACK only loses what was to be lost.
    void rollback();
    [[nodiscard]] bool in_transaction() const;

    // Turns the last failure into an Error and notes it.
    [[nodiscard]] base::Error failure(std::string_view during, bool at_commit = false);

    // Forgets the cached statements that are not in use.
    void forget_statements() { cache_.clear(); }

    [[nodiscard]] sqlite3* handle() const { return handle_; }
    [[nodiscard]] int wait_once(int calls);  // busy handler

private:
    explicit Connection(ErrorState& errors) : errors_(errors) {}

    struct Finalize {
        void operator()(sqlite3_stmt* statement) const;
    };
    struct Cached {
        std::unique_ptr<sqlite3_stmt, Finalize> handle;
        bool in_use = false;
    };

    sqlite3* handle_ = nullptr;
    ErrorState& errors_;
    std::map<std::string, Cached, std::less<>> cache_;
    BusyWait wait_;
    std::chrono::milliseconds waited_{0};
};

// Rolls back when it goes out of scope, unless the transaction has ended before.
class TransactionGuard {
public:
    explicit TransactionGuard(Connection& connection) : connection_(connection) {}
    ~TransactionGuard() { connection_.rollback(); }
    TransactionGuard(const TransactionGuard&) = delete;
    TransactionGuard& operator=(const TransactionGuard&) = delete;

private:
    Connection& connection_;
};

}  // namespace twofold::participant::sqlite
