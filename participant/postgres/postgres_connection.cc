// The only file that knows libpq.
#include "async/fd_watch.h"
#include "base/assert.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "participant/postgres/connection.h"

#include <libpq-fe.h>
#include <sys/socket.h>

#include <array>
#include <map>
#include <string_view>
#include <utility>

namespace twofold::participant::postgres {

namespace {

using base::Errc;
using std::chrono::milliseconds;

struct PqDelete {
    void operator()(PGconn* connection) const { PQfinish(connection); }
    void operator()(PGresult* result) const { PQclear(result); }
    void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
    void operator()(char* text) const { PQfreemem(text); }
};
template <class T>
using PqOwned = std::unique_ptr<T, PqDelete>;

constexpr std::string_view kWarningClass = "01";
constexpr std::size_t kNoticesMax = 100;
constexpr std::size_t kKeptBuffer = 1U << 20U;

constexpr std::size_t kAroundCell = 16;  // a comma, {"base64":""}

std::string trimmed(const char* text) {
    std::string out(text == nullptr ? "" : text);
    while (!out.empty() && (out.back() == '\n' || out.back() == ' ')) out.pop_back();
    return out;
}

std::string field(const PGresult* result, int code) {
    const char* text = PQresultErrorField(result, code);
    return text == nullptr ? "" : text;
}

// The dsn's parameters with ours on top.
base::Result<ConnectionParameters> connection_parameters(const std::string& dsn,
                                                         const std::string& application_name) {
    char* problem = nullptr;
    PqOwned<PQconninfoOption> parsed(PQconninfoParse(dsn.c_str(), &problem));
    PqOwned<char> problem_text(problem);
    if (parsed == nullptr) return base::fail(Errc::invalid_argument, "dsn: " + trimmed(problem));
    // A peer that vanished without a word must not look alive for two hours.
    ConnectionParameters parameters = {{"keepalives_idle", "10"},
                                       {"keepalives_interval", "5"},
                                       {"keepalives_count", "3"},
                                       {"tcp_user_timeout", "20000"}};
    for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
        if (option->val != nullptr) parameters[option->keyword] = option->val;
    }
    parameters["application_name"] = application_name;
    parameters["client_encoding"] = "UTF8";
    return parameters;
}

TransactionStatus to_status(PGTransactionStatusType status) {
    switch (status) {
        case PQTRANS_IDLE: return TransactionStatus::idle;
        case PQTRANS_INTRANS: return TransactionStatus::open;
        case PQTRANS_INERROR: return TransactionStatus::failed;
        case PQTRANS_ACTIVE:
        case PQTRANS_UNKNOWN: break;
    }
    return TransactionStatus::unknown;
}

}  // namespace

std::string StatementResult::text(std::size_t row, std::size_t column) const {
    if (row >= rows.size() || column >= rows[row].size()) return "";
    return rows[row][column].value_or("");
}

bool Reply::ok() const {
    if (loss != Loss::none) return false;
    for (const StatementResult& result : results) {
        if (!result.ok()) return false;
    }
    return true;
}

std::string Reply::problem() const {
    if (loss != Loss::none) return loss_text;
    for (const StatementResult& result : results) {
        if (result.status == StatementResult::Status::failed) {
            return result.error.message + " (" + result.error.sqlstate + ")";
        }
    }
    return "";
}

std::string Reply::sqlstate() const {
    for (const StatementResult& result : results) {
        if (result.status == StatementResult::Status::failed) return result.error.sqlstate;
    }
    return "";
}

struct Connection::Impl : std::enable_shared_from_this<Connection::Impl> {
    Impl(async::EventLoop& loop,
         std::shared_ptr<async::DeadlineQueue> deadlines_in,
         Counters& counters_in)
        : counters(counters_in),
          deadlines(std::move(deadlines_in)),
          watch(loop),
          deadline(*deadlines, [this] { on_deadline(); }) {}

    // ---- opening ----
    void open(HostLookup& lookup,
              const std::string& dsn,
              const std::string& application_name,
              milliseconds limit,
              OpenCallback done);
    void connect(const ConnectionParameters& parameters);
    void poll_connect(PostgresPollingStatusType wanted);
    void finish_open(base::Result<void> result);

