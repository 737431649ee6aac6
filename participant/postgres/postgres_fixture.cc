#include "participant/postgres/postgres_fixture.h"

#include <thread>
#include <utility>

namespace twofold::participant::postgres {

namespace {

using base::Result;
using integration::PostgresServer;

protocol::JsonText json_text(const std::string& text) {
    return std::make_shared<const std::string>(text);
}

}  // namespace

// ---- Sidecar
// -------------------------------------------------------------------------------------

Sidecar::Sidecar(PostgresOptions options)
    : resource_(std::make_unique<PostgresResource>(loop_, std::move(options))) {}

Sidecar::~Sidecar() = default;

bool Sidecar::wait(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
    return loop_.run_until(condition, limit);
}

Result<protocol::ResourceStart> Sidecar::start() {
    std::optional<Result<protocol::ResourceStart>> result;
    resource_->start([&](Result<protocol::ResourceStart> r) { result.emplace(std::move(r)); });
    if (!wait([&] { return result.has_value(); }, std::chrono::seconds(40))) {
        return base::fail(base::Errc::timed_out, "start was not answered");
    }
    if (result->has_value()) started_ = result->value();
    return std::move(*result);
}

void Sidecar::begin(const protocol::BranchKey& key,
                    const std::string& work,
                    std::optional<protocol::WorkResult>* result,
                    bool one_phase) {
    protocol::BranchWork item;
    item.key = key;
    item.gid = gid(key);
    item.work = json_text(work);
    auto done = [result](protocol::WorkResult r) { result->emplace(std::move(r)); };
    if (one_phase) {
        resource_->one_phase(std::move(item), done);
    } else {
        resource_->execute_prepare(std::move(item), done);
    }
}

protocol::WorkResult Sidecar::prepare(const protocol::BranchKey& key,
                                      const std::string& work,
                                      protocol::BranchOptions options,
                                      std::uint32_t deadline_ms) {
    protocol::BranchWork item;
    item.key = key;
    item.gid = gid(key);
    item.work = json_text(work);
    item.options = options;
    item.deadline_ms = deadline_ms;
    std::optional<protocol::WorkResult> result;
    resource_->execute_prepare(std::move(item),
                               [&](protocol::WorkResult r) { result.emplace(std::move(r)); });
    EXPECT_TRUE(wait([&] { return result.has_value(); })) << "the work was not answered";
    return result.value_or(protocol::WorkResult{});
}

protocol::WorkResult Sidecar::execute(const protocol::BranchKey& key,
                                      std::uint32_t sequence,
                                      const std::string& work,
                                      protocol::BranchOptions options,
                                      std::uint32_t deadline_ms) {
    protocol::BranchWork item;
    item.key = key;
    item.gid = gid(key);
    item.work = json_text(work);
    item.options = options;
    item.deadline_ms = deadline_ms;
    std::optional<protocol::WorkResult> result;
    resource_->execute(
        std::move(item), sequence, [&](protocol::WorkResult r) { result.emplace(std::move(r)); });
    EXPECT_TRUE(wait([&] { return result.has_value(); })) << "the call was not answered";
    return result.value_or(protocol::WorkResult{});
}

protocol::WorkResult Sidecar::prepare_executed(const protocol::BranchKey& key) {
    std::optional<protocol::WorkResult> result;
    resource_->prepare_executed(key, [&](protocol::WorkResult r) { result.emplace(std::move(r)); });
    EXPECT_TRUE(wait([&] { return result.has_value(); })) << "the prepare was not answered";
    return result.value_or(protocol::WorkResult{});
}

protocol::WorkResult Sidecar::one_phase(const protocol::BranchKey& key,
                                        const std::string& work,
                                        std::optional<protocol::IdempotencyKey> idempotency) {
    protocol::BranchWork item;
    item.key = key;
    item.gid = gid(key);
    item.work = json_text(work);
    item.idempotency = idempotency;
    std::optional<protocol::WorkResult> result;
    resource_->one_phase(std::move(item),
                         [&](protocol::WorkResult r) { result.emplace(std::move(r)); });
    EXPECT_TRUE(wait([&] { return result.has_value(); })) << "the work was not answered";
    return result.value_or(protocol::WorkResult{});
}

protocol::FinishResult Sidecar::commit(const protocol::BranchKey& key,
                                       std::optional<protocol::ProofToken> proof) {
    std::optional<protocol::FinishResult> result;
    resource_->commit({key, gid(key), proof},
                      [&](protocol::FinishResult r) { result.emplace(std::move(r)); });
    EXPECT_TRUE(wait([&] { return result.has_value(); })) << "the commit was not answered";
    return result.value_or(protocol::FinishResult{});
}

protocol::FinishResult Sidecar::rollback(const protocol::BranchKey& key,
                                         std::optional<protocol::ProofToken> proof) {
    std::optional<protocol::FinishResult> result;
    resource_->rollback({key, gid(key), proof},
                        [&](protocol::FinishResult r) { result.emplace(std::move(r)); });
    EXPECT_TRUE(wait([&] { return result.has_value(); })) << "the rollback was not answered";
    return result.value_or(protocol::FinishResult{});
}

protocol::FinishResult Sidecar::settle(const protocol::BranchKey& key,
                                       std::optional<protocol::IdempotencyKey> idempotency) {
    std::optional<protocol::FinishResult> result;
    resource_->settle_one_phase(
        key, idempotency, [&](protocol::FinishResult r) { result.emplace(std::move(r)); });
    EXPECT_TRUE(wait([&] { return result.has_value(); })) << "settling was not answered";
    return result.value_or(protocol::FinishResult{});
}

Result<void> Sidecar::cancel(const protocol::BranchKey& key) {
    std::optional<Result<void>> result;
    resource_->cancel(key, [&](Result<void> r) { result.emplace(std::move(r)); });
    if (!wait([&] { return result.has_value(); })) {
        return base::fail(base::Errc::timed_out, "cancel was not answered");
    }
    return *result;
}

Result<std::vector<protocol::PreparedBranch>> Sidecar::list() {
    std::optional<Result<std::vector<protocol::PreparedBranch>>> result;
    resource_->list(
        [&](Result<std::vector<protocol::PreparedBranch>> r) { result.emplace(std::move(r)); });
    if (!wait([&] { return result.has_value(); })) {
        return base::fail(base::Errc::timed_out, "list was not answered");
    }
    return std::move(*result);
}

Result<void> Sidecar::persist_sender(const protocol::SenderStamp& sender) {
    std::optional<Result<void>> result;
    resource_->persist_sender(sender, [&](Result<void> r) { result.emplace(std::move(r)); });
    if (!wait([&] { return result.has_value(); })) {
        return base::fail(base::Errc::timed_out, "persist_sender was not answered");
    }
    return *result;
}

void Sidecar::stop() {
    bool stopped = false;
    resource_->stop([&] { stopped = true; });
    EXPECT_TRUE(wait([&] { return stopped; }));
}

std::string Sidecar::gid(const protocol::BranchKey& key) const {
    return protocol::make_gid(key, started_.uuid);
}

// ---- RawSession
// ----------------------------------------------------------------------------------

RawSession::RawSession(const std::string& dsn)
    : deadlines_(std::make_shared<async::DeadlineQueue>(loop_)),
      lookup_(loop_),
      connection_(std::make_unique<Connection>(loop_, deadlines_, counters_)) {
    std::optional<Result<void>> opened;
    connection_->open(
        lookup_, dsn, "raw", std::chrono::seconds(10), [&](const Result<void>& result) {
            opened.emplace(result);
        });
    EXPECT_TRUE(wait([&] { return opened.has_value(); }));
    if (opened.has_value()) EXPECT_TRUE(opened->has_value()) << opened->error().text();
}

bool RawSession::wait(const std::function<bool()>& condition) {
    return loop_.run_until(condition, std::chrono::seconds(20));
}

void RawSession::send(const std::vector<std::string>& statements) {
    Exchange exchange;
    for (const std::string& text : statements)
        exchange.statements.push_back({text, {}, false, true});
    connection_->run(std::move(exchange), [](const Reply&) {});
}

Reply RawSession::run(const std::vector<std::string>& statements) {
    Exchange exchange;
    for (const std::string& text : statements)
        exchange.statements.push_back({text, {}, false, true});
    std::optional<Reply> reply;
    connection_->run(std::move(exchange), [&](Reply r) { reply.emplace(std::move(r)); });
    EXPECT_TRUE(wait([&] { return reply.has_value(); }));
    return reply.value_or(Reply{});
}

std::string RawSession::last(const std::vector<std::string>& statements) {
    Reply reply = run(statements);
    if (reply.loss != Loss::none || reply.results.empty()) return "lost: " + reply.loss_text;
    const StatementResult& result = reply.results.back();
    return result.ok() ? result.tag : result.error.sqlstate;
}

// ---- PostgresTest
// --------------------------------------------------------------------------------

PostgresServer& PostgresTest::shared_server() {
    static std::unique_ptr<PostgresServer> server = [] {
        auto made = PostgresServer::create();
        if (!made.has_value()) ADD_FAILURE() << made.error().text();
        return made.has_value() ? std::move(made.value()) : nullptr;
    }();
    return *server;
}

std::string PostgresTest::make_database(PostgresServer& server) {
    server_ = &server;
    database_ = "bank";
    auto made = server.create_database(database_);
    EXPECT_TRUE(made.has_value()) << made.error().text();
    create_account();
    return server.dsn(database_);
}

void PostgresTest::create_account() {
    auto tables =
        server_->query(database_,
                       "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL "
                       "CHECK (balance >= 0)); "
                       "INSERT INTO account SELECT g, 100 FROM generate_series(1, 3) g",
                       "app");
    EXPECT_TRUE(tables.has_value()) << tables.error().text();
}

// One database serves all tests, emptied between them: making and deleting one for each costs more
// than the tests themselves.
void PostgresTest::SetUp() {
    static bool made = false;
    PostgresServer& server = shared_server();
    if (!std::exchange(made, true)) {
        dsn_ = make_database(server);
        return;
    }
    server_ = &server;
    database_ = "bank";
    dsn_ = server.dsn(database_);
    empty_database();
    create_account();
}

void PostgresTest::empty_database() {
    auto left = server_->query(
        database_,
        "SELECT quote_literal(gid) FROM pg_prepared_xacts WHERE database = current_database()");
    ASSERT_TRUE(left.has_value()) << left.error().text();
    for (const auto& row : left.value()) {
        auto done = server_->query(database_, "ROLLBACK PREPARED " + row[0]);
        EXPECT_TRUE(done.has_value()) << done.error().text();
    }
    const std::string others =
        "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for (int i = 0; i < 1000 && sql("SELECT count(*) " + others) != "0"; ++i) {
        sql("SELECT pg_terminate_backend(pid) " + others);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    auto emptied = server_->query(database_,
                                  "DROP EXTENSION IF EXISTS postgres_fdw CASCADE; "
                                  "DROP SCHEMA IF EXISTS public, trap, twofold CASCADE; "
                                  "CREATE SCHEMA public AUTHORIZATION app; "
                                  "GRANT USAGE ON SCHEMA public TO PUBLIC; "
                                  "ALTER DATABASE " +
                                      database_ + " OWNER TO app");
    ASSERT_TRUE(emptied.has_value()) << emptied.error().text();
}

PostgresOptions PostgresTest::options_for(const std::string& dsn) {
    PostgresOptions options;
    options.dsn = dsn;
    options.raw_sql = true;
    options.work_connections = 4;
    options.finish_connections = 2;
    options.limits.standby_wait = std::chrono::milliseconds(500);
    return options;
}

std::unique_ptr<Sidecar> PostgresTest::sidecar() { return sidecar(options()); }

std::unique_ptr<Sidecar> PostgresTest::sidecar(PostgresOptions options) {
    auto made = std::make_unique<Sidecar>(std::move(options));
    auto started = made->start();
    EXPECT_TRUE(started.has_value()) << started.error().text();
    return made;
}

protocol::BranchKey PostgresTest::new_key(protocol::ParticipantNumber one_phase) {
    static std::uint64_t sequence = 0;
    static const protocol::Incarnation incarnation{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
    base::KeyedHash hash(base::HashKey{7});
    protocol::BranchKey key;
    key.group = protocol::make_txn_id(incarnation, 1, ++sequence, one_phase, hash);
    key.branch = 1;
    key.attempt = 1;
    return key;
}

std::string PostgresTest::sql(const std::string& text) const {
    return server_->value(database_, text);
}

std::string PostgresTest::balance(int account) const {
    return sql("SELECT balance FROM account WHERE id = " + std::to_string(account));
}

int PostgresTest::prepared_count() const {
    std::string text =
        sql("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()");
    return text.empty() ? -1 : std::stoi(text);
}

std::string PostgresTest::work(const std::vector<std::string>& statements) {
    std::string out = "[";
    for (const std::string& statement : statements) {
        if (out.size() > 1) out += ",";
        out += R"({"sql": ")" + statement + R"("})";
    }
    return out + "]";
}

std::string PostgresTest::debit(int amount, int account) {
    return R"([{"sql": "UPDATE account SET balance = balance - $1 WHERE id = $2", "params": [)" +
           std::to_string(amount) + ", " + std::to_string(account) +
           R"(], "expect": {"rows": 1}}])";
}

}  // namespace twofold::participant::postgres
