// One libpq connection on the event loop, in pipeline mode: any number of statements are sent as
// one message, and their answers are collected into one reply.
//
// One exchange at a time, so that every notice belongs to the exchange that runs. A lost connection
// is an event: whoever waits gets a reply that says so, and nothing about what the server did.
// Thread: the loop's.
#pragma once

#include "async/deadline.h"
#include "async/event_loop.h"
#include "base/result.h"
#include "participant/postgres/host_lookup.h"
#include "participant/postgres/options.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace twofold::participant::postgres {

using Cell = std::optional<std::string>;  // text form; nothing = NULL

struct Param {
    Cell text;
    std::uint32_t type = 0;  // oid; 0 = the server infers it
};

struct Statement {
    std::string sql;
    std::vector<Param> params;
    bool row_by_row =
        false;  // rows are counted as they come, so that the limits hold in memory too
    // An error makes the server skip what follows, up to here. The last statement always syncs.
    bool sync_after = false;
};

struct Exchange {
    std::vector<Statement> statements;
    std::chrono::milliseconds limit{30'000};
    // Of all row_by_row statements together; more is dropped and noted. Bytes are those of the
    // rows' JSON.
    std::size_t rows_max = 1'000;
    std::size_t bytes_max = 1U << 20U;
};

struct Column {
    std::string name;
    std::uint32_t type = 0;
};

struct ServerError {
    std::string sqlstate;
    std::string message;
    std::string constraint;
};

struct StatementResult {
    enum class Status : std::uint8_t { success, failed, skipped };
    Status status = Status::skipped;
    std::string tag;  // "INSERT 0 1"
    ServerError error;
    std::vector<Column> columns;
    std::vector<std::vector<Cell>> rows;
    bool truncated = false;

    [[nodiscard]] bool ok() const { return status == Status::success; }
    // The cell, or "" when it is NULL or not there.
    [[nodiscard]] std::string text(std::size_t row, std::size_t column) const;
};

struct Notice {
    std::string sqlstate;
    std::string message;
    // Statements that were answered before. libpq reads one result ahead: a notice of statement i
    // may come with i-1 here, never with less, and never with more than i.
    std::size_t answered_before = 0;
};

enum class Loss : std::uint8_t { none, lost, timed_out, closed };
enum class TransactionStatus : std::uint8_t { idle, open, failed, unknown };

struct Reply {
    Loss loss = Loss::none;
    std::string loss_text;
    std::vector<StatementResult> results;  // as many as were answered, in order
    std::deque<Notice> notices;            // warnings, the last hundred
    TransactionStatus transaction = TransactionStatus::unknown;

    // The connection held, every statement was answered and none failed.
    [[nodiscard]] bool ok() const;
    // What went wrong, for messages.
    [[nodiscard]] std::string problem() const;
    // The first error's SQLSTATE, or "".
    [[nodiscard]] std::string sqlstate() const;
};

class Connection {
public:
    using OpenCallback = std::function<void(base::Result<void>)>;
    using ReplyCallback = std::function<void(Reply)>;
    using LostCallback = std::function<void(const std::string& why)>;

    Connection(async::EventLoop& loop,
               std::shared_ptr<async::DeadlineQueue> deadlines,
               Counters& counters);
    ~Connection();  // closes; a reply that is due is dropped
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // The dsn's own application_name and client_encoding are overridden.
    void open(HostLookup& lookup,
              const std::string& dsn,
              const std::string& application_name,
              std::chrono::milliseconds limit,
              OpenCallback done);

    // Sends everything and calls back once. The callback may destroy the connection.
    void run(Exchange exchange, ReplyCallback done);

    // Called when the connection breaks while nothing runs.
    void on_lost(LostCallback callback);

    // Ends the session from our side. A running exchange is answered with Loss::closed, inside of
    // this call. The server may still finish what it was sent.
    void close();

    [[nodiscard]] bool is_open() const;
    [[nodiscard]] bool busy() const;
    // It has read a row that was so long that its buffer should not be kept.
    [[nodiscard]] bool is_bloated() const;
    [[nodiscard]] int announced_pid() const;  // as told at log-in; a pooler invents one
    [[nodiscard]] int server_version() const;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace twofold::participant::postgres