    // ---- exchanges ----
    void run(Exchange exchange, ReplyCallback done);
    bool send(const Statement& statement);
    void begin_statement();
    void on_ready();
    void collect();
    bool take(const PGresult* result);
    void take_rows(const PGresult* result, StatementResult& into);
    [[nodiscard]] bool has_room(const PGresult* result, int row);
    [[nodiscard]] bool is_row_by_row() const;
    void take_error(const PGresult* result, StatementResult& into);
    StatementResult& current_result();
    void complete();
    void flush_and_wait();
    void on_deadline();
    void end(Loss loss, std::string why);
    static void on_notice(void* self, const PGresult* notice);

    Counters& counters;
    std::shared_ptr<async::DeadlineQueue> deadlines;  // must outlive the deadline
    async::FdWatch watch;
    async::Deadline deadline;
    PqOwned<PGconn> handle;
    OpenCallback open_done;
    std::uint64_t opens = 0;
    LostCallback lost_callback;

    Exchange exchange;
    ReplyCallback reply_done;
    Reply reply;
    std::size_t answered = 0;  // statements whose last result was taken
    bool saw_result = false;   // the current statement has been answered; its end has not been read
    std::size_t syncs_left = 0;
    std::size_t rows = 0;
    std::size_t bytes = 0;
    bool is_bloated = false;
    std::string fatal;  // the server said good-bye
};

// ---- opening
// -------------------------------------------------------------------------------------

void Connection::Impl::open(HostLookup& lookup,
                            const std::string& dsn,
                            const std::string& application_name,
                            milliseconds limit,
                            OpenCallback done) {
    open_done = std::move(done);
    auto parameters = connection_parameters(dsn, application_name);
    if (!parameters.has_value()) return finish_open(parameters.error());
    deadline.arm(std::chrono::steady_clock::now() + limit);
    lookup.complete(std::move(parameters.value()),
                    [weak = weak_from_this(),
                     mine = ++opens](const base::Result<ConnectionParameters>& completed) {
                        auto self = weak.lock();
                        // Closed, or given up, while the name was looked up.
                        if (self == nullptr || !self->open_done || self->opens != mine) return;
                        if (!completed.has_value()) return self->finish_open(completed.error());
                        self->connect(completed.value());
                    });
}

void Connection::Impl::connect(const ConnectionParameters& parameters) {
    std::vector<const char*> names;
    std::vector<const char*> values;
    for (const auto& [name, value] : parameters) {
        names.push_back(name.c_str());
        values.push_back(value.c_str());
    }
    names.push_back(nullptr);
    values.push_back(nullptr);
    handle.reset(PQconnectStartParams(names.data(), values.data(), 0));
    poll_connect(PGRES_POLLING_WRITING);
}

void Connection::Impl::poll_connect(PostgresPollingStatusType wanted) {
    if (handle == nullptr || PQstatus(handle.get()) == CONNECTION_BAD ||
        wanted == PGRES_POLLING_FAILED) {
        std::string why =
            handle == nullptr ? "out of memory" : trimmed(PQerrorMessage(handle.get()));
        return finish_open(base::fail(Errc::unavailable, std::move(why)));
    }
    if (wanted == PGRES_POLLING_OK) return finish_open(base::ok());
    // libpq may have changed to another socket: watch() notices.
    base::Result<void> watched = watch.watch(PQsocket(handle.get()));
    if (!watched.has_value()) return finish_open(watched.error());
    auto go_on = [this] {
        auto self = shared_from_this();
        poll_connect(PQconnectPoll(handle.get()));
    };
    if (wanted == PGRES_POLLING_READING) {
        watch.wait_readable(go_on);
    } else {
        watch.wait_writable(go_on);
    }
}

