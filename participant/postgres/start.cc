#include "participant/postgres/start.h"

#include "base/crash_point.h"
#include "base/log.h"
#include "base/planted_bug.h"
#include "base/rng.h"
#include "participant/postgres/admin.h"
#include "participant/postgres/schema.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

namespace twofold::participant::postgres {

namespace {

using base::Errc;
using base::fail;
using base::Result;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kVersionMin = 130000;
constexpr milliseconds kEndPause{20};
constexpr std::string_view kLockNotAvailable = "55P03";

protocol::ParticipantUuid random_uuid() {
    protocol::ParticipantUuid uuid;
    base::secure_random(uuid.bytes);
    uuid.bytes[6] = static_cast<std::uint8_t>((uuid.bytes[6] & 0x0fU) | 0x40U);
    uuid.bytes[8] = static_cast<std::uint8_t>((uuid.bytes[8] & 0x3fU) | 0x80U);
    return uuid;
}

// Answers to questions of one row each.
Statement check_statement() {
    return {
        "SELECT pg_catalog.pg_backend_pid(), "
        "pg_catalog.current_setting('max_prepared_transactions'), "
        "pg_catalog.current_setting('fsync'), "
        "pg_catalog.current_setting('full_page_writes'), "
        "pg_catalog.pg_is_in_recovery(), r.rolsuper, current_user, "
        "pg_catalog.current_setting('role'), "
        "(SELECT oid FROM pg_catalog.pg_database "
        "WHERE datname = pg_catalog.current_database()) "
        "FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
        {},
        false,
        true};
}

std::vector<protocol::Resolution> read_resolutions(const StatementResult& rows) {
    std::vector<protocol::Resolution> all;
    for (std::size_t row = 0; row < rows.rows.size(); ++row) {
        auto parsed = protocol::parse_gid(rows.text(row, 0));
        if (!parsed.has_value()) continue;
        bool is_commit = rows.text(row, 1) == "committed";
        all.push_back({parsed->key,
                       is_commit ? protocol::Decision::commit : protocol::Decision::abort,
                       rows.text(row, 2)});
    }
    return all;
}

// The client's half of the epoch in "twofold <uuid> <epoch>", or 0.
std::uint64_t epoch_in(const std::string& application_name) {
    return parse_number(application_name.substr(application_name.rfind(' ') + 1));
}

}  // namespace

Result<void> check_server(const ServerFacts& facts, const PostgresOptions& options) {
    auto wrong = [](std::string text) { return fail(Errc::precondition_failed, std::move(text)); };
    if (facts.version < kVersionMin) {
        return wrong("the server has version " + std::to_string(facts.version / 10000) +
                     ": PostgreSQL 13 or newer is needed");
    }
    if (facts.announced_pid != facts.real_pid) {
        return wrong("a connection pooler stands between us and the server (it announced backend " +
                     std::to_string(facts.announced_pid) + ", but " +
                     std::to_string(facts.real_pid) +
                     " answers): give the server's own address in the dsn");
    }
    if (facts.in_recovery) {
        return wrong(
            "the server is a standby (it is in recovery): connect to the primary, for example "
            "with target_session_attrs=read-write in the dsn");
    }
    if (facts.max_prepared == 0) {
        return wrong(
            "max_prepared_transactions = 0: set it to at least 64 in postgresql.conf and "
            "restart PostgreSQL");
    }
    if (facts.fsync != "on") {
        return wrong("fsync = " + facts.fsync +
                     ": set it to on in postgresql.conf and reload PostgreSQL; without it a crash "
                     "loses branches that were promised");
    }
    if (facts.full_page_writes != "on") {
        return wrong("full_page_writes = " + facts.full_page_writes +
                     ": set it to on in postgresql.conf and reload PostgreSQL");
    }
    if (facts.superuser && !options.allow_superuser) {
        return wrong(
            "role " + facts.role +
            " is a superuser: use a role of its own (CREATE ROLE … LOGIN), or set "
            "allow_superuser; a superuser's branch can lock everybody out of the database");
    }
    return base::ok();
}

class StartAttempt : public std::enable_shared_from_this<StartAttempt> {
public:
    StartAttempt(Context& context, ResourcePort::StartCallback done)
        : context_(context),
          done_(std::move(done)),
          connection_(context.loop, context.deadlines, context.counters),
          timer_(context.loop) {}

