// What the tests with a real server share: one server and one database per test program, emptied
// before each test, and a resource whose calls are waited for.
#pragma once

#include "async/event_loop.h"
#include "integration/postgres_server.h"
#include "participant/postgres/connection.h"
#include "participant/postgres_resource.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace twofold::participant::postgres {

// A resource and the loop that it runs on.
class Sidecar {
public:
    explicit Sidecar(PostgresOptions options);
    ~Sidecar();

    base::Result<protocol::ResourceStart> start();
    protocol::WorkResult prepare(const protocol::BranchKey& key,
                                 const std::string& work,
                                 protocol::BranchOptions options = {},
                                 std::uint32_t deadline_ms = 0);
    protocol::WorkResult one_phase(const protocol::BranchKey& key,
                                   const std::string& work,
                                   std::optional<protocol::IdempotencyKey> idempotency = {});
    // One call of an interactive branch.
    protocol::WorkResult execute(const protocol::BranchKey& key,
                                 std::uint32_t sequence,
                                 const std::string& work,
                                 protocol::BranchOptions options = {},
                                 std::uint32_t deadline_ms = 0);
    protocol::WorkResult prepare_executed(const protocol::BranchKey& key);
    protocol::FinishResult commit(const protocol::BranchKey& key,
                                  std::optional<protocol::ProofToken> proof = {});
    protocol::FinishResult rollback(const protocol::BranchKey& key,
                                    std::optional<protocol::ProofToken> proof = {});
    protocol::FinishResult settle(const protocol::BranchKey& key,
                                  std::optional<protocol::IdempotencyKey> idempotency = {});
    base::Result<void> cancel(const protocol::BranchKey& key);
    base::Result<std::vector<protocol::PreparedBranch>> list();
    base::Result<void> persist_sender(const protocol::SenderStamp& sender);
    void stop();

    // Starts work without waiting; the answer comes to *result.
    void begin(const protocol::BranchKey& key,
               const std::string& work,
               std::optional<protocol::WorkResult>* result,
               bool one_phase = false);
    // Lets the loop run until the condition holds.
    [[nodiscard]] bool wait(const std::function<bool()>& condition,
                            std::chrono::milliseconds limit = std::chrono::seconds(20));

    [[nodiscard]] std::string gid(const protocol::BranchKey& key) const;
    [[nodiscard]] PostgresResource& resource() { return *resource_; }
    [[nodiscard]] const Counters& counters() const { return resource_->counters(); }
    [[nodiscard]] const protocol::ResourceStart& started() const { return started_; }

private:
    async::EventLoop loop_;
    std::unique_ptr<PostgresResource> resource_;
    protocol::ResourceStart started_;
};

// A plain connection for facts about the server: no branch, no sidecar.
class RawSession {
public:
    explicit RawSession(const std::string& dsn);

    // Each statement synced apart; one result for each.
    Reply run(const std::vector<std::string>& statements);
    // The SQLSTATE of the last statement's error, or its command tag.
    std::string last(const std::vector<std::string>& statements);
    // Sends without waiting for an answer.
    void send(const std::vector<std::string>& statements);
    [[nodiscard]] bool wait(const std::function<bool()>& condition);

private:
    async::EventLoop loop_;
    Counters counters_;
    std::shared_ptr<async::DeadlineQueue> deadlines_;
    HostLookup lookup_;
    std::unique_ptr<Connection> connection_;
};

class PostgresTest : public ::testing::Test {
protected:
    void SetUp() override;

    // The server that all tests of the program share; tests that stop it or change its settings
    // have their own.
    static integration::PostgresServer& shared_server();
    // A database with a table account(id, balance >= 0), three rows of 100, for a server of the
    // test's own.
    std::string make_database(integration::PostgresServer& server);

    [[nodiscard]] PostgresOptions options() const { return options_for(dsn_); }
    [[nodiscard]] static PostgresOptions options_for(const std::string& dsn);
    // A started sidecar on the test's database.
    std::unique_ptr<Sidecar> sidecar();
    std::unique_ptr<Sidecar> sidecar(PostgresOptions options);

    // Keys that were never used before.
    static protocol::BranchKey new_key(protocol::ParticipantNumber one_phase = {});

    // SQL from outside, as the superuser.
    std::string sql(const std::string& text) const;
    [[nodiscard]] std::string balance(int account) const;
    [[nodiscard]] int prepared_count() const;
    // Statements as a work list without parameters.
    static std::string work(const std::vector<std::string>& statements);
    static std::string debit(int amount = 10, int account = 1);

    void create_account();
    void empty_database();

    integration::PostgresServer* server_ = nullptr;  // where database_ is
    std::string database_;
    std::string dsn_;
};

}  // namespace twofold::participant::postgres
