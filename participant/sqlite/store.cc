// Opening, starting and looking at the store. The steps of a branch are in store_*.cc.
#include "participant/sqlite/store.h"

#include "base/log.h"
#include "base/rng.h"
#include "participant/sqlite/guards.h"
#include "participant/sqlite/store_impl.h"

#include <sqlite3.h>

#include <chrono>

namespace twofold::participant::sqlite {

namespace {

using base::Errc;

constexpr int kSqliteVersionMin = 3'037'000;  // pragma_table_list
// Larger values would have to be held several times in memory while they are recorded.
constexpr int kValueBytesMax = 64 << 20;
constexpr int kSqlBytesMax = 1 << 20;

std::int64_t steady_ms() {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

std::int64_t system_ms() {
    auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

protocol::ParticipantUuid random_uuid() {
    protocol::ParticipantUuid uuid;
    base::secure_random(uuid.bytes);
    return uuid;
}

base::Result<void> check_library() {
    if (sqlite3_libversion_number() < kSqliteVersionMin) {
        return base::fail(
            Errc::precondition_failed,
            std::string("SQLite ") + sqlite3_libversion() + " is too old; 3.37 or newer is needed");
    }
    if (sqlite3_compileoption_used("ENABLE_PREUPDATE_HOOK") == 0) {
        return base::fail(Errc::precondition_failed,
                          "this SQLite library was built without SQLITE_ENABLE_PREUPDATE_HOOK, "
                          "which tells which rows a branch changes; use one that has it (Debian's "
                          "does)");
    }
    return base::ok();
}

protocol::PreparedBranch to_branch(const PreparedRecord& record, std::int64_t now_ms) {
    protocol::PreparedBranch branch;
    branch.key = record.key;
    branch.gid = record.gid;
    branch.proof = protocol::ProofToken{record.counter, {1, record.counter}, false};
    std::int64_t age = now_ms - record.prepared_at_ms;
    branch.age_ms = age > 0 ? static_cast<std::uint64_t>(age) : 0;
    return branch;
}

}  // namespace

Store::Impl::Impl(StoreOptions options) : options_(std::move(options)) {
    if (!options_.monotonic_ms) options_.monotonic_ms = steady_ms;
    if (!options_.wall_ms) options_.wall_ms = system_ms;
}

base::Result<void> Store::Impl::open() {
    TWOFOLD_TRY(check_library());
    if (options_.vfs.empty()) {
        TWOFOLD_TRY(DatabaseFile file,
                    DatabaseFile::claim({options_.path, options_.create, options_.shared}));
        options_.path = file.path();
        file_.emplace(std::move(file));
    } else if (options_.path.starts_with("file:")) {
        return base::fail(Errc::invalid_argument, "database path must not be a URI");
    }
    TWOFOLD_TRY(open_connections());
    TWOFOLD_TRY(create_or_read_meta());
    return base::ok();
}

base::Result<void> Store::Impl::open_connections() {
    TWOFOLD_TRY(w_, Connection::open(options_.path, options_.vfs, errors_));
    TWOFOLD_TRY(r_, Connection::open(options_.path, options_.vfs, errors_));
    TWOFOLD_TRY(configure(*w_, true));
    TWOFOLD_TRY(configure(*r_, false));
    // Both have read the file by now, so log and shared memory exist.
    if (file_.has_value()) {
        TWOFOLD_TRY(file_->remember());
    }
    capture_ = std::make_unique<Capture>(*w_);
    authorizer_ = std::make_unique<Authorizer>(*w_);
    limit_ = std::make_unique<RunLimit>(
        *w_, options_.monotonic_ms, [this] { return cancelled_.load(std::memory_order_relaxed); });
    return base::ok();
}

base::Result<void> Store::Impl::configure(Connection& connection, bool work) {
    sqlite3* handle = connection.handle();
    int on = work ? 1 : 0;
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_FKEY, on, nullptr);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, on, nullptr);
    sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
    if (work) {
        sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kValueBytesMax);
        sqlite3_limit(handle, SQLITE_LIMIT_SQL_LENGTH, kSqlBytesMax);
    }
    TWOFOLD_TRY(connection.exec("PRAGMA synchronous = FULL"));
    TWOFOLD_TRY(connection.exec("PRAGMA cell_size_check = ON"));
    TWOFOLD_TRY(connection.exec("PRAGMA mmap_size = 0"));
    // The images come from rows that SQLite accepted, perhaps long ago under another CHECK.
    if (!work) {
        TWOFOLD_TRY(connection.exec("PRAGMA ignore_check_constraints = ON"));
    }
    connection.set_wait(finish_wait());
    TWOFOLD_TRY(std::string mode, connection.query_text("PRAGMA journal_mode = WAL"));
    if (mode != "wal") {
        return base::fail(Errc::precondition_failed,
                          options_.path + ": cannot use write-ahead logging (journal mode " + mode +
                              "); end other programs that hold the file");
    }
    TWOFOLD_TRY(connection.query_integer("SELECT count(*) FROM sqlite_schema"));
    return check_modes(connection);
}

