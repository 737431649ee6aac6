#include "coordinator/core/machine.h"

#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::IdPosition;
using protocol::ParticipantNumber;
using protocol::TxnId;

protocol::Reason make_reason(std::string_view code, std::string message) {
    protocol::Reason reason;
    reason.code = code;
    reason.message = std::move(message);
    return reason;
}

// ---- the public face ------------------------------------------------------------------

Machine::Machine(Config config, RecoveredState recovered)
    : impl_(std::make_unique<Impl>(config, std::move(recovered))) {}
Machine::Machine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Machine Machine::clone() const { return Machine(impl_->clone()); }
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;

void Machine::start(Effects& effects) { impl_->start(effects); }
void Machine::step(Input input, Effects& effects) { impl_->step(std::move(input), effects); }
bool Machine::stopped() const { return impl_->is_stopped(); }
Answer Machine::query(const TxnId& txn) const { return impl_->query(txn); }
std::vector<TransactionReport> Machine::list(const ListFilter& filter) const {
    return impl_->list(filter);
}
IdPosition Machine::low_water(ParticipantNumber participant) const {
    return impl_->low_water(participant);
}
IdPosition Machine::horizon() const { return impl_->horizon(); }
protocol::Incarnation Machine::incarnation() const { return impl_->incarnation(); }
protocol::Epoch Machine::epoch() const { return impl_->epoch(); }
const std::map<ParticipantNumber, protocol::ParticipantRecord>& Machine::participants() const {
    return impl_->directory().records();
}
std::optional<Machine::ParticipantView> Machine::look_at(ParticipantNumber participant) const {
    return impl_->look_at(participant);
}
std::uint32_t Machine::participant_epoch(ParticipantNumber participant) const {
    return impl_->participant_epoch(participant);
}
std::vector<protocol::Record> Machine::checkpoint() const { return impl_->checkpoint(); }
Machine::Counts Machine::counts() const { return impl_->counts(); }
protocol::SenderStamp Machine::stamp(std::uint64_t durable_position) const {
    return impl_->stamp(durable_position);
}
protocol::Reason Machine::not_ready() const { return impl_->not_ready(); }
void Machine::visit_in_doubt(const InDoubtVisitor& visit) const { impl_->visit_in_doubt(visit); }

// ---- steps ----------------------------------------------------------------------------

void Machine::Impl::step(Input input, Effects& effects) {
    out_ = &effects;
    if (is_stopped()) {
        step_stopped(input);
    } else {
        std::visit([this](auto& alternative) { handle(alternative); }, input);
        if (!is_stopped()) run_granted();
    }
    out_ = &scratch_;
}

// ---- transactions ---------------------------------------------------------------------

Transaction* Machine::Impl::find(IdPosition position) {
    auto found = transactions_.find(position);
    return found == transactions_.end() ? nullptr : found->second.get();
}

// The whole id must be equal: a forged one may have the position of a real transaction.
const Transaction* Machine::Impl::find(const TxnId& id) const {
    auto found = transactions_.find(id.position());
    if (found == transactions_.end() || found->second->id != id) return nullptr;
    return found->second.get();
}

Transaction* Machine::Impl::find(const TxnId& id) {
    return const_cast<Transaction*>(std::as_const(*this).find(id));
}

Branch* Machine::Impl::find_branch(Transaction& txn, std::uint16_t branch, std::uint16_t attempt) {
    if (branch >= 1 && branch <= txn.branch_count) {
        Branch& current = txn.branches[branch - 1U];
        if (current.attempt == attempt) return &current;
    }
    for (std::size_t i = txn.branch_count; i < txn.branches.size(); ++i) {
        Branch& replaced = txn.branches[i];
        if (replaced.branch == branch && replaced.attempt == attempt) return &replaced;
    }
    return nullptr;
}

Transaction& Machine::Impl::create(const TxnId& id) {
    base::Boxed<Transaction> txn{Transaction()};
    txn->id = id;
    txn->position = id.position();
    if (id.epoch() < epoch_) txn->version = kVersionsPerStart * epoch_;
    Transaction& created = *txn;
    auto [place, fresh] = transactions_.emplace(created.position, std::move(txn));
    TWOFOLD_ASSERT(fresh, "two transactions with one id");
    return created;
}

TxnId Machine::Impl::next_id(ParticipantNumber one_phase) {
    // Only a sabotaged machine meets ids of a former start here.
    while (transactions_.contains(next_position())) ++next_sequence_;
    TWOFOLD_ASSERT(next_sequence_ <= protocol::kSequenceMax, "this epoch has no ids left");
    return protocol::make_txn_id(
        incarnation_, id_epoch_, next_sequence_++, one_phase, epoch_keys_.at(id_epoch_));
}

// ---- the gate -------------------------------------------------------------------------

