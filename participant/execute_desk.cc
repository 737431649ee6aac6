#include "participant/execute_desk.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace twofold::participant {

namespace reason = protocol::reason;
using protocol::TxnId;

namespace {

CallAnswer failure(CallStatus status, std::string_view code, std::string text) {
    CallAnswer answer;
    answer.status = status;
    answer.reason = {std::string(code), std::move(text), -1, {}};
    return answer;
}

// Whether a repetition under the same idempotency key must hear it again.
bool is_definite(CallStatus status) {
    return status == CallStatus::executed || status == CallStatus::branch_ended;
}

base::Hash256 hash_of(const protocol::JsonText& work) {
    return base::sha256(base::as_bytes(*work));
}

std::size_t kept_size(const CallAnswer& answer) {
    std::size_t results = answer.results != nullptr ? answer.results->size() : 0;
    return sizeof(CallAnswer) + results + answer.reason.message.size();
}

CallAnswer refused_by(EnlistReply&& reply) {
    CallAnswer answer =
        failure(CallStatus::refused_by_coordinator, reply.code, std::move(reply.detail));
    if (reply.http_status == 409) answer.status = CallStatus::wrong_state;
    if (reply.code == reason::kBranchLost) answer.status = CallStatus::branch_ended;
    if (reply.http_status == 410) answer.status = CallStatus::gone;
    return answer;
}

}  // namespace

CallStatus status_of(ExecuteStatus status, const protocol::Reason& why) {
    switch (status) {
        case ExecuteStatus::executed: return CallStatus::executed;
        case ExecuteStatus::failed:
        case ExecuteStatus::unknown: return CallStatus::branch_ended;
        case ExecuteStatus::refused: break;
    }
    if (why.code == reason::kNotReady || why.code == reason::kSlotsExhausted) {
        return CallStatus::busy;
    }
    if (why.code == reason::kBelowLowWater) return CallStatus::gone;
    if (why.code == reason::kBadRequest) return CallStatus::wrong_state;
    return CallStatus::branch_ended;  // an older epoch, or aborted
}

void ExecuteDesk::start(std::uint32_t epoch, const protocol::ParticipantUuid& uuid) {
    epoch_ = epoch;
    uuid_ = uuid;
}

// ---- calls
// ---------------------------------------------------------------------------------------

void ExecuteDesk::receive(ExecuteCall call, std::int64_t now_ms, DeskEffects& effects) {
    if (!has_room()) make_room();
    auto found = transactions_.find(call.txn);
    if (found == transactions_.end()) {
        if (transactions_.size() >= options_.transactions_max) {
            effects.push_back(AnswerCall{
                call.call,
                failure(CallStatus::busy, reason::kUnavailable, "too many transactions are open")});
            return;
        }
        found = transactions_.try_emplace(call.txn).first;
        found->second.session = ++last_session_;
    }
    Transaction& txn = found->second;
    if (answer_by_key(txn, call, effects)) return;
    if (txn.waiting.size() >= options_.calls_max) {
        return answer(txn,
                      call,
                      failure(CallStatus::busy,
                              reason::kUnavailable,
                              "too many calls of this transaction wait for each other"),
                      effects);
    }
    TxnId id = call.txn;
    txn.waiting.push_back(std::move(call));
    if (txn.key.has_value()) {
        touch_if_due(id, txn, now_ms, effects);
        return run_next(id, txn, now_ms, effects);
    }
    if (txn.enlisting) return;
    txn.coordinator = 0;
    txn.was_unreachable = false;
    ask(id, txn, effects);
}

bool ExecuteDesk::answer_by_key(Transaction& txn, const ExecuteCall& call, DeskEffects& effects) {
    if (!call.idempotency.has_value()) return false;
    auto say = [&](CallAnswer said) {
        effects.push_back(AnswerCall{call.call, std::move(said)});
        return true;
    };
    auto found = txn.keys.find(call.idempotency->key_hash);
    if (found == txn.keys.end()) {
        if (txn.keys.size() >= options_.keys_max) {
            return say(failure(CallStatus::keys_exhausted,
                               "keys_exhausted",
                               "too many idempotency keys in one transaction"));
        }
        if (kept_bytes_ >= options_.kept_bytes_max) {
            return say(failure(CallStatus::keys_exhausted,
                               "keys_exhausted",
                               "the answers that are kept for idempotency keys fill their memory"));
        }
        txn.keys[call.idempotency->key_hash].fingerprint = call.idempotency->fingerprint;
        return false;
    }
    if (found->second.fingerprint != call.idempotency->fingerprint) {
        return say(failure(CallStatus::key_conflict,
                           reason::kKeyConflict,
                           "the Idempotency-Key came with another body before"));
    }
    if (!found->second.answer.has_value()) {
        return say(failure(CallStatus::key_in_progress,
                           "idempotency_key_in_progress",
                           "the first call with this Idempotency-Key has not been answered yet"));
    }
    CallAnswer again = *found->second.answer;
    again.is_replayed = true;
    return say(std::move(again));
}