    void open();

private:
    using Step = void (StartAttempt::*)(const Reply&);

    void ask(std::vector<Statement> statements, Step step);
    void check();
    void on_checked(const Reply& reply);
    void on_tables(const Reply& reply);
    void create_tables(bool schema_exists);
    void on_created(const Reply& reply);
    void take_epoch();
    void on_epoch(const Reply& reply);
    void ask_backends();
    void on_backends(const Reply& reply);
    void list();
    void on_listed(const Reply& reply);
    void finish(Result<protocol::ResourceStart> result);
    void give_up(Errc code, const std::string& doing, const Reply& reply);
    void ask_holders();
    void on_holders(const Reply& reply);
    void on_holders_ended(const Reply& reply);

    Context& context_;
    ResourcePort::StartCallback done_;
    Connection connection_;
    async::Timer timer_;
    steady_clock::time_point until_;
    protocol::ResourceStart start_;
    std::uint64_t slots_ = 0;
    std::string user_;
};

std::shared_ptr<StartAttempt> begin_start(Context& context, ResourcePort::StartCallback done) {
    auto attempt = std::make_shared<StartAttempt>(context, std::move(done));
    attempt->open();
    return attempt;
}

void StartAttempt::ask(std::vector<Statement> statements, Step step) {
    Exchange exchange;
    exchange.statements = std::move(statements);
    exchange.limit = context_.options.limits.admin;
    connection_.run(std::move(exchange), [weak = weak_from_this(), step](const Reply& reply) {
        if (auto self = weak.lock()) ((*self).*step)(reply);
    });
}

void StartAttempt::finish(Result<protocol::ResourceStart> result) {
    auto self = shared_from_this();
    timer_.cancel();
    auto done = std::exchange(done_, nullptr);
    connection_.close();
    if (done) done(std::move(result));
}

void StartAttempt::give_up(Errc code, const std::string& doing, const Reply& reply) {
    finish(fail(code, doing + ": " + reply.problem()));
}

// ---- the server
// ----------------------------------------------------------------------------------

void StartAttempt::open() {
    until_ = steady_clock::now() + context_.options.limits.session_end;
    connection_.open(context_.host_lookup,
                     context_.options.dsn,
                     "twofold starting",
                     context_.options.limits.connect,
                     [weak = weak_from_this()](Result<void> opened) {
                         auto self = weak.lock();
                         if (self == nullptr) return;
                         if (!opened.has_value()) return self->finish(opened.error());
                         self->check();
                     });
}

void StartAttempt::check() {
    ask({{"SELECT pg_catalog.set_config('search_path', 'pg_catalog', false), "
          "pg_catalog.set_config('client_min_messages', 'notice', false), "
          "pg_catalog.set_config('lock_timeout', $2, false), "
          "pg_catalog.set_config('synchronous_commit', $1, false)",
          {{context_.options.synchronous_commit},
           {std::to_string(context_.options.limits.admin.count() / 3)}},
          false,
          true},
         check_statement(),
         {"SELECT system_identifier FROM pg_catalog.pg_control_system()", {}, false, true},
         {std::string(kFindTables)}},
        &StartAttempt::on_checked);
}

void StartAttempt::on_checked(const Reply& reply) {
    if (reply.loss != Loss::none || !reply.results[0].ok() || !reply.results[1].ok()) {
        return give_up(Errc::unavailable, "checking the server", reply);
    }
    const StatementResult& row = reply.results[1];
    ServerFacts facts;
    facts.version = connection_.server_version();
    facts.announced_pid = static_cast<std::uint64_t>(connection_.announced_pid());
    facts.real_pid = parse_number(row.text(0, 0));
    facts.max_prepared = static_cast<std::uint32_t>(parse_number(row.text(0, 1)));
    facts.fsync = row.text(0, 2);
    facts.full_page_writes = row.text(0, 3);
    facts.in_recovery = row.text(0, 4) == "t";
    facts.superuser = row.text(0, 5) == "t";
    facts.role = row.text(0, 6);
    Result<void> fit = check_server(facts, context_.options);
    if (!fit.has_value()) return finish(fit.error());
    slots_ = facts.max_prepared;
    user_ = facts.role;
    context_.role = row.text(0, 7);
    if (!reply.results[2].ok()) {
        return finish(fail(Errc::permission_denied,
                           "the system identifier cannot be read (" + reply.problem() +
                               "): GRANT EXECUTE ON FUNCTION pg_control_system() TO " + user_));
    }
    context_.identity = {"postgresql", {reply.results[2].text(0, 0), row.text(0, 8)}};
    on_tables(reply);
}

// ---- tables and epoch
// ----------------------------------------------------------------------------

void StartAttempt::on_tables(const Reply& reply) {
    if (!reply.results[3].ok()) return give_up(Errc::unavailable, "looking for our tables", reply);
    if (parse_number(reply.results[3].text(0, 0)) == kTableCount) return take_epoch();
    create_tables(reply.results[3].text(0, 1) == "t");
}

void StartAttempt::create_tables(bool schema_exists) {
    std::vector<Statement> statements = {{"BEGIN"}};
    if (!schema_exists) statements.push_back({std::string(kCreateSchema)});
    for (std::string_view sql : table_definitions()) statements.push_back({std::string(sql)});
    statements.push_back({"COMMIT"});
    TWOFOLD_CRASH_POINT(pg_before_tables);
    ask(std::move(statements), &StartAttempt::on_created);
}

void StartAttempt::on_created(const Reply& reply) {
    if (reply.ok()) return take_epoch();
    if (reply.sqlstate() != "42501") {
        // Two sidecars that start at the same moment: the other one makes them.
        return give_up(Errc::unavailable, "creating our tables", reply);
    }
    finish(fail(Errc::permission_denied,
                "the schema twofold cannot be created (" + reply.problem() +
                    "): let its owner or a superuser run  " + rights_for(user_)));
}

// Committed before anything is ended or listed.
void StartAttempt::take_epoch() {
    TWOFOLD_CRASH_POINT(pg_before_epoch);
    ask({{"INSERT INTO twofold.meta (uuid, epoch, version) VALUES ($1, 0, 1) "
          "ON CONFLICT (singleton) DO NOTHING",
          {{context_.options.uuid.value_or(random_uuid()).text()}},
          false,
          true},
         {"UPDATE twofold.meta SET epoch = epoch + 1 RETURNING epoch, uuid", {}, false, true}},
        &StartAttempt::on_epoch);
}

void StartAttempt::on_epoch(const Reply& reply) {
    if (reply.loss == Loss::timed_out) {
        return give_up(Errc::timed_out,
                       "taking the participant epoch (does a synchronous standby not answer?)",
                       reply);
    }
    if (reply.sqlstate() == kLockNotAvailable) return ask_holders();
    if (reply.sqlstate() == "42501") {
        return finish(fail(Errc::permission_denied,
                           "our tables cannot be used (" + reply.problem() +
                               "): let their owner or a superuser run  " + rights_for(user_)));
    }
    if (!reply.ok()) return give_up(Errc::unavailable, "taking the participant epoch", reply);
    const StatementResult& row = reply.results[1];
    std::optional<protocol::ParticipantUuid> uuid =
        protocol::ParticipantUuid::parse(row.text(0, 1));
    std::uint64_t epoch = parse_number(row.text(0, 0));
    if (!uuid.has_value() || epoch == 0 || epoch > 0xffffffffULL) {
        return finish(fail(Errc::corrupt, "twofold.meta does not have one sound row"));
    }
    if (context_.options.uuid.has_value() && *context_.options.uuid != *uuid) {
        return finish(fail(Errc::precondition_failed,
                           "this database belongs to participant " + uuid->text() +
                               ", the configuration says " + context_.options.uuid->text() +
                               ": correct the dsn or the uuid"));
    }
    context_.uuid = *uuid;
    context_.epoch = static_cast<std::uint32_t>(epoch);
    until_ = steady_clock::now() + context_.options.limits.session_end;
    if (TWOFOLD_PLANTED_BUG("postgres.old_sessions_go_on")) return list();
    ask_backends();
}

// ---- locked tables
// ------------------------------------------------------------------------------

// Our branches cannot keep locks on our tables, but other programs can, and so can what still runs
// of an older start.
void StartAttempt::ask_holders() { ask({{std::string(kLockHolders)}}, &StartAttempt::on_holders); }

void StartAttempt::on_holders(const Reply& reply) {
    if (!reply.ok()) return give_up(Errc::unavailable, "our tables are locked", reply);
    const StatementResult& found = reply.results[0];
    std::vector<Statement> ends;
    std::string others;
    for (std::size_t row = 0; row < found.rows.size(); ++row) {
        std::string pid = found.text(row, 0);
        std::string gid = found.text(row, 1);
        if (found.text(row, 3) == "t") {
            ends.push_back(
                {"SELECT pg_catalog.pg_terminate_backend($1::int)", {{pid}}, false, true});
        } else if (!gid.empty()) {
            others += " prepared transaction '" + gid + "' (commit it or roll it back);";
        } else {
            others += " backend " + pid + " (" + found.text(row, 2) + ");";
        }
    }
    if (!others.empty() || steady_clock::now() >= until_) {
        return finish(fail(Errc::unavailable,
                           "our tables in the schema twofold are locked by" +
                               (others.empty() ? " sessions of an older start" : others)));
    }
    // Also when nobody holds them any more.
    ends.push_back({"SELECT pg_catalog.pg_sleep(0.02)", {}, false, true});
    ask(std::move(ends), &StartAttempt::on_holders_ended);
}

void StartAttempt::on_holders_ended(const Reply& reply) {
    if (reply.loss != Loss::none) return give_up(Errc::unavailable, "ending older sessions", reply);
    take_epoch();
}

// ---- older sessions
// ------------------------------------------------------------------------------

// By name, and by the register: a statement of a branch may have changed application_name.
void StartAttempt::ask_backends() {
    std::string started(kStartedUs);
    ask({{"SELECT pg_catalog.set_config('application_name', $1, false)",
          {{context_.application_name()}}},
         {"SELECT a.pid, a.application_name, s.pid IS NOT NULL "
          "FROM pg_catalog.pg_stat_activity a LEFT JOIN twofold.session s "
          "ON s.pid = a.pid AND s.started_us = " +
              started +
              " AND s.epoch < $2::bigint WHERE a.pid <> pg_catalog.pg_backend_pid() "
              "AND (s.pid IS NOT NULL OR a.application_name LIKE $1)",
          {{"twofold " + context_.uuid.text() + " %"}, {std::to_string(context_.epoch)}}}},
        &StartAttempt::on_backends);
}

void StartAttempt::on_backends(const Reply& reply) {
    if (!reply.ok()) return give_up(Errc::unavailable, "looking for older sessions", reply);
    const StatementResult& found = reply.results[1];
    std::vector<Statement> statements;
    std::string pids;
    for (std::size_t row = 0; row < found.rows.size(); ++row) {
        bool registered = found.text(row, 2) == "t";
        // A newer start's: the check of our own sessions' epoch will find out.
        if (!registered && epoch_in(found.text(row, 1)) >= context_.epoch) continue;
        statements.push_back({"SELECT pg_catalog.pg_terminate_backend($1::int)",
                              {{found.text(row, 0)}},
                              false,
                              true});
        pids += " " + found.text(row, 0);
    }
    if (statements.empty()) return list();
    if (steady_clock::now() >= until_) {
        return finish(fail(Errc::timed_out, "sessions of an older start do not end:" + pids));
    }
    Exchange exchange;
    exchange.statements = std::move(statements);
    exchange.limit = context_.options.limits.admin;
    connection_.run(std::move(exchange), [weak = weak_from_this()](const Reply& ended) {
        auto self = weak.lock();
        if (self == nullptr) return;
        if (ended.sqlstate() == "42501") {
            return self->give_up(Errc::permission_denied,
                                 "a session of an older start belongs to another role",
                                 ended);
        }
        self->timer_.start(kEndPause, [weak] {
            if (auto again = weak.lock()) again->ask_backends();
        });
    });
}

// ---- what is prepared
// ----------------------------------------------------------------------------

void StartAttempt::list() {
    TWOFOLD_CRASH_POINT(pg_before_listing);
    ask({{"DELETE FROM twofold.session WHERE epoch < $1::bigint",
          {{std::to_string(context_.epoch)}},
          false,
          true},
         listing_statement(),
         {"SELECT s.incarnation, s.epoch, s.nonce, s.position FROM twofold.sender s"},
         {"SELECT pg_catalog.pg_current_wal_insert_lsn(), "
          "pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)"},
         foreign_servers_statement(),
         {std::string(kOwnTables)},
         {"SELECT r.gid, r.outcome, r.reason FROM twofold.resolved r"}},
        &StartAttempt::on_listed);
}

// An unsigned number that a signed column holds, bit by bit.
std::uint64_t parse_bits(const std::string& text) {
    std::int64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return static_cast<std::uint64_t>(value);
}

void StartAttempt::on_listed(const Reply& reply) {
    if (reply.sqlstate() == kLockNotAvailable) return ask_holders();
    if (!reply.ok()) return give_up(Errc::unavailable, "listing prepared transactions", reply);
    start_.prepared = read_listing(context_, reply.results[1]);
    const StatementResult& senders = reply.results[2];
    for (std::size_t row = 0; row < senders.rows.size(); ++row) {
        auto incarnation = protocol::Incarnation::parse(senders.text(row, 0));
        std::uint64_t epoch = parse_number(senders.text(row, 1));
        if (!incarnation || epoch == 0 || epoch > std::numeric_limits<protocol::Epoch>::max()) {
            // Skipped, messages of a coordinator that was fenced off would be accepted.
            return finish(fail(Errc::corrupt,
                               "twofold.sender cannot be read: incarnation " +
                                   senders.text(row, 0) + ", epoch " + senders.text(row, 1)));
        }
        start_.senders[*incarnation] = {*incarnation,
                                        static_cast<protocol::Epoch>(epoch),
                                        parse_bits(senders.text(row, 2)),
                                        parse_bits(senders.text(row, 3))};
    }
    start_.resolved = read_resolutions(reply.results[6]);
    const StatementResult& now = reply.results[3];
    context_.position = {parse_timeline(now.text(0, 1)), parse_lsn(now.text(0, 0))};
    context_.own_tables = reply.results[5].text(0, 0);
    context_.has_foreign_servers = reply.results[4].text(0, 0) == "t";
    start_.uuid = context_.uuid;
    start_.identity = context_.identity;
    start_.epoch = context_.epoch;
    start_.position = context_.position;
    std::uint32_t limit = context_.options.limits.slots_max;
    start_.slots =
        static_cast<std::uint32_t>(limit == 0 ? slots_ : std::min<std::uint64_t>(slots_, limit));
    finish(std::move(start_));
}

}  // namespace twofold::participant::postgres
