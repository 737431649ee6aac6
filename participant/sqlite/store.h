// A SQLite file as a participant's database. SQLite has no PREPARE: a write transaction dies with
// its process. So a prepared branch is a row of the same file: prepare runs the branch's SQL,
// records the final images of the rows that it touched, rolls the data back, proves in a rehearsal
// that the images can be applied, and then commits {record + lock} in one ordinary SQLite
// transaction. Commit applies the images and deletes the record, again in one. docs/sqlite.md has
// the whole story.
//
// What a crash leaves behind: SQLite's own commit is atomic, so the file has either all of a step
// or nothing of it. Before the record is committed: nothing. After it: a prepared branch that
// start() lists. After the end: a row in _tc_done, from which repeats are answered.
//
// Synchronous; no threads of its own. Thread: one at a time for everything except interrupt().
// Mode: exclusive (one prepared branch per file, any schema). The lock table already has the shape
// for row and table locks.
#pragma once

#include "base/result.h"
#include "participant/work/catalog.h"
#include "protocol/branch_work.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace twofold::participant::sqlite {

struct StoreLimits {
    std::size_t redo_bytes_max = 16U << 20U;  // a branch that changes more is refused
    std::size_t statements_max = 1'000;       // per branch
    std::size_t rows_max = 1'000;             // returned rows, all statements of a branch together
    std::size_t result_bytes_max = 900U << 10U;  // of their JSON; a line of an answer has 1 MiB
    std::chrono::milliseconds statement_timeout{30'000};  // default of BranchOptions; 0 = none
    std::chrono::milliseconds lock_timeout{5'000};        // wait for other processes' writes
    std::chrono::milliseconds finish_wait{5'000};         // the same in commit and rollback
    // One-phase commits are found by their idempotency key for at least this long. Coordinators
    // that remember keys for longer do keyed work in two phases.
    std::chrono::milliseconds key_retention = protocol::kParticipantKeyRetention;
};

struct StoreOptions {
    std::string path;
    // Name of a registered SQLite VFS; empty = the system's. With a VFS the checks that look at
    // real files (inode, mode, file system, sidecar lock) are left out: the path need not exist on
    // disk.
    std::string vfs;
    bool create = false;
    bool shared =
        false;  // other local processes may open the file; otherwise its mode must be 0600
    bool raw_sql = false;  // {"sql": …} is allowed; named statements always are
    work::Catalog statements;
    StoreLimits limits;
    // What a new file is called; random when absent (a simulation gives it).
    std::optional<protocol::ParticipantUuid> uuid_if_new;
    // Clocks in milliseconds; the system's when empty. Wall time is only stored for people to read.
    std::function<std::int64_t()> monotonic_ms;
    std::function<std::int64_t()> wall_ms;
};

struct StoreCounters {
    std::uint64_t forces = 0;  // durable commits that wrote: each forces SQLite's log once
    std::uint64_t prepares = 0;
    std::uint64_t commits = 0;
    std::uint64_t rollbacks = 0;
    std::uint64_t tombstones = 0;
    std::uint64_t one_phase_commits = 0;
    std::uint64_t read_only = 0;
    std::uint64_t refused = 0;
    std::uint64_t gap_repeats = 0;  // another process wrote between work and record: work repeated
    std::uint64_t schema_reloads = 0;
    std::uint64_t broken_promises =
        0;  // a prepared branch could not be applied: others' DDL or writes
};

class Store {
public:
    // Opens the file (creating it when told), checks it, and creates what is missing of our tables.
    // precondition_failed, permission_denied, invalid_argument and unsupported_version need a
    // person.
    [[nodiscard]] static base::Result<std::unique_ptr<Store>> open(StoreOptions options);

    // Neither prepared branches nor anything else of the file is touched.
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    // Takes the next participant epoch durably and lists what is prepared. From then on a store of
    // an older epoch (another process on the same file) refuses all work. Work is refused with
    // not_ready before.
    [[nodiscard]] base::Result<protocol::ResourceStart> start();

    // Runs the work and prepares. `prepared` is answered only when record and lock are durable.
    [[nodiscard]] protocol::WorkResult execute_prepare(const protocol::BranchWork& work);

    // One call of an interactive branch. The first (sequence 1) takes the file's write lock and
    // opens the branch's session, which stays open until prepare_executed() or end_session(); while
    // it is, nothing else can be written to the file, here and elsewhere. `prepared` means here:
    // the statements ran. `refused` has ended the session.
    [[nodiscard]] protocol::WorkResult execute(const protocol::BranchWork& work,
                                               std::uint32_t sequence);
    // Prepares what was executed, as execute_prepare does. The session ends.
    [[nodiscard]] protocol::WorkResult prepare_executed(const protocol::BranchKey& key);
    // Rolls back and closes the session of this branch, if it is open.
    void end_session(const protocol::BranchKey& key);

    // Runs the work and commits it together with its witness, in one SQLite transaction. Nothing
    // written: committed, recorded = false.
    [[nodiscard]] protocol::WorkResult one_phase(const protocol::BranchWork& work);

    // Idempotent. `unknown`: nothing was changed, or it cannot be told; the branch is kept, ask
    // again. A branch that another process broke (DDL, writes past the guards) stays prepared and
    // is answered `unknown` until it can be applied: nothing is lost.
    [[nodiscard]] protocol::FinishResult commit(const protocol::FinishRequest& request);
    // An unknown branch gets a durable tombstone and can never become prepared: not_found.
    [[nodiscard]] protocol::FinishResult rollback(const protocol::FinishRequest& request);
    // Witness there: committed. Otherwise a durable tombstone in its place: aborted.
    [[nodiscard]] protocol::FinishResult settle_one_phase(
        const protocol::BranchKey& key,
        const std::optional<protocol::IdempotencyKey>& idempotency = std::nullopt);

    [[nodiscard]] base::Result<std::vector<protocol::PreparedBranch>> list();

    // An open session of a transaction of an older process of this coordinator is ended as lost:
    // that process is gone, and its interactive transactions with it. One of another coordinator is
    // not: then this is unavailable until it has ended.
    [[nodiscard]] base::Result<void> persist_sender(const protocol::SenderStamp& sender);

    // Rows about branches below low_water, and witnesses below horizon, may go. Only remembered:
    // the next transaction that writes anyway deletes some of them, so forgetting costs no force.
    void note_marks(const protocol::Incarnation& incarnation,
                    protocol::IdPosition low_water,
                    protocol::IdPosition horizon);

    // The changes of a prepared branch as SQL text, for an operator who must apply them by hand.
    [[nodiscard]] base::Result<std::string> describe_changes(const std::string& gid);

    // The newest known; no access to the file. Timeline is always 1, the value counts prepares and
    // one-phase commits: a restored file shows a smaller one.
    [[nodiscard]] protocol::Position position() const;

    // Ends the work of this branch if it is running just now; no effect otherwise. The work is then
    // answered with refused, or prepared when it was too late. Thread: any.
    void interrupt(const protocol::BranchKey& key);
    // The same for whatever work is running just now. Thread: any.
    void interrupt();

    // True after an error that leaves the file's state unknown to this process (an I/O error of a
    // commit can still turn out committed after a restart), or when the file is not the one that
    // was opened. The process must end now: no answer that came with it, or later, may be given.
    [[nodiscard]] bool must_exit() const;

    [[nodiscard]] const StoreCounters& counters() const;

private:
    class Impl;
    explicit Store(std::unique_ptr<Impl> impl);

    std::unique_ptr<Impl> impl_;
};

}  // namespace twofold::participant::sqlite
