// What clients (and, for enlist, participants on behalf of applications) ask for.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::ParticipantNumber;
namespace reason = protocol::reason;

// True: it was answered. Work that was accepted is always finished; only new work is refused.
bool Machine::Impl::refuse_new_work(Ticket ticket, const BeginOptions& options, std::size_t bytes) {
    if (draining_) {
        answer_plain(ticket,
                     AnswerKind::draining,
                     make_reason(reason::kUnavailable, "the coordinator is shutting down"));
        return true;
    }
    std::string full;
    if (!room_) full = "the log has no room for new work";
    if (counts().active >= config_.transactions_max) full = "too many transactions are in flight";
    if (!has_room_for(bytes)) full = "too much work is in flight (work_size_max)";
    bool keys_full = options.idempotency && keys_.size() >= config_.keys_max;
    if (keys_full) full = "too many idempotency keys are remembered";
    if (full.empty()) return false;
    answer_plain(ticket,
                 keys_full ? AnswerKind::keys_exhausted : AnswerKind::overloaded,
                 make_reason(reason::kUnavailable, std::move(full)));
    return true;
}

// True: it was answered as invalid.
bool Machine::Impl::refuse_branches(const SubmitOneShot& input) {
    std::string wrong;
    if (input.branches.empty()) wrong = "a one-shot needs at least one branch";
    if (input.branches.size() > config_.branches_max) {
        wrong = std::to_string(input.branches.size()) + " branches: at most " +
                std::to_string(config_.branches_max) + " are allowed";
    }
    std::vector<const Enlistment*> enlisted;
    for (std::size_t i = 0; wrong.empty() && i < input.branches.size(); ++i) {
        ParticipantNumber number = input.branches[i].participant;
        const Participant* participant = directory_.find(number);
        if (participant == nullptr || directory_.is_retired(number)) {
            wrong = "branch " + std::to_string(i + 1) + " names a participant that does not exist";
            break;
        }
        const Enlistment* at = participant->enlistment.get();
        for (std::size_t k = 0; k < enlisted.size(); ++k) {
            if (enlisted[k]->identity != at->identity) continue;
            wrong = "branches " + std::to_string(k + 1) + " (" +
                    directory_.name_of(enlisted[k]->number) + ") and " + std::to_string(i + 1) +
                    " (" + directory_.name_of(number) +
                    ") are in the same database: put their work into one branch";
        }
        enlisted.push_back(at);
    }
    if (wrong.empty()) return false;
    answer_plain(
        input.ticket, AnswerKind::invalid, make_reason(reason::kBadRequest, std::move(wrong)));
    return true;
}

// A transaction with an id and its deadline; not in any state yet.
Transaction& Machine::Impl::open(const BeginOptions& options, ParticipantNumber one_phase) {
    Transaction& txn = create(next_id(one_phase));
    txn.deadline = options.deadline.count() > 0 ? options.deadline : config_.deadline_default;
    txn.deadline = std::min(txn.deadline, config_.deadline_max);
    txn.members.push_back({txn.id, options.idempotency, options.labels});
    txn.deadline_timer =
        arm({TimerKind::deadline, {txn.position, 0, 0}, {}}, txn.deadline, txn.deadline);
    remember_key(txn, false);
    return txn;
}

void Machine::Impl::add_branch(Transaction& txn, ParticipantNumber participant) {
    TWOFOLD_ASSERT(txn.branches.size() == txn.branch_count, "replaced attempts come last");
    Branch branch;
    branch.branch = ++txn.branch_count;
    branch.at = directory_.at(participant).enlistment;
    branch.delay = config_.retry_min;
    txn.branches.push_back(std::move(branch));
}

