// Where applications' calls of interactive transactions arrive. Pure: inputs in, effects out; time
// is given, in milliseconds of any monotonic clock.
//
// A transaction's first call enlists the branch at the coordinators in turn; then its calls run one
// after the other, each with the next number. So two services that work in one transaction through
// one sidecar share one branch, and never wait for each other's locks.
//
// All of it is memory: a sidecar that dies has lost the branch's session anyway, and enlisting it
// again from the next epoch makes the coordinator abort the transaction.
#pragma once

#include "base/keyed_hash.h"
#include "participant/core/effects.h"
#include "participant/ports.h"

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace twofold::participant {

using CallId = base::StrongId<struct ExecuteCallTag>;

// As an application sent it. Its work has been checked by its form.
struct ExecuteCall {
    CallId call;
    protocol::TxnId txn;
    std::uint32_t sequence = 0;  // 0: the next one
    protocol::JsonText work;
    protocol::BranchOptions options;  // only with the first call
    std::optional<protocol::IdempotencyKey> idempotency;
};

enum class CallStatus : std::uint8_t {
    executed,
    branch_ended,             // the transaction can only abort
    wrong_state,              // nothing was done: it is prepared, or the number was answered before
    not_found,                // no coordinator knows the transaction
    gone,                     // it has ended
    invalid,                  // nothing was done
    refused_by_coordinator,   // nothing was done; reason says what it said
    coordinator_unreachable,  // nothing was done
    busy,                     // no slot, not ready: nothing was done
    key_conflict,
    key_in_progress,
    keys_exhausted,
};

struct CallAnswer {
    CallStatus status = CallStatus::busy;
    protocol::Reason reason;  // of everything but executed
    protocol::BranchKey key;
    std::uint32_t sequence = 0;
    protocol::JsonText results;
    bool is_replayed = false;  // of another call with the same idempotency key
};

struct AskEnlist {  // -> enlisted()
    protocol::TxnId txn;
    std::size_t coordinator = 0;
    std::uint64_t session = 0;
    protocol::BranchOptions options;
};
// The same enlistment again, so that the coordinator's idle deadline starts again. Nobody waits for
// its answer.
struct TouchCoordinator {
    protocol::TxnId txn;
    std::size_t coordinator = 0;
    std::uint64_t session = 0;
    std::uint32_t participant_epoch = 0;
};
struct RunCall {  // -> ran()
    protocol::TxnId txn;
    ExecuteReceived input;
};
struct AnswerCall {
    CallId call;
    CallAnswer answer;
};
using DeskEffect = std::variant<AskEnlist, TouchCoordinator, RunCall, AnswerCall>;
using DeskEffects = std::vector<DeskEffect>;

class ExecuteDesk {
public:
    struct Options {
        std::size_t coordinators = 1;
        std::size_t transactions_max = 10'000;  // remembered at a time
        std::size_t calls_max = 100;            // that wait, of one transaction
        std::size_t keys_max = 1'000;           // of one transaction
        // Of the answers that are kept for repetitions of their keys, of all transactions.
        std::size_t kept_bytes_max = 64U << 20U;
        // Whether nothing of this branch runs or is prepared any more.
        std::function<bool(const protocol::BranchKey&)> is_over;
    };
    explicit ExecuteDesk(Options options) : options_(std::move(options)) {}

    // The participant has started with this epoch: what was enlisted in another is lost.
    void start(std::uint32_t epoch, const protocol::ParticipantUuid& uuid);

    void receive(ExecuteCall call, std::int64_t now_ms, DeskEffects& effects);
    void enlisted(const protocol::TxnId& txn,
                  EnlistReply reply,
                  std::int64_t now_ms,
                  DeskEffects& effects);
    void ran(const protocol::TxnId& txn,
             ExecuteReply reply,
             const protocol::ItemResult& result,
             std::int64_t now_ms,
             DeskEffects& effects);

    // When touch() is due, in the same clock: a statement runs long. Nothing: not by itself.
    [[nodiscard]] std::optional<std::int64_t> next_touch() const;
    void touch(std::int64_t now_ms, DeskEffects& effects);

    [[nodiscard]] std::size_t transactions() const { return transactions_.size(); }

private:
    struct UsedKey {
        std::array<std::uint8_t, 16> fingerprint{};
        std::optional<CallAnswer> answer;  // nothing: in progress
    };
    struct Transaction {
        std::uint64_t session = 0;
        std::uint32_t epoch = 0;  // of the participant, at enlistment
        bool enlisting = false;
        std::size_t coordinator = 0;             // asked now
        bool was_unreachable = false;            // one of those asked before
        std::string unreachable_detail;          // what it said
        std::optional<protocol::BranchKey> key;  // enlisted
        protocol::SenderStamp sender;            // by this start
        std::int64_t deadline_at = 0;
        std::int64_t idle_ms = 0;    // of the transaction; 0: none
        std::int64_t heard_at = 0;   // its coordinator heard of it
        std::uint32_t sequence = 0;  // of the last call that ran
        base::Hash256 work{};        // of it
        std::optional<ExecuteCall> running;
        std::deque<ExecuteCall> waiting;
        std::map<std::array<std::uint8_t, 16>, UsedKey> keys;
    };

    // True when the call was answered from its key.
    bool answer_by_key(Transaction& txn, const ExecuteCall& call, DeskEffects& effects);
    [[nodiscard]] bool has_room() const;
    void make_room();
    void ask(const protocol::TxnId& id, Transaction& txn, DeskEffects& effects);
    void fail_all(const protocol::TxnId& id, const CallAnswer& answer, DeskEffects& effects);
    void run_next(const protocol::TxnId& id,
                  Transaction& txn,
                  std::int64_t now_ms,
                  DeskEffects& effects);
    // Why this call must not run; nothing: it may.
    [[nodiscard]] static std::optional<CallAnswer> refusal_of(const Transaction& txn,
                                                              const ExecuteCall& call,
                                                              std::uint32_t sequence,
                                                              std::int64_t left_ms);
    // Calls at this participant count as use of the transaction: its coordinator is told, at most
    // four times in an idle deadline.
    static void touch_if_due(const protocol::TxnId& id,
                             Transaction& txn,
                             std::int64_t now_ms,
                             DeskEffects& effects);
    void answer(Transaction& txn, const ExecuteCall& call, CallAnswer answer, DeskEffects& effects);

    Options options_;
    std::uint32_t epoch_ = 0;
    protocol::ParticipantUuid uuid_;
    std::uint64_t last_session_ = 0;
    std::map<protocol::TxnId, Transaction> transactions_;
    std::size_t kept_bytes_ = 0;
    std::set<protocol::TxnId> running_;  // those with an idle deadline
};

// The status of a call whose statement the machine has answered.
[[nodiscard]] CallStatus status_of(ExecuteStatus status, const protocol::Reason& reason);

}  // namespace twofold::participant