bool ExecuteDesk::has_room() const {
    return transactions_.size() < options_.transactions_max &&
           kept_bytes_ < options_.kept_bytes_max;
}

// Forgets what is over and waits for nothing.
void ExecuteDesk::make_room() {
    std::erase_if(transactions_, [this](const auto& entry) {
        const Transaction& txn = entry.second;
        if (txn.enlisting || txn.running.has_value() || !txn.waiting.empty()) return false;
        return !txn.key.has_value() || options_.is_over(*txn.key);
    });
    kept_bytes_ = 0;
    for (const auto& [id, txn] : transactions_) {
        for (const auto& [hash, used] : txn.keys) {
            if (used.answer.has_value()) kept_bytes_ += kept_size(*used.answer);
        }
    }
}

void ExecuteDesk::answer(Transaction& txn,
                         const ExecuteCall& call,
                         CallAnswer said,
                         DeskEffects& effects) {
    if (txn.key.has_value()) said.key = *txn.key;
    if (call.idempotency.has_value()) {
        if (is_definite(said.status)) {
            txn.keys[call.idempotency->key_hash].answer = said;
            kept_bytes_ += kept_size(said);
        } else {
            txn.keys.erase(call.idempotency->key_hash);
        }
    }
    effects.push_back(AnswerCall{call.call, std::move(said)});
}

// ---- enlisting
// -----------------------------------------------------------------------------------

void ExecuteDesk::ask(const TxnId& id, Transaction& txn, DeskEffects& effects) {
    txn.enlisting = true;
    txn.epoch = epoch_;
    effects.push_back(AskEnlist{id, txn.coordinator, txn.session, txn.waiting.front().options});
}

void ExecuteDesk::enlisted(const TxnId& id,
                           EnlistReply reply,
                           std::int64_t now_ms,
                           DeskEffects& effects) {
    auto found = transactions_.find(id);
    TWOFOLD_ASSERT(found != transactions_.end(), "an enlistment's answer finds its transaction");
    Transaction& txn = found->second;
    bool is_ours = reply.uuid == uuid_ && reply.key.group == id;
    if (reply.status == EnlistStatus::enlisted && !is_ours) {
        reply.status = EnlistStatus::refused;
        reply.code = reason::kIdentityMismatch;
        reply.detail = "the coordinator knows another participant by this name";
    }
    if (reply.status == EnlistStatus::unreachable) {
        txn.was_unreachable = true;
        txn.unreachable_detail = reply.detail;
    }
    bool goes_on =
        reply.status == EnlistStatus::unreachable || reply.status == EnlistStatus::not_mine;
    if (goes_on && ++txn.coordinator < options_.coordinators) return ask(id, txn, effects);
    txn.enlisting = false;
    if (reply.status == EnlistStatus::enlisted) {
        txn.key = reply.key;
        txn.sender = reply.sender;
        txn.deadline_at = now_ms + reply.deadline_ms;
        txn.idle_ms = reply.idle_deadline_ms;
        txn.heard_at = now_ms;
        return run_next(id, txn, now_ms, effects);
    }
    if (reply.status == EnlistStatus::refused) {
        return fail_all(id, refused_by(std::move(reply)), effects);
    }
    if (txn.was_unreachable) {
        // It may have enlisted us: the same session is stated when it is asked again.
        return fail_all(id,
                        failure(CallStatus::coordinator_unreachable,
                                reason::kUnavailable,
                                std::move(txn.unreachable_detail)),
                        effects);
    }
    fail_all(id,
             failure(CallStatus::not_found,
                     "transaction_not_found",
                     "none of this participant's coordinators knows the transaction"),
             effects);
}

void ExecuteDesk::fail_all(const TxnId& id, const CallAnswer& said, DeskEffects& effects) {
    Transaction& txn = transactions_.at(id);
    for (const ExecuteCall& call : std::exchange(txn.waiting, {})) answer(txn, call, said, effects);
    bool may_be_enlisted = said.status == CallStatus::coordinator_unreachable;
    if (!may_be_enlisted) transactions_.erase(id);  // its keys have no answers
}