void Machine::Impl::handle(SubmitOneShot& input) {
    if (attach_to_key(input.ticket, input.options, true)) return;
    // What is held takes room like everything else.
    std::size_t bytes = bytes_of(input);
    if (refuse_new_work(input.ticket, input.options, bytes)) return;
    if (held(input)) {
        held_bytes_ += bytes;
        return;
    }
    if (refuse_branches(input)) return;
    ParticipantNumber one_phase;
    if (input.branches.size() == 1) {
        // After a restart only a participant that keeps the key with its commit knows that it did,
        // as long as it keeps it. A generation longer than that is how long we may.
        const Participant& only = directory_.at(input.branches[0].participant);
        bool lasts = config_.key_lifetime / 4 * 5 <= protocol::kParticipantKeyRetention;
        bool is_safe = (only.keys && lasts) || !input.options.idempotency;
        if (only.one_phase && is_safe) one_phase = input.branches[0].participant;
    }
    Transaction& txn = open(input.options, one_phase);
    txn.one_shot = true;
    for (BranchRequest& request : input.branches) {
        add_branch(txn, request.participant);
        txn.branches.back().work = std::move(request.work);
        txn.branches.back().options = request.options;
    }
    count_bytes(txn);
    enter(txn, TransactionState::waiting);
    wait(txn,
         {input.ticket, Wish::commit, input.options.wait, TimerId{}, false, true},
         input.options.answer_within);
    protocol::Reason why;
    if (const Branch* unusable = unusable_branch(txn, why)) {
        decide_abort(txn, std::move(why), unusable->branch);
        return;
    }
    request_slots(txn);
}

void Machine::Impl::handle(Begin& input) {
    if (attach_to_key(input.ticket, input.options, false)) return;
    std::size_t bytes = bytes_of(input.options);
    if (refuse_new_work(input.ticket, input.options, bytes)) return;
    if (held(input)) {
        held_bytes_ += bytes;
        return;
    }
    Transaction& txn = open(input.options, ParticipantNumber{});
    count_bytes(txn);
    txn.idle_deadline = input.options.idle_deadline;
    enter(txn, TransactionState::active);
    touch(txn);
    answer(input.ticket, AnswerKind::begun, txn);
}

// Somebody used it: the idle deadline starts again.
void Machine::Impl::touch(Transaction& txn) {
    cancel(txn.idle_timer);
    if (txn.idle_deadline.count() <= 0 || txn.state != TransactionState::active) return;
    txn.idle_timer =
        arm({TimerKind::idle, {txn.position, 0, 0}, {}}, txn.idle_deadline, txn.idle_deadline);
}

const Branch* Machine::Impl::same_database(const Transaction& txn, const Enlistment& at) const {
    for (const Branch& branch : txn.branches) {
        if (branch.at->number != at.number && branch.at->identity == at.identity) return &branch;
    }
    return nullptr;
}

void Machine::Impl::handle(Enlist& input) {
    Transaction* txn = find(input.txn);
    if (txn == nullptr) {
        Answer known = answer_forgotten(input.txn);
        known.ticket = input.ticket;
        if (known.kind == AnswerKind::finished) known.kind = AnswerKind::wrong_state;
        emit(std::move(known));
        return;
    }
    if (txn->state != TransactionState::active) {
        refuse_enlisting(*txn, input.ticket);
        return;
    }
    touch(*txn);
    const Participant* participant = directory_.find(input.participant);
    if (input.participant_epoch == 0 && participant != nullptr) {
        input.participant_epoch = participant->epoch;
    }
    protocol::Reason why;
    if (const Branch* known = enlisted_at(*txn, input.participant)) {
        enlist_again(*txn, *known, input);
    } else if (!may_enlist(*txn, input, why)) {
        answer(input.ticket, AnswerKind::invalid, *txn, std::move(why));
    } else {
        enlist(*txn, input);
        answer_enlisted(*txn, input.ticket, txn->branches.back(), false);
    }
}

// Not active any more.
void Machine::Impl::refuse_enlisting(const Transaction& txn, Ticket ticket) {
    if (txn.reason.code == reason::kBranchLost) {
        answer(ticket, AnswerKind::doomed, txn, txn.reason);
        return;
    }
    std::string text =
        "the transaction takes no more branches: it is " + std::string(to_string(txn.state));
    if (!txn.reason.empty()) text += " (" + txn.reason.message + ")";
    answer(ticket, AnswerKind::wrong_state, txn, make_reason(reason::kBadRequest, std::move(text)));
}

void Machine::Impl::answer_enlisted(const Transaction& txn,
                                    Ticket ticket,
                                    const Branch& branch,
                                    bool again) {
    emit(Answer{ticket, AnswerKind::enlisted, report(txn), {}, branch.branch, again});
}

