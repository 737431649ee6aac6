// The subcommands of `twofold`. Each takes its options as plain types, already checked, and returns
// the exit code: 0 ok, 1 error, 2 usage or configuration, 3 not found, 4 outcome unknown, 5
// aborted. Data goes to stdout, messages to stderr.
#pragma once

#include "app/client.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

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

// Where a client command calls, and how it prints.
struct ClientOptions {
    std::string address;  // of the coordinator
    Output output = Output::table;
};

struct TxnBeginOptions {
    ClientOptions client;
    std::uint32_t deadline_ms = 0;       // 0: the coordinator's default
    std::uint32_t idle_deadline_ms = 0;  // 0: none
    std::vector<std::string> labels;     // name=value
    std::string idempotency_key;
};
struct TxnRunOptions {
    ClientOptions client;
    std::string file;  // "-" = stdin
    std::string idempotency_key;
};
struct TxnGetOptions {
    ClientOptions client;
    std::string id;
    std::uint32_t wait_ms = 0;
};
struct TxnListOptions {
    ClientOptions client;
    std::string state;
    std::string participant;
    std::vector<std::string> labels;  // name=value, all of them
    std::string cursor;
    std::uint32_t limit = 50;
};
struct TxnWatchOptions {
    ClientOptions client;
    std::string id;
    std::uint32_t patience_seconds = 60;  // without an answer
};
struct TxnCommitOptions {
    ClientOptions client;
    std::string id;
    std::string wait;                   // empty: the coordinator's default
    std::vector<std::string> executes;  // participant=number
    std::string idempotency_key;
};
struct TxnAbortOptions {
    ClientOptions client;
    std::string id;
    std::string idempotency_key;
};
struct TxnIdOptions {
    ClientOptions client;
    std::string id;
};
// What changes something that only a person may change.
struct ReasonOptions {
    ClientOptions client;
    std::string name;  // of the transaction or participant
    std::string reason;
    bool dry_run = false;
    bool yes = false;
};
// Where a participant is to be reached.
struct ParticipantPutOptions {
    ClientOptions client;
    std::string name;
    std::string url;
};
struct InDoubtListOptions {
    ClientOptions client;
    std::string participant;  // empty: of all
};
struct ResolveOptions {
    ReasonOptions base;
    std::uint16_t branch = 0;
    std::uint16_t attempt = 0;  // 0: the one that there is
    std::string outcome;        // committed, aborted
};
// Of a branch that no coordinator knows.
struct ResolveHeldOptions {
    ReasonOptions base;
    std::string participant;  // its name, or its address
    std::string gid;
    std::string outcome;  // commit, abort
    bool coordinator_is_gone = false;
};
struct StatusOptions {
    std::vector<std::string> addresses;
    Output output = Output::table;
};
struct DoctorOptions {
    ClientOptions client;
    std::string data_dir;     // of the coordinator, when it is on this machine
    std::string config_file;  // of the coordinator; names the data_dir
};
struct ConfigCheckOptions {
    std::string file;
    std::string kind;  // coordinator, participant
    Output output = Output::table;
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
int run_dev(const DevOptions& options);

int begin_txn(const TxnBeginOptions& options);
int run_txn(const TxnRunOptions& options);
int get_txn(const TxnGetOptions& options);
int list_txns(const TxnListOptions& options);
int watch_txn(const TxnWatchOptions& options);
int commit_txn(const TxnCommitOptions& options);
int abort_txn(const TxnAbortOptions& options);
int explain_txn(const TxnIdOptions& options);
int forget_txn(const ReasonOptions& options);

int list_in_doubt(const InDoubtListOptions& options);
int resolve_in_doubt(const ResolveOptions& options);
int resolve_held(const ResolveHeldOptions& options);

int list_participants(const ClientOptions& options);
int check_participant(const ParticipantCheckOptions& options);
int put_participant(const ParticipantPutOptions& options);
int retire_participant(const ReasonOptions& options);
int rebind_participant(const ReasonOptions& options);
int accept_restore(const ReasonOptions& options);

int show_status(const StatusOptions& options);
int run_doctor(const DoctorOptions& options);
int check_config(const ConfigCheckOptions& options);
int verify_wal(const WalOptions& options);
int dump_wal(const WalOptions& options);
int check_health(const std::string& address);
int print_version();
int list_crash_points();  // in builds with crash points only

}  // namespace twofold::app
