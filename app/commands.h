// The subcommands of `twofold`. Each takes its options as plain types, already checked, and returns
// the exit code: 0 ok, 1 error, 2 usage or configuration, 3 not found, 4 outcome unknown, 5
// aborted. Data goes to stdout, messages to stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace twofold::app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitError = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNotFound = 3;
inline constexpr int kExitUnknown = 4;
inline constexpr int kExitAborted = 5;

struct DevOptions {
    std::string data_dir;  // empty: a temporary one, removed at the end
    std::uint16_t coordinator_port = 8420;
    std::uint16_t first_participant_port = 8431;
};

struct TxnRunOptions {
    std::string address;
    std::string file;  // "-" = stdin
    std::string idempotency_key;
};
struct TxnGetOptions {
    std::string address;
    std::string id;
    std::uint32_t wait_ms = 0;
};
struct TxnListOptions {
    std::string address;
    std::string state;
    std::string participant;
    std::uint32_t limit = 50;
    bool json = false;
};
struct WalOptions {
    std::string directory;
    bool json = false;
};

struct ParticipantCheckOptions {
    std::string url;
    std::string work;             // a JSON array of objects
    std::string failing_work;     // the same, or empty
    std::string read_only_work;   // the same, or empty
    std::string restart_command;  // for a shell; empty: it is not restarted
    bool json = false;
    std::chrono::milliseconds deadline{15'000};       // of one exchange
    std::chrono::milliseconds restart_limit{60'000};  // until it answers again
};

int run_coordinator(const std::string& config_file);
int run_participant(const std::string& config_file);
int check_participant(const ParticipantCheckOptions& options);
int run_dev(const DevOptions& options);
int run_txn(const TxnRunOptions& options);
int get_txn(const TxnGetOptions& options);
int list_txns(const TxnListOptions& options);
int verify_wal(const WalOptions& options);
int dump_wal(const WalOptions& options);
int check_health(const std::string& address);
int print_version();
int list_crash_points();

}  // namespace twofold::app