const Branch* Machine::Impl::enlisted_at(const Transaction& txn, ParticipantNumber number) {
    for (const Branch& branch : txn.branches) {
        if (branch.at->number == number) return &branch;
    }
    return nullptr;
}

// The same session once more: a repeated message. Another one: what the first session did is gone,
// or will never be prepared together with the rest.
void Machine::Impl::enlist_again(Transaction& txn, const Branch& branch, const Enlist& input) {
    if (branch.participant_epoch == input.participant_epoch && branch.session == input.session) {
        answer_enlisted(txn, input.ticket, branch, true);
        return;
    }
    decide_abort(txn,
                 make_reason(reason::kBranchLost,
                             "the branch's database session was lost: the participant enlisted it "
                             "again from another one"),
                 branch.branch);
    answer(input.ticket, AnswerKind::doomed, txn, txn.reason);
}

bool Machine::Impl::may_enlist(const Transaction& txn,
                               const Enlist& input,
                               protocol::Reason& why) const {
    const Participant* participant = directory_.find(input.participant);
    if (participant == nullptr || directory_.is_retired(input.participant)) {
        why = make_reason(reason::kBadRequest, "this participant does not exist");
    } else if (txn.branch_count >= config_.branches_max) {
        why = make_reason(
            reason::kBadRequest,
            "at most " + std::to_string(config_.branches_max) + " branches are allowed");
    } else if (participant->mismatched || participant->went_back) {
        why = make_reason(reason::kIdentityMismatch,
                          "another database, or an older copy of it, answers there");
    } else if (input.participant_epoch == 0) {
        why = make_reason(
            reason::kUnavailable,
            "participant " + directory_.name_of(input.participant) + " has not been reached yet");
    } else if (input.participant_epoch < participant->epoch) {
        why = make_reason(reason::kStaleParticipantEpoch, "the participant has restarted since");
    } else if (const Branch* other = same_database(txn, *participant->enlistment)) {
        why = make_reason(reason::kBadRequest,
                          directory_.name_of(other->at->number) + " and " +
                              directory_.name_of(input.participant) +
                              " are the same database: one transaction has one branch there");
    }
    return why.empty();
}

void Machine::Impl::enlist(Transaction& txn, const Enlist& input) {
    const Participant& participant = directory_.at(input.participant);
    add_branch(txn, input.participant);
    Branch& branch = txn.branches.back();
    // Of this branch only: what a caller says about a participant's epoch proves nothing for
    // others.
    branch.participant_epoch = input.participant_epoch;
    branch.session = input.session;
    branch.options = input.options;
    // In exclusive mode the work itself holds the participant's only slot.
    if (participant.exclusive) {
        slots_.occupy(input.participant);
        branch.holds_slot = true;
    }
    txn.sent = true;
    enter(txn, branch, BranchState::enlisted);
    emit(Changed{txn.id, txn.version});
}

void Machine::Impl::start_commit(Transaction& txn, const CommitRequest& input) {
    cancel(txn.idle_timer);
    for (const auto& [number, executes] : input.expected_executes) {
        auto branch = std::ranges::find_if(txn.branches,
                                           [&](const Branch& b) { return b.at->number == number; });
        if (branch != txn.branches.end()) {
            branch->expected_executes = executes;
        } else if (executes > 0) {
            decide_abort(txn,
                         make_reason(reason::kExecutesDiffer,
                                     "the client executed work at " + directory_.name_of(number) +
                                         ", but no branch is enlisted there"),
                         0);
            return;
        }
    }
    if (txn.branches.empty()) {
        txn.recorded = false;
        txn.decision = protocol::Decision::commit;
        end(txn);
        return;
    }
    for (Branch& branch : txn.branches) {
        if (branch.holds_slot) continue;
        slots_.occupy(branch.at->number);
        branch.holds_slot = true;
    }
    send_prepares(txn);
}

