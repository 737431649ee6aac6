// A tiny database with prepared transactions: accounts with row locks, a list of appended ids, a
// commit log, witness rows, tombstones. What is here survives every crash; what a crash takes are
// the sessions. A session belongs to the database, not to the client: when the client dies in the
// wrong moment it goes on and may still become prepared, until somebody ends it.
//
// Answers are events of the client's process, after a latency: a dead client never sees them.
#pragma once

#include "base/result.h"
#include "protocol/branch_work.h"
#include "sim/options.h"
#include "sim/work.h"
#include "sim/world.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace twofold::sim {

// Told of every durable change, at the moment it becomes durable.
class DatabaseObserver {
public:
    DatabaseObserver() = default;
    DatabaseObserver(const DatabaseObserver&) = delete;
    DatabaseObserver& operator=(const DatabaseObserver&) = delete;
    virtual ~DatabaseObserver() = default;

    virtual void on_prepared(std::uint32_t participant, const protocol::BranchKey& key) = 0;
    virtual void on_committed(std::uint32_t participant, const protocol::BranchKey& key) = 0;
    virtual void on_rolled_back(std::uint32_t participant, const protocol::BranchKey& key) = 0;
    virtual void on_one_phase(std::uint32_t participant, const protocol::BranchKey& key) = 0;
    virtual void on_read_only(std::uint32_t participant, const protocol::BranchKey& key) = 0;
    virtual void on_slots_exceeded(std::uint32_t participant, const protocol::BranchKey& key) = 0;
    virtual void on_lock_wait(std::uint32_t participant,
                              const protocol::BranchKey& waiter,
                              const protocol::BranchKey& holder) = 0;
};

class ModelDatabase {
public:
    using WorkCallback = std::function<void(protocol::WorkResult)>;
    using FinishCallback = std::function<void(protocol::FinishResult)>;
    using ListCallback = std::function<void(base::Result<std::vector<protocol::PreparedBranch>>)>;
    using StartCallback = std::function<void(base::Result<protocol::ResourceStart>)>;
    using DoneCallback = std::function<void(bool)>;

    ModelDatabase(World& world,
                  const WorkTable& work,
                  DatabaseOptions options,
                  DatabaseObserver& observer,
                  std::uint32_t number,
                  std::uint32_t accounts);

    // ---- what a sidecar calls; `client` is its process ----
    // Takes the next epoch, ends the sessions of every other client, lists.
    void start(ProcessId client, StartCallback done);
    void execute_prepare(ProcessId client, protocol::BranchWork work, WorkCallback done);
    void one_phase(ProcessId client, protocol::BranchWork work, WorkCallback done);
    // `first` opens the session; any later one needs it.
    void execute(ProcessId client, protocol::BranchWork work, bool first, WorkCallback done);
    void prepare_executed(ProcessId client,
                          const protocol::BranchKey& key,
                          std::string gid,
                          WorkCallback done);
    void cancel(ProcessId client, const protocol::BranchKey& key, DoneCallback done);
    void commit(ProcessId client, protocol::FinishRequest request, FinishCallback done);
    void rollback(ProcessId client, protocol::FinishRequest request, FinishCallback done);
    void settle_one_phase(ProcessId client,
                          const protocol::BranchKey& key,
                          const std::optional<protocol::IdempotencyKey>& idempotency,
                          FinishCallback done);
    void list(ProcessId client, ListCallback done);
    void persist_sender(ProcessId client, const protocol::SenderStamp& sender, DoneCallback done);
    // Forgets what the marks allow, at once.
    void note_marks(const protocol::Incarnation& incarnation,
                    protocol::IdPosition low_water,
                    protocol::IdPosition horizon);
    [[nodiscard]] protocol::Position position() const {
        return {durable_.timeline, durable_.position};
    }

    // ---- what the world does to it ----
    void client_died(ProcessId client);
    void crash();
    void restart();
    // No more failures of its own.
    void calm();
    // An operator finishes a prepared branch by hand. False: there is none.
    bool finish_by_hand(bool commit_it);
    // The durable state as it is now; restore_backup() brings it back while the database is down.
    // On a new timeline, as in a recovery to a point in time.
    void take_backup() { backup_ = durable_; }
    void restore_backup();
    void skip_fencing(bool on) { skip_fencing_ = on; }
    // Without it one-phase work is refused, as in a database with foreign servers.
    void offer_one_phase(bool on) { one_phase_ = on; }
    [[nodiscard]] bool offers_one_phase() const { return one_phase_; }