void Connection::Impl::finish_open(base::Result<void> result) {
    auto self = shared_from_this();
    deadline.disarm();
    if (result.has_value()) {
        bool ready =
            PQsetnonblocking(handle.get(), 1) == 0 && PQenterPipelineMode(handle.get()) == 1;
        base::Result<void> watched = watch.watch(PQsocket(handle.get()));
        if (!ready || !watched.has_value()) {
            result = base::fail(Errc::unavailable, "the connection cannot be used asynchronously");
        }
    }
    if (result.has_value()) {
        PQsetNoticeReceiver(handle.get(), &Impl::on_notice, this);
        ++counters.connections_opened;
        flush_and_wait();
    } else {
        watch.release();
        handle.reset();
    }
    // Moved out first: the callback may open again or destroy us.
    OpenCallback done = std::exchange(open_done, nullptr);
    if (done) done(std::move(result));
}

// ---- exchanges
// -----------------------------------------------------------------------------------

void Connection::Impl::run(Exchange next, ReplyCallback done) {
    TWOFOLD_ASSERT(handle != nullptr, "an exchange on a closed connection");
    TWOFOLD_ASSERT(!reply_done, "two exchanges at a time on one connection");
    TWOFOLD_ASSERT(!next.statements.empty(), "an empty exchange");
    auto self = shared_from_this();
    exchange = std::move(next);
    reply_done = std::move(done);
    reply = {};
    answered = 0;
    saw_result = false;
    syncs_left = 0;
    rows = 0;
    bytes = 0;
    ++counters.round_trips;
    counters.statements += exchange.statements.size();
    deadline.arm(std::chrono::steady_clock::now() + exchange.limit);
    if (TWOFOLD_IO_ERROR() != 0) static_cast<void>(::shutdown(PQsocket(handle.get()), SHUT_RDWR));
    for (std::size_t i = 0; i < exchange.statements.size(); ++i) {
        bool last = i + 1 == exchange.statements.size();
        bool sync = last || exchange.statements[i].sync_after;
        syncs_left += sync ? 1U : 0U;
        if (!send(exchange.statements[i]) || (sync && PQpipelineSync(handle.get()) != 1)) {
            return end(Loss::lost, trimmed(PQerrorMessage(handle.get())));
        }
    }
    begin_statement();
    flush_and_wait();
}

bool Connection::Impl::send(const Statement& statement) {
    std::vector<Oid> types;
    std::vector<const char*> values;
    for (const Param& param : statement.params) {
        types.push_back(param.type);
        values.push_back(param.text.has_value() ? param.text->c_str() : nullptr);
    }
    return PQsendQueryParams(handle.get(),
                             statement.sql.c_str(),
                             static_cast<int>(values.size()),
                             types.data(),
                             values.data(),
                             nullptr,
                             nullptr,
                             0) == 1;
}

// libpq wants to be told for each statement of a pipeline, just before its first result is read.
void Connection::Impl::begin_statement() {
    saw_result = false;
    if (answered < exchange.statements.size() && exchange.statements[answered].row_by_row) {
        static_cast<void>(PQsetSingleRowMode(handle.get()));
    }
}

void Connection::Impl::flush_and_wait() {
    int left = PQflush(handle.get());
    if (left < 0) return end(Loss::lost, trimmed(PQerrorMessage(handle.get())));
    if (left > 0) watch.wait_writable([this] { on_ready(); });
    watch.wait_readable([this] { on_ready(); });
}

void Connection::Impl::on_ready() {
    auto self = shared_from_this();
    // What the server said before it closed is still read: it may be the answer.
    bool alive = PQconsumeInput(handle.get()) == 1;
    collect();
    if (handle == nullptr) return;  // a callback closed it
    if (!alive || PQstatus(handle.get()) == CONNECTION_BAD) {
        return end(Loss::lost, fatal.empty() ? trimmed(PQerrorMessage(handle.get())) : fatal);
    }
    flush_and_wait();
}

bool Connection::Impl::is_row_by_row() const {
    return reply_done && answered < exchange.statements.size() &&
           exchange.statements[answered].row_by_row;
}

void Connection::Impl::collect() {
    int empty_in_a_row = 0;
    while (reply_done && !PQisBusy(handle.get())) {
        PqOwned<PGresult> result(PQgetResult(handle.get()));
        if (result == nullptr) {
            if (saw_result) ++answered;
            begin_statement();
            // Twice nothing: libpq has given up on this connection.
            if (++empty_in_a_row > 1) return;
            continue;
        }
        empty_in_a_row = 0;
        if (!take(result.get())) return;
        if (syncs_left == 0) return complete();
    }
}

