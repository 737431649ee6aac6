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

namespace {

bool is_odd(const Branch& branch) {
    return branch.state == BranchState::recording || branch.state == BranchState::heuristic;
}

// Of an original: it has, or comes to, an end of its own, and says so.
bool tells_itself(const Transaction& original) {
    return original.state == TransactionState::one_phase || is_odd(original.branches.front());
}

}  // namespace

// Only what this participant had committed one-phase itself has left a key there; of the ids of
// this log it is known which those can be. Numbers that a lost log had given are given again, to
// others.
bool Machine::Impl::can_be_original(const TxnId& id, const Branch& asked) const {
    if (id.participant().value == 0) return false;
    if (!issued_here(id)) return true;
    bool names_it = id.participant() == asked.at->number || may_be_lost(id);
    bool is_issued = id.epoch() != id_epoch_ || id.sequence() < next_sequence_;
    const Transaction* known = find(id);
    bool is_aborted = keys_.abort_reason(id.position()) != nullptr ||
                      (known != nullptr && known->state == TransactionState::aborted);
    return names_it && is_issued && !is_aborted;
}

// It proves nothing of the branch that was asked for either.
void Machine::Impl::impossible_original(Transaction& txn,
                                        Branch& branch,
                                        const protocol::ItemResult& result) {
    std::string text = "transaction " + result.original->text() +
                       " cannot have committed there under an idempotency key";
    if (branch.state == BranchState::preparing) {
        on_impossible_vote(txn, branch, result);
    } else if (branch.state == BranchState::settling) {
        park(txn, branch, ParkedBecause::violation, text);
    } else {
        alarm("protocol_violation", txn.id, branch.at->number, text);
        settle(txn, branch, make_reason(protocol::reason::kProtocolViolation, std::move(text)));
    }
}

// Its participant has proved that it had committed. That is told by its bit, but of one that ended
// oddly: its record stands, and a log that has both contradicts itself.
void Machine::Impl::original_committed(const TxnId& original,
                                       const Branch& asked,
                                       const protocol::Reason& unproven) {
    protocol::ParticipantNumber number = asked.at->number;
    if (!issued_here(original) || original.participant() != number) return;
    if (auto odd = old_heuristic_.find(original); odd != old_heuristic_.end()) {
        contradict_word(original, number, odd->second);
        return;
    }
    Transaction* known = find(original);
    if (known == nullptr) {
        remember_outcome(original.position(), true);
        return;
    }
    Branch& branch = known->branches.front();
    if (is_odd(branch) && !std::exchange(branch.contradicted, true)) {
        contradict_word(original, number, branch.outcome);
    }
    if (known->state != TransactionState::settling || is_odd(branch)) return;
    if (branch.state == BranchState::parked) enter(*known, branch, BranchState::settling);
    protocol::ItemResult proof;
    proof.status = protocol::ItemStatus::committed;
    if (unproven.code == protocol::reason::kNotReplicated) proof.reason = unproven;
    known->results_lost = true;
    one_phase_committed(*known, branch, proof);
}

// Whoever acted on the record must hear that it was wrong.
void Machine::Impl::contradict_word(const TxnId& id,
                                    protocol::ParticipantNumber number,
                                    protocol::Outcome word) {
    if (word == protocol::Outcome::heuristic_commit) return;
    alarm("heuristic",
          id,
          number,
          "the transaction is recorded as " + std::string(to_string(word)) + ", but " +
              directory_.name_of(number) + " proves that it has committed it: correct the data " +
              "once more");
}

// Who waits for the key, and not for this id, is told the outcome of the key's first one, and at
// its branch when a failover may lose that.
void Machine::Impl::answer_by_original(Transaction& txn,
                                       const Branch& branch,
                                       const TxnId& original,
                                       const protocol::Reason& why) {
    Transaction* first = find(original);
    if (first != nullptr && tells_itself(*first)) return wait_for_original(txn, *first);
    Answer known;
    if (old_heuristic_.contains(original)) {
        known = answer_forgotten(original);
    } else {
        known.kind = AnswerKind::finished;
        known.report.txn = original;
        known.report.outcome = protocol::Outcome::committed;
        known.report.state = to_string(protocol::Outcome::committed);
        known.report.results_lost = true;
    }
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

// As if they had come while that one was known by the key: they hear what everybody hears of it.
void Machine::Impl::wait_for_original(Transaction& txn, Transaction& original) {
    std::erase_if(txn.waiters, [&](Waiter& waiter) {
        if (!waiter.by_key) return false;
        waiter.repeated = true;
        if (waiter.timer.value != 0) timers_.at(waiter.timer).ref.position = original.position;
        original.waiters.push_back(waiter);
        return true;
    });
    answer_ready_waiters(original);
}

// The participant has committed this request under its key before: by an id of a former start,
// which we did not know any more. This id has done nothing; the key belongs to that one.
void Machine::Impl::replay(Transaction& txn,
                           Branch& branch,
                           const TxnId& original,
                           const protocol::Reason& unproven) {
    txn.answered_by = original;
    original_committed(original, branch, unproven);
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