base::Result<void> Store::Impl::create_or_read_meta() {
    TWOFOLD_TRY(r_->begin_immediate(finish_wait()));
    TransactionGuard guard(*r_);
    TWOFOLD_TRY(std::optional<FileMeta> meta, read_meta(*r_));
    if (meta.has_value()) {
        meta_ = *meta;
        return base::ok();
    }
    meta_.participant = options_.uuid_if_new ? *options_.uuid_if_new : random_uuid();
    // Equal at birth, but two things: a participant may be given a new database later.
    meta_.database_uuid = meta_.participant.text();
    TWOFOLD_TRY(create_own_tables(*r_, meta_));
    return commit_forced(*r_);
}

base::Result<void> Store::Impl::begin_operation() {
    if (stopped_.has_value()) return base::fail(Errc::precondition_failed, *stopped_);
    if (errors_.must_exit()) {
        return base::fail(Errc::io_error, "stopped after " + errors_.text() + "; restart");
    }
    errors_.clear();
    if (!file_.has_value()) return base::ok();
    base::Result<void> same = file_->check();
    if (!same.has_value()) stop(same.error().context);
    return same;
}

void Store::Impl::stop(std::string why) {
    base::log_event(base::LogLevel::error, "sqlite_stopped", why, {{"path", options_.path}});
    if (!stopped_.has_value()) stopped_ = std::move(why);
}

base::Result<void> Store::Impl::check_meta(Connection& connection) {
    TWOFOLD_TRY(std::optional<FileMeta> meta, read_meta(connection));
    std::string why;
    if (!meta.has_value()) {
        why = "the file has lost its _tc_meta table";
    } else if (meta->participant != meta_.participant ||
               meta->database_uuid != meta_.database_uuid) {
        why = "the file has the identity of another database now";
    } else if (meta->counter < meta_.counter) {
        why = "the file went back to an older state while it was open";
    } else if (meta->epoch != meta_.epoch) {
        why = "another participant process has taken over the file";
    }
    if (why.empty()) return base::ok();
    stop(options_.path + ": " + why);
    return base::fail(Errc::precondition_failed, *stopped_);
}

base::Result<void> Store::Impl::check_modes(Connection& connection) {
    TWOFOLD_TRY(std::string mode, connection.query_text("PRAGMA journal_mode"));
    TWOFOLD_TRY(std::int64_t synchronous, connection.query_integer("PRAGMA synchronous"));
    if (mode == "wal" && synchronous >= 2) return base::ok();
    return base::fail(Errc::precondition_failed,
                      options_.path + ": journal mode is " + mode + ", synchronous is " +
                          std::to_string(synchronous) + "; they must be wal and 2 (FULL)");
}

base::Result<void> Store::Impl::commit_forced(Connection& connection) {
    TWOFOLD_TRY(connection.commit());
    ++counters.forces;
    return base::ok();
}

base::Result<void> Store::Impl::prune_some(Connection& connection) {
    for (const auto& [incarnation, mark] : marks) {
        std::int64_t keys_until = options_.wall_ms() - options_.limits.key_retention.count();
        TWOFOLD_TRY(prune(connection, incarnation, {mark.low_water, mark.horizon, keys_until}));
    }
    return base::ok();
}

base::Result<void> Store::Impl::refresh_schema() {
    // Statements for tables that may be gone would only fill the caches.
    w_->forget_statements();
    r_->forget_statements();
    TWOFOLD_TRY(r_->begin_immediate(finish_wait()));
    TransactionGuard guard(*r_);
    TWOFOLD_TRY(check_meta(*r_));
    TWOFOLD_TRY(schema_, load_schema(*r_));
    ++counters.schema_reloads;
    // Guards are part of the fingerprint: installing them now would break the prepared branch.
    TWOFOLD_TRY(bool locked, is_locked(*r_));
    if (locked) return base::ok();
    TWOFOLD_TRY(bool changed, install_guards(*r_, *schema_));
    if (!changed) return base::ok();
    TWOFOLD_TRY(std::shared_ptr<const Schema> guarded, load_schema(*r_));
    TWOFOLD_TRY(commit_forced(*r_));
    schema_ = std::move(guarded);
    return base::ok();
}

base::Result<protocol::ResourceStart> Store::Impl::start() {
    close_session();  // of an older epoch
    TWOFOLD_TRY(begin_operation());
    TWOFOLD_TRY(r_->begin_immediate(finish_wait()));
    {
        TransactionGuard guard(*r_);
        TWOFOLD_TRY(std::optional<FileMeta> meta, read_meta(*r_));
        if (!meta.has_value()) return base::fail(Errc::corrupt, "the file has lost its _tc_meta");
        ++meta->epoch;
        TWOFOLD_TRY(set_epoch(*r_, meta->epoch));
        TWOFOLD_TRY(commit_forced(*r_));
        meta_ = *meta;
    }
    TWOFOLD_TRY(refresh_schema());
    protocol::ResourceStart start;
    start.uuid = meta_.participant;
    start.identity = {"sqlite", {meta_.database_uuid}};
    start.epoch = meta_.epoch;
    start.position = {1, meta_.counter};
    start.slots = 1;
    start.exclusive = true;
    TWOFOLD_TRY(start.senders, read_senders(*r_));
    TWOFOLD_TRY(start.resolved, read_resolutions(*r_));
    TWOFOLD_TRY(start.forgotten, read_forgotten(*r_));
    TWOFOLD_TRY(start.prepared, list());
    started_ = true;
    return start;
}

