// Idempotency keys: a request that comes again under its key gets the first one's answer, and never
// runs a second time. Keys live in generations, so that the oldest can go together without a look
// at every one of them, and without a clock.
#include "coordinator/core/machine_impl.h"

#include <utility>

namespace twofold::coordinator {

using protocol::IdempotencyKey;
using protocol::TxnId;

namespace {
// Each timer begins a new generation; a key lives for four to five of them.
constexpr int kGenerationsPerLifetime = 4;
}  // namespace

// True: the key is known and the request was answered, or waits for the first one's answer.
bool Machine::Impl::attach_to_key(Ticket ticket, const BeginOptions& options, bool one_shot) {
    if (!options.idempotency) return false;
    auto found = keys_.find(options.idempotency->key_hash);
    if (found == keys_.end()) return false;
    if (found->second.fingerprint != options.idempotency->fingerprint) {
        answer_plain(ticket,
                     AnswerKind::invalid,
                     make_reason(protocol::reason::kKeyConflict,
                                 "this idempotency key was used for a different request"));
        return true;
    }
    Transaction* txn = find(found->second.txn);
    if (txn == nullptr) {
        Answer known = answer_forgotten(found->second.txn);
        known.ticket = ticket;
        known.repeated = true;
        if (found->second.committed && known.kind == AnswerKind::expired) {
            // The key is known for longer than the outcome.
            known.kind = AnswerKind::finished;
            known.report.outcome = protocol::Outcome::committed;
            known.report.state = to_string(protocol::Outcome::committed);
            known.reason = {};
        }
        emit(std::move(known));
    } else if (one_shot) {
        wait(*txn, {ticket, Wish::commit, options.wait, TimerId{}, true}, options.answer_within);
        answer_ready_waiters(*txn);
    } else {
        Answer known = answer_now(*txn);
        known.ticket = ticket;
        known.repeated = true;
        if (txn->state == TransactionState::active) known.kind = AnswerKind::begun;
        emit(std::move(known));
    }
    return true;
}

void Machine::Impl::remember_key(const Transaction& txn, bool committed) {
    if (txn.member().idempotency) remember_key(txn.id, *txn.member().idempotency, committed);
}

void Machine::Impl::remember_key(const TxnId& id, const IdempotencyKey& key, bool committed) {
    if (key_generations_.empty()) key_generations_.emplace_back();
    auto [entry, added] =
        keys_.try_emplace(key.key_hash, KeyEntry{key.fingerprint, id, key_generation_, committed});
    if (added) {
        key_generations_.back().push_back(key.key_hash);
    } else if (entry->second.txn == id) {
        entry->second.committed = committed;
    }
    if (keys_timer_.value != 0) return;
    Milliseconds generation = config_.key_lifetime / kGenerationsPerLifetime;
    keys_timer_ = arm({TimerKind::keys, {}, {}}, generation, generation);
}

void Machine::Impl::forget_key(const Transaction& txn) {
    if (!txn.member().idempotency) return;
    auto found = keys_.find(txn.member().idempotency->key_hash);
    if (found != keys_.end() && found->second.txn == txn.id) keys_.erase(found);
}

void Machine::Impl::rotate_keys() {
    keys_timer_ = TimerId{};
    key_generations_.emplace_back();
    ++key_generation_;
    if (key_generations_.size() > kGenerationsPerLifetime + 1U) {
        std::uint64_t oldest = key_generation_ + 1 - key_generations_.size();
        std::vector<KeyHash> leaving = std::move(key_generations_.front());
        key_generations_.pop_front();
        for (const KeyHash& hash : leaving) {
            auto found = keys_.find(hash);
            if (found == keys_.end() || found->second.generation != oldest) continue;
            const Transaction* txn = find(found->second.txn);
            if (txn != nullptr && !is_ended(txn->state)) {  // not even answered: it stays
                found->second.generation = key_generation_;
                key_generations_.back().push_back(hash);
                continue;
            }
            idempotent_aborts_.erase(found->second.txn);
            keys_.erase(found);
        }
    }
    if (keys_.empty()) {
        key_generations_.clear();
        return;
    }
    Milliseconds generation = config_.key_lifetime / kGenerationsPerLifetime;
    keys_timer_ = arm({TimerKind::keys, {}, {}}, generation, generation);
}

}  // namespace twofold::coordinator