    // ---- what checkers look at ----
    [[nodiscard]] bool up() const { return up_; }
    [[nodiscard]] const protocol::ParticipantUuid& uuid() const { return uuid_; }
    [[nodiscard]] const protocol::Identity& identity() const { return identity_; }
    [[nodiscard]] bool is_prepared(const protocol::BranchKey& key) const {
        return durable_.prepared.contains(key);
    }
    [[nodiscard]] bool ever_prepared(const protocol::BranchKey& key) const {
        return ever_prepared_.contains(key);
    }
    [[nodiscard]] bool ever_read_only(const protocol::BranchKey& key) const {
        return ever_read_only_.contains(key);
    }
    [[nodiscard]] bool applied(const protocol::BranchKey& key) const {
        return durable_.ledger.contains(key);
    }
    // Before a backup was restored, too.
    [[nodiscard]] bool ever_applied(const protocol::BranchKey& key) const {
        return ever_applied_.contains(key);
    }
    // One-phase: nothing was written.
    [[nodiscard]] bool answered_without_effect(const protocol::BranchKey& key) const {
        return without_effect_.contains(key);
    }
    [[nodiscard]] bool is_running(const protocol::BranchKey& key) const;
    [[nodiscard]] std::size_t running() const { return sessions_.size(); }
    [[nodiscard]] std::size_t prepared() const { return durable_.prepared.size(); }
    [[nodiscard]] std::uint32_t slots() const { return options_.slots; }
    [[nodiscard]] bool exclusive() const { return options_.exclusive; }
    // Durable, and its sidecar knows so: where that answer was lost, nobody was told either.
    [[nodiscard]] protocol::Epoch accepted(const protocol::Incarnation& incarnation) const;
    struct Effect {
        std::vector<std::uint32_t> work;  // entries of the work table
        std::uint32_t times = 0;
    };
    [[nodiscard]] const std::map<protocol::BranchKey, Effect>& ledger() const {
        return durable_.ledger;
    }
    [[nodiscard]] const std::vector<std::uint32_t>& appended() const { return durable_.appended; }
    [[nodiscard]] const std::vector<std::int64_t>& balances() const { return durable_.balances; }
    // It is there at the moment of a death: work under way, and branches that are prepared or
    // committed and whose client has not heard so.
    struct Unheard {
        bool running = false;
        bool prepared = false;
        bool committed = false;
    };
    [[nodiscard]] Unheard unheard_by(ProcessId client) const;
    [[nodiscard]] std::size_t locks() const { return locks_.size(); }
    [[nodiscard]] std::string name() const { return "database" + std::to_string(number_); }

    static constexpr std::int64_t kOpeningBalance = 100;

private:
    enum class Mode : std::uint8_t { prepare, one_phase, interactive };
    enum class Stage : std::uint8_t { running, idle, ending };
    struct Session {
        std::uint64_t id = 0;
        ProcessId client;
        protocol::BranchKey key;
        std::string gid;
        std::optional<protocol::IdempotencyKey> idempotency;
        Mode mode = Mode::prepare;
        Stage stage = Stage::running;
        std::vector<std::uint32_t> work;   // executed so far
        std::vector<std::uint32_t> locks;  // accounts
        Time lock_until = 0;
        Time still_until = 0;  // it makes nothing durable before
        bool executed = false;
        bool wrote = false;
        bool key_free = false;   // nothing committed has its idempotency key
        std::uint64_t call = 0;  // what is answered when it ends
    };
    struct Prepared {
        std::string gid;
        std::uint64_t session = 0;
        std::uint64_t xid = 0;
        protocol::Position position;
        std::vector<std::uint32_t> work;
        std::vector<std::uint32_t> locks;
        Time since = 0;
    };
    // An unanswered call. Its answer is lost with the database.
    struct Call {
        ProcessId client;
        std::function<void()> lost;
    };