StatementResult& Connection::Impl::current_result() {
    if (reply.results.size() <= answered) reply.results.resize(answered + 1);
    return reply.results[answered];
}

// False when the connection is of no use any more; on_ready() sees to the rest.
bool Connection::Impl::take(const PGresult* result) {
    switch (PQresultStatus(result)) {
        case PGRES_PIPELINE_SYNC:
            --syncs_left;
            begin_statement();
            return true;
        case PGRES_SINGLE_TUPLE: take_rows(result, current_result()); return true;
        case PGRES_TUPLES_OK:
        case PGRES_COMMAND_OK:
        case PGRES_EMPTY_QUERY: {
            StatementResult& into = current_result();
            take_rows(result, into);
            into.status = StatementResult::Status::success;
            into.tag = PQcmdStatus(const_cast<PGresult*>(result));  // libpq's const is missing
            saw_result = true;
            return true;
        }
        case PGRES_FATAL_ERROR: take_error(result, current_result()); return fatal.empty();
        case PGRES_PIPELINE_ABORTED:
            current_result().status = StatementResult::Status::skipped;
            saw_result = true;
            return true;
        default: fatal = "an answer of a kind that was not asked for (COPY?)"; break;
    }
    end(Loss::lost, fatal);
    return false;
}

void Connection::Impl::take_rows(const PGresult* result, StatementResult& into) {
    bool limited = is_row_by_row();
    int columns = PQnfields(result);
    if (into.columns.empty()) {
        for (int i = 0; i < columns; ++i)
            into.columns.push_back({PQfname(result, i), PQftype(result, i)});
        for (const Column& column : into.columns) {
            bytes += limited ? base::json_string_size(column.name) + 1 : 0;
        }
    }
    for (int row = 0; row < PQntuples(result); ++row) {
        if (limited && !has_room(result, row)) {
            into.truncated = true;
            return;
        }
        std::vector<Cell>& cells = into.rows.emplace_back();
        for (int i = 0; i < columns; ++i) {
            Cell& cell = cells.emplace_back();
            if (PQgetisnull(result, row, i) != 0) continue;
            auto length = static_cast<std::size_t>(PQgetlength(result, row, i));
            cell.emplace(PQgetvalue(result, row, i), length);
        }
    }
}

// A row that exceeds what is left of the limits is not copied. libpq holds a whole row before
// anybody can look at it, and keeps the buffer that it needed.
bool Connection::Impl::has_room(const PGresult* result, int row) {
    std::size_t length = 0;
    for (int i = 0; i < PQnfields(result); ++i) {
        length += static_cast<std::size_t>(PQgetlength(result, row, i));
    }
    if (length > kKeptBuffer) is_bloated = true;
    // Escaped it is not shorter: what is dropped need not be looked at.
    if (rows >= exchange.rows_max || bytes + length > exchange.bytes_max) return false;
    std::size_t wanted = 0;
    for (int i = 0; i < PQnfields(result); ++i) {
        std::string_view cell(PQgetvalue(result, row, i),
                              static_cast<std::size_t>(PQgetlength(result, row, i)));
        wanted += base::json_string_size(cell) + kAroundCell;
    }
    if (bytes + wanted > exchange.bytes_max) return false;
    bytes += wanted;
    ++rows;
    return true;
}

void Connection::Impl::take_error(const PGresult* result, StatementResult& into) {
    into.status = StatementResult::Status::failed;
    into.error.sqlstate = field(result, PG_DIAG_SQLSTATE);
    into.error.message = field(result, PG_DIAG_MESSAGE_PRIMARY);
    into.error.constraint = field(result, PG_DIAG_CONSTRAINT_NAME);
    saw_result = true;
    std::string severity = field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    bool from_server = !into.error.sqlstate.empty();
    if (from_server && severity != "FATAL" && severity != "PANIC") return;
    // The session is over: this is no answer about the statement.
    fatal = from_server ? into.error.message + " (" + into.error.sqlstate + ")"
                        : trimmed(PQresultErrorMessage(result));
    end(Loss::lost, fatal);
}

