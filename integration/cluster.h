// A coordinator and participants as real processes, described as data. Each can be killed and
// started again with other settings; the books are read from outside.
//
// Logs, data and configuration live in a temporary directory of the cluster. Ports are chosen once,
// so that a restarted process is found again.
#pragma once

#include "integration/database.h"
#include "integration/process.h"
#include "integration/rest_client.h"
#include "integration/temp_dir.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::integration {

using Environment = std::map<std::string, std::string>;

inline constexpr int kAccounts = 10;
inline constexpr int kBalance = 1000;
// How long anything may take that must end: far above what it takes, because machines are busy.
// Calls that need more than 5 s are shown, so that this does not hide a stall.
inline constexpr std::chrono::milliseconds kPatience{90'000};

struct ParticipantSpec {
    std::string name;
    std::string postgres_dsn;   // empty: an SQLite file of the cluster
    std::string extra_yaml;     // more lines of its configuration, each with its line end
    bool with_bank = true;      // create accounts and ledger
    std::uint16_t seen_at = 0;  // the coordinator reaches it at this port: a proxy; 0: directly
};

// One that the test runs itself: the cluster only tells the coordinator of it.
struct OtherParticipant {
    std::string name;
    std::uint16_t port = 0;
};

struct ClusterSpec {
    std::vector<ParticipantSpec> participants;
    std::vector<OtherParticipant> others;
    std::uint16_t coordinator_seen_at = 0;  // the same for the coordinator, seen by participants
    std::string coordinator_yaml;           // more lines of its configuration
    std::string log_yaml;           // the value of its key `log`, "{ … }"; empty: the default
    std::string inquiry = "300ms";  // participants' inquiry_interval and in_doubt_age
    std::string retry_max = "300ms";
    std::string info_interval = "300ms";
    std::string deadline_default = "20s";
};

// Money from an account of one participant to an account of another.
struct Transfer {
    std::size_t from = 0;
    std::size_t to = 1;
    int from_account = 1;
    int to_account = 1;
    int amount = 10;
    std::string reference;  // unique; empty: the next one of the cluster
    std::uint32_t deadline_ms = 0;
};

class Cluster {
public:
    // Makes the directory, the databases' tables and the configuration files. Starts nothing.
    [[nodiscard]] static base::Result<std::unique_ptr<Cluster>> create(ClusterSpec spec);
    ~Cluster();
    Cluster(const Cluster&) = delete;
    Cluster& operator=(const Cluster&) = delete;

    // ---- processes; true when ready in time ----
    [[nodiscard]] bool start_all();
    [[nodiscard]] bool start_coordinator(const Environment& environment = {});
    [[nodiscard]] bool start_participant(std::size_t index, const Environment& environment = {});
    // Started, ready or not; for programs that are expected to end.
    void launch_coordinator(const Environment& environment = {});
    void launch_participant(std::size_t index, const Environment& environment = {});
    // All participants are reachable for the coordinator.
    [[nodiscard]] bool wait_participants_up();
    void stop_all();  // SIGKILL
    [[nodiscard]] Process& coordinator() { return coordinator_; }
    [[nodiscard]] Process& participant(std::size_t index) { return nodes_[index].process; }

    // ---- calls ----
    [[nodiscard]] RestClient& client() { return *client_; }
    [[nodiscard]] RestClient& participant_client(std::size_t index) {
        return *nodes_[index].client;
    }
    // POST /v1/transactions for a transfer; `reference` is filled in.
    [[nodiscard]] RestReply transfer(Transfer transfer);
    [[nodiscard]] RestReply submit(const std::string& body);
    [[nodiscard]] std::string transfer_body(const Transfer& transfer) const;
    [[nodiscard]] std::string next_reference();

    // ---- the books, from outside ----
    [[nodiscard]] Database& database(std::size_t index) { return *nodes_[index].database; }
    // Nothing when a database does not answer.
    [[nodiscard]] std::optional<std::int64_t> balance_sum();
    [[nodiscard]] std::optional<std::int64_t> balance(std::size_t index, int account);
    [[nodiscard]] std::optional<std::int64_t> prepared_left();
    [[nodiscard]] std::int64_t expected_sum() const;

    // ---- places ----
    [[nodiscard]] std::size_t size() const { return nodes_.size(); }
    [[nodiscard]] const std::string& directory() const { return dir_.path(); }
    [[nodiscard]] std::string log_directory() const { return dir_.path() + "/log"; }
    [[nodiscard]] const std::string& coordinator_config() const { return coordinator_config_; }
    [[nodiscard]] const std::string& participant_config(std::size_t index) const {
        return nodes_[index].config;
    }
    [[nodiscard]] std::uint16_t coordinator_port() const { return coordinator_port_; }
    [[nodiscard]] std::uint16_t participant_port(std::size_t index) const {
        return nodes_[index].port;
    }
    [[nodiscard]] std::string sqlite_path(std::size_t index) const;
    [[nodiscard]] const ParticipantSpec& spec(std::size_t index) const {
        return spec_.participants[index];
    }
    // The ends of all processes' outputs, for the message of a failed test.
    [[nodiscard]] std::string logs(std::size_t lines = 25) const;

private:
    struct Node {
        std::uint16_t port = 0;
        std::string config;
        std::string output;
        Process process;
        std::unique_ptr<RestClient> client;
        std::unique_ptr<Database> database;
    };

    Cluster() = default;
    base::Result<void> prepare_node(std::size_t index);
    void write_coordinator_config();
    void write_participant_config(std::size_t index);
    Process launch(const std::string& role,
                   const std::string& config,
                   const std::string& output,
                   const Environment& environment);

    ClusterSpec spec_;
    TempDir dir_;
    std::string coordinator_config_;
    std::uint16_t coordinator_port_ = 0;
    Process coordinator_;
    std::unique_ptr<RestClient> client_;
    std::vector<Node> nodes_;
    std::uint64_t references_ = 0;
};

// Asks again and again until `condition` holds; false when it did not in time.
[[nodiscard]] bool wait_until(const std::function<bool()>& condition,
                              std::chrono::milliseconds limit = kPatience);

// A statement of a branch as JSON. Placeholders are `?`; they are rewritten for PostgreSQL.
[[nodiscard]] std::string statement_json(DatabaseKind kind,
                                         std::string_view sql,
                                         std::string_view params_json = "[]",
                                         std::optional<int> expected_rows = std::nullopt);
// {"participant":…,"work":[…]} with more members if wanted (",\"isolation\":…").
[[nodiscard]] std::string branch_json(std::string_view participant,
                                      const std::vector<std::string>& statements,
                                      std::string_view more_members = "");
// {"branches":[…]} with more members if wanted.
[[nodiscard]] std::string transaction_json(const std::vector<std::string>& branches,
                                           std::string_view more_members = "");

}  // namespace twofold::integration
