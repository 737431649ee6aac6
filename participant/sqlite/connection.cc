#include "participant/sqlite/connection.h"

#include "participant/sqlite/error_class.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

namespace twofold::participant::sqlite {

namespace {

constexpr std::size_t kCachedStatementsMax = 400;

base::Errc errc_of(int code) {
    switch (code & 0xff) {
        case SQLITE_BUSY:
        case SQLITE_LOCKED: return base::Errc::locked;
        case SQLITE_FULL: return base::Errc::disk_full;
        case SQLITE_IOERR: return base::Errc::io_error;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB: return base::Errc::corrupt;
        case SQLITE_PERM:
        case SQLITE_READONLY:
        case SQLITE_AUTH: return base::Errc::permission_denied;
        case SQLITE_INTERRUPT: return base::Errc::cancelled;
        case SQLITE_TOOBIG: return base::Errc::limit_exceeded;
        default: return base::Errc::unavailable;
    }
}

int on_busy(void* context, int calls) {
    return static_cast<Connection*>(context)->wait_once(calls);
}

}  // namespace

void ErrorState::clear() {
    code_ = 0;
    text_.clear();
}

void ErrorState::note(int code, std::string text, bool at_commit) {
    const ErrorClass& row = error_class(code);
    bool fatal = (at_commit ? row.at_commit : row.before_commit) == Consequence::must_exit;
    if (code_ == 0 || (fatal && !must_exit_)) {
        code_ = code;
        text_ = std::move(text);
    }
    must_exit_ = must_exit_ || fatal;
}

Statement::Statement(Connection& connection, sqlite3_stmt* handle, bool* in_use)
    : connection_(&connection), handle_(handle), in_use_(in_use) {
    if (in_use_ != nullptr) *in_use_ = true;
}

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_),
      handle_(std::exchange(other.handle_, nullptr)),
      in_use_(std::exchange(other.in_use_, nullptr)) {}

Statement::~Statement() {
    if (handle_ == nullptr) return;
    if (in_use_ == nullptr) {
        sqlite3_finalize(handle_);
        return;
    }
    sqlite3_reset(handle_);
    sqlite3_clear_bindings(handle_);
    *in_use_ = false;
}

void Statement::bind(int position, const Value& value) {
    if (const std::int64_t* integer = value.integer()) {
        bind(position, *integer);
    } else if (const double* real = std::get_if<double>(&value.data)) {
        sqlite3_bind_double(handle_, position, *real);
    } else if (const std::string* text = value.text()) {
        bind(position, std::string_view(*text));
    } else if (const base::Bytes* blob = value.blob()) {
        bind(position, base::ByteSpan(*blob));
    } else {
        sqlite3_bind_null(handle_, position);
    }
}

void Statement::bind(int position, std::int64_t value) {
    sqlite3_bind_int64(handle_, position, value);
}

void Statement::bind(int position, std::string_view text) {
    // A null pointer would bind NULL instead of the empty string.
    const char* data = text.data() == nullptr ? "" : text.data();
    sqlite3_bind_text64(handle_, position, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void Statement::bind(int position, base::ByteSpan blob) {
    if (blob.empty()) {
        sqlite3_bind_zeroblob(handle_, position, 0);
    } else {
        sqlite3_bind_blob64(handle_, position, blob.data(), blob.size(), SQLITE_TRANSIENT);
    }
}

int Statement::bind_row(int first, const Row& row) {
    for (const Value& value : row) bind(first++, value);
    return first;
}

base::Result<bool> Statement::step() {
    int code = sqlite3_step(handle_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return connection_->failure(sqlite3_sql(handle_));
}

base::Result<void> Statement::run() {
    for (;;) {
        TWOFOLD_TRY(bool row, step());
        if (!row) break;
    }
    reset();
    return base::ok();
}

void Statement::reset() { sqlite3_reset(handle_); }

int Statement::column_count() const { return sqlite3_column_count(handle_); }

Value Statement::column(int index) const {
    switch (sqlite3_column_type(handle_, index)) {
        case SQLITE_INTEGER: return {std::int64_t{sqlite3_column_int64(handle_, index)}};
        case SQLITE_FLOAT: return {sqlite3_column_double(handle_, index)};
        case SQLITE_TEXT: return {text(index)};
        case SQLITE_BLOB: return {blob(index)};
        default: return {};
    }
}

std::int64_t Statement::integer(int index) const { return sqlite3_column_int64(handle_, index); }

std::string Statement::text(int index) const {
    // The order matters: text() may convert, and bytes() then counts the converted form.
    const unsigned char* data = sqlite3_column_text(handle_, index);
    auto size = static_cast<std::size_t>(sqlite3_column_bytes(handle_, index));
    return data == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(data), size);
}

base::Bytes Statement::blob(int index) const {
    const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_, index));
    auto size = static_cast<std::size_t>(sqlite3_column_bytes(handle_, index));
    return data == nullptr ? base::Bytes() : base::Bytes(data, data + size);
}

