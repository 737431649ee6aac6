// Idempotency keys: a request that comes again under its key gets the first one's answer, and never
// runs a second time. Keys live in generations, so that the oldest can go together without a look
// at every one of them, and without a clock.
#include "coordinator/core/machine_impl.h"

#include <utility>

namespace twofold::coordinator {

using protocol::IdempotencyKey;
using protocol::TxnId;

// True: the key is known and the request was answered, or waits for the first one's answer.
bool Machine::Impl::attach_to_key(Ticket ticket, const BeginOptions& options, bool one_shot) {
    if (!options.idempotency) return false;
    auto found = keys_.find(options.idempotency->key_hash);
    if (!found) return false;
    if (found->fingerprint != options.idempotency->fingerprint) {
        answer_plain(ticket,
                     AnswerKind::invalid,
                     make_reason(protocol::reason::kKeyConflict,
                                 "this idempotency key was used for a different request"));
        return true;
    }
    TxnId id = txn_of(*found);
    Transaction* txn = find(id);
    if (txn == nullptr) {
        Answer known = answer_forgotten(id);
        bool is_kept = found->committed || found->settled;
        if (known.report.outcome == protocol::Outcome::aborted && !is_kept) {
            // Nobody was told so under the key, and the next start would not know it.
            keys_.erase(options.idempotency->key_hash);
            return false;
        }
        known.ticket = ticket;
        known.repeated = true;
        bool says_less = known.kind != AnswerKind::finished ||
                         known.report.outcome == protocol::Outcome::aborted;
        if (found->committed && says_less) {
            // The key is known for longer than the outcome, or was learned from a participant.
            known.report.recorded = !has_changed_nothing(id);
            known.report.reason = {};
            known.kind = AnswerKind::finished;
            known.report.outcome = protocol::Outcome::committed;
            known.report.state = to_string(protocol::Outcome::committed);
            known.reason = {};
        }
        known.report.key_open = false;
        emit(std::move(known));
    } else if (one_shot) {
        wait(*txn,
             {ticket, Wish::commit, options.wait, TimerId{}, true, true},
             options.answer_within);
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
    auto known = keys_.find(key.key_hash);
    if (!known) keys_.add(key, id, !issued_here(id));
    if (committed && (!known || txn_of(*known) == id)) keys_.set_committed(key.key_hash);
    time_keys();
}

TxnId Machine::Impl::txn_of(const KeyMemory::Known& known) const {
    if (known.foreign) return *known.foreign;
    return protocol::make_txn_id(incarnation_,
                                 known.position.epoch,
                                 known.position.sequence,
                                 known.participant,
                                 epoch_keys_.at(known.position.epoch));
}

void Machine::Impl::forget_key(const Transaction& txn) {
    if (!txn.member().idempotency) return;
    auto found = keys_.find(txn.member().idempotency->key_hash);
    if (found && txn_of(*found) == txn.id) keys_.erase(txn.member().idempotency->key_hash);
}

bool Machine::Impl::owns_key(const Transaction& txn) const {
    if (!txn.member().idempotency) return false;
    auto found = keys_.find(txn.member().idempotency->key_hash);
    return found && txn_of(*found) == txn.id;
}

// One-phase commits leave nothing in our log: under this key an earlier start of ours, or this one
// so long ago that it has forgotten the key, may have done the same work by another id, and only
// the participant knows. Until it has told, no abort is the answer to the key.
bool Machine::Impl::is_key_in_question(const Transaction& txn) const {
    if (!txn.one_shot || !txn.member().idempotency || txn.key_confirmed) return false;
    bool has_forgotten =
        epochs_.begin()->first < epoch_ || keys_.generation() > KeyMemory::kGenerationsPerLifetime;
    if (!has_forgotten || txn.branch_count != 1) return false;
    return directory_.find(txn.branches.front().at->number)->keys;
}

// Who waits for the key, and not for this id, is told the outcome of the key's first one, and at
// its branch when a failover may lose that.
void Machine::Impl::answer_by_original(Transaction& txn,
                                       const Branch& branch,
                                       const TxnId& original,
                                       const protocol::Reason& why) {
    Answer known;
    known.kind = AnswerKind::finished;
    known.report.txn = original;
    known.report.outcome = protocol::Outcome::committed;
    known.report.state = to_string(protocol::Outcome::committed);
    known.report.results_lost = true;
    known.report.labels = txn.member().labels;
    known.repeated = true;
    if (why.code == protocol::reason::kNotReplicated) {
        BranchReport& unproven = known.report.branches.emplace_back();
        unproven.branch = branch.branch;
        unproven.attempt = branch.attempt;
        unproven.participant = branch.at->number;
        unproven.participant_epoch = branch.participant_epoch;
        unproven.state = to_string(BranchState::committed);
        unproven.reason = why;
        unproven.tries = branch.tries;
    }
    std::erase_if(txn.waiters, [&](Waiter& waiter) {
        if (!waiter.by_key) return false;
        cancel(waiter.timer);
        known.ticket = waiter.ticket;
        emit(Answer(known));
        return true;
    });
}

// The participant has committed this request under its key before: by an id of a former start,
// which we did not know any more. This id has done nothing; the key belongs to that one.
void Machine::Impl::replay(Transaction& txn,
                           Branch& branch,
                           const TxnId& original,
                           const protocol::Reason& unproven) {
    txn.answered_by = original;
    if (issued_here(original)) remember_outcome(original.position(), true);
    if (txn.member().idempotency) {
        IdempotencyKey key = *txn.member().idempotency;
        forget_key(txn);
        remember_key(original, key, true);
    }
    answer_by_original(txn, branch, original, unproven);
    protocol::Reason why = make_reason(
        protocol::reason::kKeyReplayed,
        "transaction " + original.text() +
            " has committed the same request under its idempotency key; this id changed nothing");
    if (txn.state == TransactionState::preparing) {
        enter(txn, branch, BranchState::no);
        decide_abort(txn, std::move(why), 0);
    } else {
        one_phase_aborted(txn, branch, std::move(why));
    }
}

// Its outcome is fixed and, unless it is a one-phase commit, in the log.
void Machine::Impl::settle_key(const TxnId& id,
                               const IdempotencyKey& key,
                               bool committed,
                               const std::string& reason) {
    auto known = keys_.find(key.key_hash);
    if (known && (known->settled || txn_of(*known) != id)) return;
    // The witness at its participant has the key; the log never says how a one-phase id ended.
    bool for_the_log = !committed || id.participant().value == 0;
    keys_.settle({key, id.position(), id.participant(), committed, reason}, for_the_log);
    time_keys();
    if (keys_.loose() >= config_.keys_per_file) seal_keys();
}

// The oldest settled keys leave the checkpoints for a file of their own.
void Machine::Impl::seal_keys() {
    Seal effect;
    effect.file = next_sealed_++;
    for (protocol::KeysRecord& record : keys_.loose_records(config_.keys_per_file)) {
        effect.records.emplace_back(std::move(record));
    }
    keys_.forget_loose(config_.keys_per_file);
    if (effect.records.empty()) return;
    sealed_.emplace(effect.file, sealed_record(effect.file, effect.records));
    emit(std::move(effect));
}

void Machine::Impl::time_keys() {
    if (keys_timer_.value != 0) return;
    Milliseconds generation = config_.key_lifetime / KeyMemory::kGenerationsPerLifetime;
    keys_timer_ = arm({TimerKind::keys, {}, {}}, generation, generation);
}

// A fourth of the lifetime is over: a new generation begins. What has not ended stays.
void Machine::Impl::turn_keys() {
    keys_timer_ = TimerId{};
    for (const auto& [position, txn] : transactions_) {
        if (is_ended(txn->state) || !txn->member().idempotency) continue;
        auto known = keys_.find(txn->member().idempotency->key_hash);
        if (known && txn_of(*known) == txn->id) keys_.refresh(txn->member().idempotency->key_hash);
    }
    if (keys_.loose() > 0) seal_keys();
    keys_.begin(keys_.generation() + 1);
    if (config_.sabotage.free_keys_early) {
        emit(Append{protocol::KeyTurnRecord{keys_.generation()}});
        return keys_turned(keys_.generation());
    }
    force(protocol::KeyTurnRecord{keys_.generation()});
}

// The disk knows of the new generation, and brings no key of the oldest back, whatever happens: now
// it may go, and its keys be used again.
void Machine::Impl::keys_turned(std::uint32_t generation) {
    keys_.drop(generation);
    std::erase_if(sealed_, [generation](const auto& file) {
        return KeyMemory::is_over(file.second.generation, generation);
    });
    if (keys_.size() > 0) time_keys();
}

}  // namespace twofold::coordinator