// ---- the coordinator's idle deadline
// -------------------------------------------------------------

void ExecuteDesk::touch_if_due(const TxnId& id,
                               Transaction& txn,
                               std::int64_t now_ms,
                               DeskEffects& effects) {
    if (txn.idle_ms <= 0 || now_ms - txn.heard_at < txn.idle_ms / 4) return;
    txn.heard_at = now_ms;
    effects.push_back(TouchCoordinator{id, txn.coordinator, txn.session, txn.epoch});
}

std::optional<std::int64_t> ExecuteDesk::next_touch() const {
    std::optional<std::int64_t> next;
    for (const TxnId& id : running_) {
        const Transaction& txn = transactions_.at(id);
        std::int64_t due = txn.heard_at + txn.idle_ms / 4;
        if (!next || due < *next) next = due;
    }
    return next;
}

void ExecuteDesk::touch(std::int64_t now_ms, DeskEffects& effects) {
    for (const TxnId& id : running_) touch_if_due(id, transactions_.at(id), now_ms, effects);
}

// ---- running
// -------------------------------------------------------------------------------------

std::optional<CallAnswer> ExecuteDesk::refusal_of(const Transaction& txn,
                                                  const ExecuteCall& call,
                                                  std::uint32_t sequence,
                                                  std::int64_t left_ms) {
    if (left_ms <= 0) {
        return failure(
            CallStatus::branch_ended, reason::kDeadline, "the transaction's time is over");
    }
    bool is_repeated = sequence == txn.sequence;
    if (is_repeated && hash_of(call.work) != txn.work) {
        return failure(CallStatus::invalid,
                       reason::kBadRequest,
                       "sequence " + std::to_string(sequence) + " came with other work before");
    }
    if (call.options != protocol::BranchOptions{} && txn.sequence > 0 && sequence != 1) {
        return failure(CallStatus::invalid,
                       reason::kBadRequest,
                       "isolation, lock_timeout_ms and statement_timeout_ms belong to the first "
                       "call of a transaction here");
    }
    return std::nullopt;
}

void ExecuteDesk::run_next(const TxnId& id,
                           Transaction& txn,
                           std::int64_t now_ms,
                           DeskEffects& effects) {
    while (!txn.running.has_value() && !txn.waiting.empty()) {
        ExecuteCall call = std::move(txn.waiting.front());
        txn.waiting.pop_front();
        std::int64_t left = txn.deadline_at - now_ms;
        std::uint32_t sequence = call.sequence != 0 ? call.sequence : txn.sequence + 1;
        if (std::optional<CallAnswer> no = refusal_of(txn, call, sequence, left)) {
            answer(txn, call, std::move(*no), effects);
            continue;
        }
        ExecuteReceived input;
        input.key = *txn.key;
        input.sender = txn.sender;
        input.participant_epoch = txn.epoch;
        input.sequence = sequence;
        input.work = call.work;
        input.options = call.options;
        input.deadline_ms = static_cast<std::uint32_t>(
            std::min<std::int64_t>(left, std::numeric_limits<std::uint32_t>::max()));
        txn.running = std::move(call);
        if (txn.idle_ms > 0) running_.insert(id);
        effects.push_back(RunCall{id, std::move(input)});
    }
}

void ExecuteDesk::ran(const TxnId& id,
                      ExecuteReply reply,
                      const protocol::ItemResult& result,
                      std::int64_t now_ms,
                      DeskEffects& effects) {
    auto found = transactions_.find(id);
    TWOFOLD_ASSERT(found != transactions_.end() && found->second.running.has_value(),
                   "an answer finds the call that runs");
    Transaction& txn = found->second;
    ExecuteCall call = std::move(*std::exchange(txn.running, std::nullopt));
    running_.erase(id);
    touch_if_due(id, txn, now_ms, effects);
    CallAnswer said;
    said.status = status_of(reply.status, result.reason);
    said.reason = result.reason;
    said.sequence = reply.sequence;
    said.results = result.results;
    // What was refused has used no number.
    bool is_new = is_definite(said.status) && reply.sequence > txn.sequence;
    if (is_new) {
        txn.sequence = reply.sequence;
        txn.work = hash_of(call.work);
    }
    answer(txn, call, std::move(said), effects);
    run_next(id, txn, now_ms, effects);
}

}  // namespace twofold::participant