void Connection::Finalize::operator()(sqlite3_stmt* statement) const {
    sqlite3_finalize(statement);
}

base::Result<std::unique_ptr<Connection>> Connection::open(const std::string& path,
                                                           const std::string& vfs,
                                                           ErrorState& errors) {
    std::unique_ptr<Connection> connection(new Connection(errors));
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (vfs.empty()) {
        flags |= SQLITE_OPEN_NOFOLLOW;  // the store has resolved the folder; the file is no link
    } else {
        flags |= SQLITE_OPEN_CREATE;  // a VFS of a test has no other way to make its file
    }
    const char* vfs_name = vfs.empty() ? nullptr : vfs.c_str();
    if (sqlite3_open_v2(path.c_str(), &connection->handle_, flags, vfs_name) != SQLITE_OK) {
        return connection->failure("opening " + path);
    }
    sqlite3_extended_result_codes(connection->handle_, 1);
    sqlite3_busy_handler(connection->handle_, on_busy, connection.get());
    return connection;
}

Connection::~Connection() {
    cache_.clear();
    sqlite3_close_v2(handle_);
}

base::Result<Statement> Connection::prepare(std::string_view sql) {
    auto found = cache_.find(sql);
    if (found != cache_.end() && !found->second.in_use) {
        return Statement(*this, found->second.handle.get(), &found->second.in_use);
    }
    sqlite3_stmt* handle = nullptr;
    int code = sqlite3_prepare_v3(handle_,
                                  sql.data(),
                                  static_cast<int>(sql.size()),
                                  SQLITE_PREPARE_PERSISTENT,
                                  &handle,
                                  nullptr);
    if (code != SQLITE_OK) return failure(sql);
    if (found != cache_.end() || cache_.size() >= kCachedStatementsMax) {
        return Statement(*this, handle, nullptr);
    }
    Cached& cached = cache_[std::string(sql)];
    cached.handle.reset(handle);
    return Statement(*this, handle, &cached.in_use);
}

base::Result<void> Connection::exec(std::string_view sql) {
    TWOFOLD_TRY(Statement statement, prepare(sql));
    return statement.run();
}

base::Result<std::int64_t> Connection::query_integer(std::string_view sql) {
    TWOFOLD_TRY(Statement statement, prepare(sql));
    TWOFOLD_TRY(bool row, statement.step());
    if (!row) return base::fail(base::Errc::not_found, "no row: " + std::string(sql));
    return statement.integer(0);
}

base::Result<std::string> Connection::query_text(std::string_view sql) {
    TWOFOLD_TRY(Statement statement, prepare(sql));
    TWOFOLD_TRY(bool row, statement.step());
    if (!row) return base::fail(base::Errc::not_found, "no row: " + std::string(sql));
    return statement.text(0);
}

void Connection::set_wait(BusyWait wait) {
    wait_ = std::move(wait);
    waited_ = std::chrono::milliseconds(0);
}

base::Result<void> Connection::begin_immediate(BusyWait wait) {
    set_wait(std::move(wait));
    return exec("BEGIN IMMEDIATE");
}

base::Result<void> Connection::commit() {
    TWOFOLD_TRY(Statement statement, prepare("COMMIT"));
    int code = sqlite3_step(statement.handle());
    if (code == SQLITE_DONE) return base::ok();
    base::Error error = failure("COMMIT", true);
    statement.reset();
    rollback();
    return error;
}

void Connection::rollback() {
    if (!in_transaction()) return;
    sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

bool Connection::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

base::Error Connection::failure(std::string_view during, bool at_commit) {
    int code = handle_ == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(handle_);
    std::string text = handle_ == nullptr ? "out of memory" : sqlite3_errmsg(handle_);
    errors_.note(code, text, at_commit);
    std::string context = std::string(error_class(code).name) + ": " + text;
    return base::fail(errc_of(code), context + " (" + std::string(during.substr(0, 200)) + ")");
}

int Connection::wait_once(int calls) {
    // Short waits first: most writers of other processes are done within a millisecond or two.
    std::chrono::milliseconds pause(std::clamp(calls, 1, 10));
    if (waited_ + pause > wait_.limit || (wait_.give_up && wait_.give_up())) return 0;
    waited_ += pause;
    sqlite3_vfs* vfs = nullptr;
    sqlite3_file_control(handle_, "main", SQLITE_FCNTL_VFS_POINTER, static_cast<void*>(&vfs));
    if (vfs != nullptr) vfs->xSleep(vfs, static_cast<int>(pause.count()) * 1000);
    return 1;
}

}  // namespace twofold::participant::sqlite