// The transaction in memory. An old one-phase id is taken back into memory: only its participant
// knows how it ended, and is asked until it says so.
Transaction* Machine::Impl::find_or_settle(const protocol::TxnId& id) {
    if (Transaction* txn = find(id)) return txn;
    if (answer_forgotten(id).kind != AnswerKind::cannot_tell) return nullptr;
    if (id.epoch() > epoch_ || id.participant().value == 0) return nullptr;
    if (!names_known_participant(id) || directory_.is_retired(id.participant())) return nullptr;
    // Its place is taken by a lost id, which is listed until a person has seen it.
    if (find(id.position()) != nullptr) return nullptr;
    // The horizon that is being forced does not wait for it: its participant will have forgotten.
    if (forcing_horizon_ && id.position() < *forcing_horizon_) return nullptr;
    if (counts().active >= config_.transactions_max) return nullptr;  // asked again later
    Transaction& txn = create(id);
    txn.one_shot = true;
    txn.recovered = true;
    txn.sent = true;
    txn.results_lost = true;
    txn.members.push_back({id, std::nullopt, {}});
    txn.deadline = config_.deadline_default;
    add_branch(txn, id.participant());
    enter(txn, TransactionState::settling);
    Branch& branch = txn.branches.front();
    enter(txn, branch, BranchState::settling);
    txn.reason = make_reason(reason::kCoordinatorRestart, "nothing was changed");
    drive(txn, branch);
    return &txn;
}

// Nobody waits for the answer any more. It would be asked for as long as the participant is away,
// and hold the horizon and a place for new work meanwhile; who wants to know asks again.
void Machine::Impl::forget_question(Transaction& txn) {
    bool is_question = txn.recovered && !txn.logged && txn.state == TransactionState::settling;
    if (!is_question || !txn.waiters.empty()) return;
    Branch& branch = txn.branches.front();
    cancel(branch.retry_timer);
    cancel(branch.undelivered_timer);
    count_outstanding(txn, branch, true, false);
    note_member(undecided_, txn.position, false);
    emit(Changed{txn.id, ++txn.version, {}, true});
    erase(txn);
}

// The transaction in memory, or nothing: the request was answered from what is remembered.
Transaction* Machine::Impl::find_or_answer(Ticket ticket, const protocol::TxnId& id, Wish wish) {
    Transaction* txn = find_or_settle(id);
    if (txn != nullptr) return txn;
    Answer known = answer_forgotten(id);
    known.ticket = ticket;
    bool committed = known.report.outcome == protocol::Outcome::committed;
    if (wish == Wish::abort && committed) known.kind = AnswerKind::opposite;
    emit(std::move(known));
    return nullptr;
}

void Machine::Impl::handle(CommitRequest& input) {
    Transaction* txn = find_or_answer(input.ticket, input.txn, Wish::commit);
    if (txn == nullptr) return;
    if (txn->decision == protocol::Decision::abort && txn->reason.code == reason::kClientAbort) {
        answer(input.ticket, AnswerKind::opposite, *txn, txn->reason);
        return;
    }
    wait(*txn, {input.ticket, Wish::commit, input.wait, TimerId{}, false}, input.answer_within);
    if (txn->state == TransactionState::active) {
        start_commit(*txn, input);
    } else {
        answer_ready_waiters(*txn);
    }
}

void Machine::Impl::handle(AbortRequest& input) {
    Transaction* txn = find_or_answer(input.ticket, input.txn, Wish::abort);
    if (txn == nullptr) return;
    wait(*txn, {input.ticket, Wish::abort, WaitFor::decided, TimerId{}, false}, Milliseconds{0});
    protocol::Reason why = make_reason(reason::kClientAbort, "the client aborted the transaction");
    switch (txn->state) {
        case TransactionState::waiting:
        case TransactionState::active:
        case TransactionState::preparing: decide_abort(*txn, std::move(why), 0); return;
        case TransactionState::one_phase:
            txn->branches.front().cancel_first = true;
            settle(*txn, txn->branches.front(), std::move(why));
            return;
        default: answer_ready_waiters(*txn); return;
    }
}

void Machine::Impl::handle(OutcomeRequest& input) {
    Transaction* txn = find_or_answer(input.ticket, input.txn, Wish::outcome);
    if (txn == nullptr) return;
    wait(*txn,
         {input.ticket, Wish::outcome, WaitFor::decided, TimerId{}, false},
         input.answer_within);
    answer_ready_waiters(*txn);
}

}  // namespace twofold::coordinator