void Machine::Impl::enter(Transaction& txn, TransactionState state) {
    TWOFOLD_ASSERT(is_legal(txn.state, state), "illegal change of a transaction's state");
    if (txn.state != TransactionState::fresh) --by_state_[static_cast<std::size_t>(txn.state)];
    ++by_state_[static_cast<std::size_t>(state)];
    if (is_undecided(txn.state) != is_undecided(state)) {
        note_member(undecided_, txn.position, is_undecided(state));
    }
    if (holds_every_mark(txn.state) != holds_every_mark(state)) {
        note_member(hold_every_mark_, txn.position, holds_every_mark(state));
    }
    txn.state = state;
    ++txn.version;
    emit(Changed{txn.id, txn.version, to_string(state)});
}

void Machine::Impl::note_member(std::set<IdPosition>& set, IdPosition position, bool is_member) {
    if (is_member) {
        set.insert(position);
    } else {
        set.erase(position);
    }
}

void Machine::Impl::enter(Transaction& txn, Branch& branch, BranchState state) {
    TWOFOLD_ASSERT(is_legal(branch.state, state), "illegal change of a branch's state");
    bool was = is_outstanding(branch.state);
    bool is = is_outstanding(state);
    cancel(branch.retry_timer);  // it was for what the former state had to say
    if (!is_being_told(state)) cancel(branch.undelivered_timer);
    branch.state = state;
    ++txn.version;
    if (was != is) count_outstanding(txn, branch, was, is);
    if (!is && branch.holds_slot) {
        branch.holds_slot = false;
        slots_.release(branch.at->number);
    }
}

void Machine::Impl::count_outstanding(Transaction& txn, const Branch& branch, bool was, bool is) {
    auto& positions = directory_.at(branch.at->number).outstanding;
    if (is && !was) {
        ++txn.outstanding;
        ++positions[txn.position];
        return;
    }
    TWOFOLD_ASSERT(txn.outstanding > 0, "outstanding branches are counted once");
    --txn.outstanding;
    auto found = positions.find(txn.position);
    TWOFOLD_ASSERT(found != positions.end(), "outstanding branches are counted at participants");
    if (--found->second == 0) positions.erase(found);
}

IdPosition Machine::Impl::low_water(ParticipantNumber participant) const {
    IdPosition mark = next_position();
    if (!hold_every_mark_.empty()) mark = std::min(mark, *hold_every_mark_.begin());
    const Participant* known = directory_.find(participant);
    if (known != nullptr && !known->outstanding.empty()) {
        mark = std::min(mark, known->outstanding.begin()->first);
    }
    return mark;
}

// ---- effects --------------------------------------------------------------------------

void Machine::Impl::force(protocol::Record record, BranchRef ref, Ticket ticket) {
    ForceToken token(next_token_++);
    forcing_.emplace(token, Forcing{record, ref, ticket});
    emit(AppendForced{std::move(record), token});
}

void Machine::Impl::alarm(std::string_view code,
                          const TxnId& txn,
                          ParticipantNumber participant,
                          std::string text) {
    emit(RaiseAlarm{std::string(code), txn, participant, std::move(text)});
}

void Machine::Impl::handle(Durable& input) {
    auto found = forcing_.find(input.token);
    if (found == forcing_.end()) return;
    Forcing forcing = std::move(found->second);
    forcing_.erase(found);
    if (auto* participant = std::get_if<protocol::ParticipantRecord>(&forcing.record)) {
        participant_recorded(*participant);
        if (forcing.ticket.value != 0) answer_plain(forcing.ticket, AnswerKind::done, {});
    } else if (auto* horizon = std::get_if<protocol::HorizonRecord>(&forcing.record)) {
        horizon_moved(horizon->horizon);
    } else if (auto* given_up = std::get_if<protocol::GivenUpRecord>(&forcing.record)) {
        protocol::IdPosition& newest = given_up_[given_up->participant];
        newest = std::max(newest, given_up->newest);
        if (forcing.ticket.value != 0) restore_accepted(given_up->participant, forcing.ticket);
    } else if (std::holds_alternative<protocol::BranchOutcomeRecord>(forcing.record)) {
        outcome_recorded(forcing.ref);
        Transaction* txn = find(forcing.ref.position);
        if (forcing.ticket.value != 0 && txn != nullptr) {
            answer(forcing.ticket, AnswerKind::done, *txn);
        }
    } else if (auto* seen = std::get_if<protocol::AcknowledgedRecord>(&forcing.record)) {
        acknowledgement_recorded(*seen, forcing.ticket);
    } else if (auto* abort = std::get_if<protocol::IdempotentAbortRecord>(&forcing.record)) {
        settle_key(abort->txn, abort->idempotency, false, abort->reason);
        Transaction* txn = find(forcing.ref.position);
        if (txn == nullptr) return;
        txn->key_forced = true;
        answer_ready_waiters(*txn);
    } else if (auto* turn = std::get_if<protocol::KeyTurnRecord>(&forcing.record)) {
        keys_turned(turn->generation);
    }
}

// ---- timers ---------------------------------------------------------------------------

TimerId Machine::Impl::arm(TimerTarget target, Milliseconds delay_min, Milliseconds delay_max) {
    TimerId timer(next_timer_++);
    timers_.emplace(timer, target);
    emit(ArmTimer{timer, delay_min, delay_max});
    return timer;
}