    struct Durable {
        std::uint32_t epoch = 0;
        std::uint32_t timeline = 1;
        std::uint64_t position = 1;
        std::uint64_t next_xid = 100;
        std::map<protocol::Incarnation, protocol::SenderStamp> senders;
        std::vector<std::int64_t> balances;
        std::vector<std::uint32_t> appended;
        std::map<protocol::BranchKey, Prepared> prepared;
        std::map<std::uint64_t, bool> commit_log;  // xid -> committed
        std::set<protocol::BranchKey> tombstones;
        std::map<protocol::BranchKey, std::uint64_t> witnesses;  // -> xid
        // Idempotency keys of one-phase commits, with the branch and its request.
        struct KeyRow {
            std::array<std::uint8_t, 16> fingerprint{};
            protocol::BranchKey branch;
        };
        std::map<std::array<std::uint8_t, 16>, KeyRow> witness_keys;
        std::map<protocol::BranchKey, Effect> ledger;
    };

    std::uint64_t open_call(ProcessId client, std::function<void()> lost);
    // Answers a call after the way back, unless it was answered or lost before.
    void answer(std::uint64_t call, Action action);
    // A call that a session answers when it gets there.
    std::uint64_t open_work(ProcessId client, WorkCallback done);
    void answer_work(Session& session, protocol::WorkResult result);
    // Runs `step` inside the database after a latency, answers `lost` when the database dies.
    void later(Action step);
    Time latency() { return world_.between(options_.latency_min, options_.latency_max); }

    void begin(Session session, WorkCallback done, std::uint32_t work);
    void run_work(std::uint64_t id, std::uint32_t work);
    [[nodiscard]] bool lock_all(Session& session, const WorkSpec& spec);
    void note_wait(const Session& session, std::uint64_t holder);
    // Calls `again` when the session stops standing still. False: it does not stand still.
    bool stands_still(const Session& session, Action again);
    [[nodiscard]] bool would_overdraw(const Session& session, const WorkSpec& spec) const;
    void after_work(Session& session);
    void prepare_point(std::uint64_t id);
    void one_phase_point(std::uint64_t id);
    void refuse(Session& session, std::string_view code);
    void end_session(std::uint64_t id);
    void apply(const protocol::BranchKey& key, const std::vector<std::uint32_t>& work);
    void unlock(std::uint64_t owner, const std::vector<std::uint32_t>& locks);
    Session* find(std::uint64_t id);
    Session* find(const protocol::BranchKey& key);
    [[nodiscard]] std::optional<bool> proof_of(const protocol::FinishRequest& request) const;
    protocol::FinishResult commit_now(const protocol::FinishRequest& request);
    protocol::FinishResult rollback_now(const protocol::FinishRequest& request);
    protocol::FinishResult settle_now(const protocol::BranchKey& key,
                                      const std::optional<protocol::IdempotencyKey>& idempotency);
    // True: the key's work was committed before, or the key is another request's; answered.
    bool answer_from_key(Session& session);
    void finish(ProcessId client, FinishCallback done, std::function<protocol::FinishResult()> act);
    [[nodiscard]] std::vector<protocol::PreparedBranch> listing() const;
    void note_accepted(const protocol::SenderStamp& sender);
    void take_over(ProcessId client, const StartCallback& done, std::uint64_t call);
    void say(const std::string& what) const;

    World& world_;
    const WorkTable& work_;
    DatabaseOptions options_;
    DatabaseObserver& observer_;
    std::uint32_t number_;
    protocol::ParticipantUuid uuid_;
    protocol::Identity identity_;

    Durable durable_;
    std::optional<Durable> backup_;
    std::map<protocol::Incarnation, protocol::Epoch> known_accepted_;  // for checkers

    // For checkers only.
    std::set<protocol::BranchKey> ever_applied_;
    std::set<protocol::BranchKey> ever_prepared_;
    std::set<protocol::BranchKey> ever_read_only_;
    std::set<protocol::BranchKey> without_effect_;

    bool one_phase_ = true;

    // Lost in a crash.
    bool up_ = true;
    ProcessId process_;
    std::map<std::uint64_t, Session> sessions_;
    std::map<std::uint32_t, std::uint64_t> locks_;  // account -> session
    std::map<std::uint64_t, Call> calls_;
    // Commits whose answer is on its way back.
    std::map<std::uint64_t, ProcessId> unheard_commits_;
    std::map<std::uint64_t, WorkCallback> work_done_;  // by call
    std::uint64_t next_id_ = 1;
    bool skip_fencing_ = false;
};

}  // namespace twofold::sim