void Connection::Impl::complete() {
    deadline.disarm();
    reply.transaction = to_status(PQtransactionStatus(handle.get()));
    reply.results.resize(exchange.statements.size());
    ReplyCallback done = std::exchange(reply_done, nullptr);
    done(std::move(reply));
}

void Connection::Impl::on_deadline() {
    auto self = shared_from_this();
    if (open_done) {
        return finish_open(
            base::fail(Errc::timed_out, "no answer from the server while logging in"));
    }
    end(Loss::timed_out, "no answer within " + std::to_string(exchange.limit.count()) + " ms");
}

void Connection::Impl::end(Loss loss, std::string why) {
    if (handle == nullptr) {
        // Its host is being looked up.
        if (open_done) finish_open(base::fail(Errc::cancelled, "closed while logging in"));
        return;
    }
    auto self = shared_from_this();
    deadline.disarm();
    watch.release();
    handle.reset();
    if (loss != Loss::closed) ++counters.connections_lost;
    if (reply_done) {
        reply.loss = loss;
        reply.loss_text = std::move(why);
        ReplyCallback done = std::exchange(reply_done, nullptr);
        done(std::move(reply));
        return;
    }
    if (open_done) return finish_open(base::fail(Errc::cancelled, "closed while logging in"));
    LostCallback lost = lost_callback;
    if (loss != Loss::closed && lost) lost(why);
}

void Connection::Impl::on_notice(void* self, const PGresult* notice) {
    auto& impl = *static_cast<Impl*>(self);
    if (!impl.reply_done) {
        // "terminating connection due to administrator command" comes like this to an idle session.
        std::string severity = field(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
        if (severity == "FATAL") impl.fatal = field(notice, PG_DIAG_MESSAGE_PRIMARY);
        return;
    }
    // Work may raise any number. The one that is looked for comes last.
    std::string sqlstate = field(notice, PG_DIAG_SQLSTATE);
    if (!sqlstate.starts_with(kWarningClass)) return;
    std::size_t answered = impl.answered + (impl.saw_result ? 1U : 0U);
    auto& notices = impl.reply.notices;
    if (notices.size() == kNoticesMax) notices.pop_front();
    notices.push_back({std::move(sqlstate), field(notice, PG_DIAG_MESSAGE_PRIMARY), answered});
}

// ---- Connection
// ----------------------------------------------------------------------------------

Connection::Connection(async::EventLoop& loop,
                       std::shared_ptr<async::DeadlineQueue> deadlines,
                       Counters& counters)
    : impl_(std::make_shared<Impl>(loop, std::move(deadlines), counters)) {}

Connection::~Connection() {
    impl_->reply_done = nullptr;
    impl_->open_done = nullptr;
    impl_->lost_callback = nullptr;
    impl_->end(Loss::closed, "");
}

void Connection::open(HostLookup& lookup,
                      const std::string& dsn,
                      const std::string& application_name,
                      milliseconds limit,
                      OpenCallback done) {
    impl_->open(lookup, dsn, application_name, limit, std::move(done));
}
void Connection::run(Exchange exchange, ReplyCallback done) {
    impl_->run(std::move(exchange), std::move(done));
}
void Connection::on_lost(LostCallback callback) { impl_->lost_callback = std::move(callback); }
void Connection::close() { impl_->end(Loss::closed, "closed by us"); }
bool Connection::is_open() const { return impl_->handle != nullptr && !impl_->open_done; }
bool Connection::busy() const { return static_cast<bool>(impl_->reply_done); }
bool Connection::is_bloated() const { return impl_->is_bloated; }
int Connection::announced_pid() const {
    return impl_->handle == nullptr ? 0 : PQbackendPID(impl_->handle.get());
}
int Connection::server_version() const {
    return impl_->handle == nullptr ? 0 : PQserverVersion(impl_->handle.get());
}

}  // namespace twofold::participant::postgres