base::Result<std::vector<protocol::PreparedBranch>> Store::Impl::list() {
    TWOFOLD_TRY(begin_operation());
    TWOFOLD_TRY(std::vector<PreparedRecord> records, list_prepared(*r_));
    std::vector<protocol::PreparedBranch> branches;
    for (const PreparedRecord& record : records) {
        if (!record.intact) {
            // Leaving it out would say that it is not prepared.
            return base::fail(Errc::corrupt, "_tc_prepared: unreadable id in row " + record.gid);
        }
        branches.push_back(to_branch(record, options_.wall_ms()));
    }
    return branches;
}

base::Result<void> Store::Impl::persist_sender(const protocol::SenderStamp& sender) {
    bool is_newer = session_.has_value() &&
                    session_->work.key.group.incarnation() == sender.incarnation &&
                    session_->work.key.group.epoch() < sender.epoch;
    if (is_newer) close_session();
    TWOFOLD_TRY(begin_own_write());
    base::Result<void> locked = r_->begin_immediate(finish_wait());
    if (!locked.has_value() && (errors_.code() & 0xff) == SQLITE_BUSY) {
        return base::fail(Errc::timed_out, "another process keeps the file locked");
    }
    TWOFOLD_TRY(locked);
    TransactionGuard guard(*r_);
    TWOFOLD_TRY(check_meta(*r_));
    TWOFOLD_TRY(raise_sender(*r_, sender));
    return commit_forced(*r_);
}

base::Result<std::string> Store::Impl::describe_changes(const std::string& gid) {
    TWOFOLD_TRY(begin_operation());
    TWOFOLD_TRY(std::optional<PreparedRecord> record, find_prepared(*r_, gid));
    if (!record.has_value()) return base::fail(Errc::not_found, "nothing prepared as " + gid);
    TWOFOLD_TRY(Redo redo, decode_redo(record->redo));
    return sql_of(redo);
}

void Store::Impl::interrupt(const protocol::BranchKey& key) {
    std::lock_guard lock(running_mutex_);
    if (running_ != key) return;
    cancelled_.store(true, std::memory_order_relaxed);
    sqlite3_interrupt(w_->handle());
}

void Store::Impl::interrupt() {
    std::lock_guard lock(running_mutex_);
    if (!running_.has_value()) return;
    cancelled_.store(true, std::memory_order_relaxed);
    sqlite3_interrupt(w_->handle());
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

base::Result<std::unique_ptr<Store>> Store::open(StoreOptions options) {
    auto impl = std::make_unique<Impl>(std::move(options));
    TWOFOLD_TRY(impl->open());
    return std::unique_ptr<Store>(new Store(std::move(impl)));
}

base::Result<protocol::ResourceStart> Store::start() { return impl_->start(); }

protocol::WorkResult Store::execute_prepare(const protocol::BranchWork& work) {
    return impl_->execute_prepare(work);
}

protocol::WorkResult Store::execute(const protocol::BranchWork& work, std::uint32_t sequence) {
    return impl_->execute(work, sequence);
}

protocol::WorkResult Store::prepare_executed(const protocol::BranchKey& key) {
    return impl_->prepare_executed(key);
}

void Store::end_session(const protocol::BranchKey& key) { impl_->end_session(key); }

protocol::WorkResult Store::one_phase(const protocol::BranchWork& work) {
    return impl_->one_phase(work);
}

protocol::FinishResult Store::commit(const protocol::FinishRequest& request) {
    return impl_->commit(request);
}

protocol::FinishResult Store::rollback(const protocol::FinishRequest& request) {
    return impl_->rollback(request);
}

protocol::FinishResult Store::settle_one_phase(
    const protocol::BranchKey& key, const std::optional<protocol::IdempotencyKey>& idempotency) {
    return impl_->settle_one_phase(key, idempotency);
}

base::Result<std::vector<protocol::PreparedBranch>> Store::list() { return impl_->list(); }

base::Result<void> Store::persist_sender(const protocol::SenderStamp& sender) {
    return impl_->persist_sender(sender);
}

void Store::note_marks(const protocol::Incarnation& incarnation,
                       protocol::IdPosition low_water,
                       protocol::IdPosition horizon) {
    impl_->marks[incarnation] = {low_water, horizon};
}

base::Result<std::string> Store::describe_changes(const std::string& gid) {
    return impl_->describe_changes(gid);
}

protocol::Position Store::position() const { return {1, impl_->counter()}; }

void Store::interrupt(const protocol::BranchKey& key) { impl_->interrupt(key); }
void Store::interrupt() { impl_->interrupt(); }

bool Store::must_exit() const { return impl_->must_exit(); }

const StoreCounters& Store::counters() const { return impl_->counters; }

}  // namespace twofold::participant::sqlite