void Machine::Impl::cancel(TimerId& timer) {
    if (timer.value == 0) return;
    auto found = timers_.find(timer);
    if (found != timers_.end()) {
        const TimerTarget& target = found->second;
        if (target.kind == TimerKind::retry) {
            Transaction* txn = find(target.ref.position);
            Branch* branch =
                txn != nullptr ? find_branch(*txn, target.ref.branch, target.ref.attempt) : nullptr;
            if (branch != nullptr) directory_.at(branch->at->number).sleeping.erase(target.ref);
        }
        timers_.erase(found);
        emit(CancelTimer{timer});
    }
    timer = TimerId{};
}

void Machine::Impl::handle(TimerFired& input) {
    auto found = timers_.find(input.timer);
    if (found == timers_.end()) return;  // cancelled while it fired
    TimerTarget target = found->second;
    if (is_of_the_machine(target.kind)) {
        timers_.erase(found);
        if (target.kind == TimerKind::keys) turn_keys();
        if (target.kind == TimerKind::turn) turn_outcomes();
        if (target.kind == TimerKind::rest) horizon_rests_ = false;
        return;
    }
    Transaction* txn = find(target.ref.position);
    TWOFOLD_ASSERT(txn != nullptr, "a transaction's timers are cancelled before it is forgotten");
    switch (target.kind) {
        case TimerKind::deadline:
            timers_.erase(found);
            txn->deadline_timer = TimerId{};
            on_deadline(*txn);
            return;
        case TimerKind::idle:
            timers_.erase(found);
            txn->idle_timer = TimerId{};
            decide_abort(*txn,
                         make_reason(protocol::reason::kDeadline,
                                     "nobody used the transaction for too long"),
                         0);
            return;
        case TimerKind::waiter: {
            timers_.erase(found);
            auto waiter = std::find_if(txn->waiters.begin(),
                                       txn->waiters.end(),
                                       [&](const Waiter& w) { return w.ticket == target.ticket; });
            if (waiter == txn->waiters.end()) return;
            answer_late_waiter(*txn, *waiter);
            txn->waiters.erase(waiter);
            forget_question(*txn);
            return;
        }
        case TimerKind::retry: {
            Branch* branch = find_branch(*txn, target.ref.branch, target.ref.attempt);
            TWOFOLD_ASSERT(branch != nullptr, "a retry has a branch");
            wake(*txn, *branch);
            return;
        }
        case TimerKind::undelivered: {
            timers_.erase(found);
            Branch* branch = find_branch(*txn, target.ref.branch, target.ref.attempt);
            TWOFOLD_ASSERT(branch != nullptr, "what is not delivered has a branch");
            branch->undelivered_timer = TimerId{};
            on_undelivered(*txn, *branch);
            return;
        }
        case TimerKind::keys:
        case TimerKind::turn:
        case TimerKind::rest: return;
    }
}

void Machine::Impl::on_deadline(Transaction& txn) {
    using enum TransactionState;
    switch (txn.state) {
        case waiting:
        case active:
        case preparing:
            decide_abort(txn,
                         make_reason(protocol::reason::kDeadline,
                                     "the transaction was not decided before its deadline"),
                         0);
            return;
        case one_phase:
            // An abort, as far as one is still possible: the participant proves that it has
            // committed, or ends the work and forbids it for ever.
            txn.branches.front().cancel_first = true;
            txn.deadline_timer = arm({TimerKind::deadline, {txn.position, 0, 0}, {}},
                                     config_.settle_grace,
                                     config_.settle_grace);
            settle(txn,
                   txn.branches.front(),
                   make_reason(protocol::reason::kDeadline,
                               "the transaction was not committed before its deadline"));
            return;
        case proposing:
        case settling:
        case committing: answer_deadline_waiters(txn); return;
        case fresh:
        case aborting:
        case committed:
        case aborted:
        case heuristic: return;
    }
}

Machine::Counts Machine::Impl::counts() const {
    auto count = [this](TransactionState state) {
        return by_state_[static_cast<std::size_t>(state)];
    };
    Counts counts;
    counts.remembered = count(TransactionState::committed) + count(TransactionState::aborted) +
                        count(TransactionState::heuristic);
    counts.active = transactions_.size() - counts.remembered;
    counts.in_doubt = count(TransactionState::committing);
    counts.waiting = count(TransactionState::waiting);
    counts.work_bytes = work_bytes_ + held_bytes_;
    counts.results_bytes = results_bytes_;
    counts.results_dropped = results_dropped_;
    return counts;
}

void Machine::Impl::visit_in_doubt(const InDoubtVisitor& visit) const {
    if (by_state_[static_cast<std::size_t>(TransactionState::committing)] == 0) return;
    for (const auto& [position, txn] : transactions_) {
        if (txn->state != TransactionState::committing) continue;
        for (const Branch& branch : txn->branches) {
            if (is_outstanding(branch.state)) visit(txn->id, branch.at->number);
        }
    }
}

}  // namespace twofold::coordinator
