// Reports, waiters and queries: what clients are told. "Committed" is said from a durable decision
// only, "aborted" only of ids that can no longer be committed and are not forgotten.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::Decision;
using protocol::Outcome;
using protocol::TxnId;
namespace reason = protocol::reason;

TransactionReport Machine::Impl::report(const Transaction& txn) const {
    TransactionReport report;
    report.txn = txn.id;
    report.state = to_string(txn.state);
    bool doubtful = is_presumed(txn) || (is_stopped() && txn.decision == Decision::abort);
    report.outcome = doubtful ? Outcome::unknown : outcome_of(txn);
    report.recorded = txn.recorded;
    report.results_lost = txn.results_lost;
    report.reason = txn.reason;
    report.blamed_branch = txn.blamed_branch;
    report.labels = txn.member().labels;
    report.answered_by = txn.answered_by;
    bool may_have_key = txn.recovered || (txn.one_shot && txn.member().idempotency);
    report.key_open = report.outcome == Outcome::aborted && may_have_key && !txn.key_forced;
    report.version = txn.version;
    report.deadline = txn.deadline;
    report.idle_deadline = txn.idle_deadline;
    report.branches.reserve(txn.branches.size());
    for (const Branch& branch : txn.branches) {
        // A replaced attempt is of interest while something of it may be left, or ended oddly.
        bool is_left = is_outstanding(branch.state) || branch.state == BranchState::heuristic;
        if (branch.replaced && !is_left) continue;
        bool is_durable = branch.state != BranchState::recording;
        report.branches.push_back({branch.branch,
                                   branch.attempt,
                                   branch.at->number,
                                   branch.participant_epoch,
                                   std::string(to_string(branch.state)),
                                   is_durable ? branch.outcome : Outcome::unknown,
                                   is_durable ? branch.evidence : std::string(),
                                   is_durable && branch.by_operator,
                                   branch.reason,
                                   branch.results,
                                   branch.tries});
    }
    return report;
}

void Machine::Impl::answer(Ticket ticket,
                           AnswerKind kind,
                           const Transaction& txn,
                           protocol::Reason why) {
    emit(Answer{ticket, kind, report(txn), std::move(why)});
}

void Machine::Impl::answer(const Waiter& waiter,
                           AnswerKind kind,
                           const Transaction& txn,
                           protocol::Reason why) {
    emit(Answer{waiter.ticket, kind, report(txn), std::move(why), 0, waiter.repeated});
}

void Machine::Impl::answer_plain(Ticket ticket, AnswerKind kind, protocol::Reason why) {
    emit(Answer{ticket, kind, {}, std::move(why)});
}

// ---- waiting --------------------------------------------------------------------------

// How this waiter can be answered now; nothing while it has to wait.
std::optional<AnswerKind> Machine::Impl::kind_for(const Transaction& txn, const Waiter& w) const {
    switch (txn.state) {
        case TransactionState::fresh:
        case TransactionState::waiting:
        case TransactionState::active:
        case TransactionState::preparing:
        case TransactionState::proposing:
        case TransactionState::one_phase:
        case TransactionState::settling: return std::nullopt;
        case TransactionState::committing:
            if (w.wish == Wish::abort) return AnswerKind::opposite;
            if (w.wish == Wish::outcome || w.wait == WaitFor::decided) return AnswerKind::decided;
            return std::nullopt;
        case TransactionState::aborting:
            if (is_presumed(txn)) return std::nullopt;
            return AnswerKind::finished;
        case TransactionState::aborted: return AnswerKind::finished;
        case TransactionState::committed:
        case TransactionState::heuristic:
            if (w.wish == Wish::abort && txn.decision == Decision::commit) {
                return AnswerKind::opposite;
            }
            return AnswerKind::finished;
    }
    return std::nullopt;
}

void Machine::Impl::wait(Transaction& txn, Waiter waiter, Milliseconds answer_within) {
    if (!kind_for(txn, waiter)) {
        // Without a limit of its own the transaction's deadline answers; when that is over, another
        // one of the default length.
        if (answer_within.count() <= 0 && txn.deadline_timer.value == 0) {
            answer_within = config_.deadline_default;
        }
        if (answer_within.count() > 0) {
            waiter.timer = arm({TimerKind::waiter, {txn.position, 0, 0}, waiter.ticket},
                               answer_within,
                               answer_within);
        }
    }
    txn.waiters.push_back(waiter);
}

void Machine::Impl::answer_ready_waiters(Transaction& txn) {
    if (txn.waiters.empty()) return;
    // A client that was told "aborted" under its key must hear the same from the next start.
    bool aborted =
        txn.state == TransactionState::aborting || txn.state == TransactionState::aborted;
    bool is_keyed = aborted && txn.one_shot && txn.member().idempotency;
    if (is_keyed && !txn.key_forced && owns_key(txn)) {
        if (!std::exchange(txn.key_forcing, true)) {
            force(
                protocol::IdempotentAbortRecord{txn.id, *txn.member().idempotency, txn.reason.code},
                {txn.position, 0, 0});
        }
        return;
    }
    std::vector<Waiter> still;
    for (Waiter& waiter : txn.waiters) {
        auto kind = kind_for(txn, waiter);
        if (!kind) {
            still.push_back(waiter);
            continue;
        }
        cancel(waiter.timer);
        if (is_keyed && waiter.by_key && !txn.key_forced) {
            // The key was given back, so this abort is not the key's outcome.
            bool conflict = txn.reason.code == reason::kKeyConflict;
            answer_plain(
                waiter.ticket, conflict ? AnswerKind::invalid : AnswerKind::unsettled, txn.reason);
            continue;
        }
        answer(waiter, *kind, txn, txn.reason);
    }
    txn.waiters = std::move(still);
}

// Its time is up: it is told what is known.
void Machine::Impl::answer_late_waiter(Transaction& txn, const Waiter& waiter) {
    AnswerKind kind = AnswerKind::undecided;
    protocol::Reason why;
    if (txn.state == TransactionState::committing) kind = AnswerKind::decided;
    if (txn.state == TransactionState::settling && txn.recovered) {
        kind = AnswerKind::cannot_tell;
        why = make_reason(reason::kUnavailable,
                          "only the participant knows, and it has not answered");
    }
    answer(waiter, kind, txn, std::move(why));
}

void Machine::Impl::answer_deadline_waiters(Transaction& txn) {
    std::vector<Waiter> still;
    for (Waiter& waiter : txn.waiters) {
        if (waiter.timer.value != 0) {
            still.push_back(waiter);
        } else {
            answer_late_waiter(txn, waiter);
        }
    }
    txn.waiters = std::move(still);
}

// ---- queries --------------------------------------------------------------------------

Answer Machine::Impl::query(const TxnId& id) const {
    const Transaction* txn = find(id);
    return txn != nullptr ? answer_now(*txn) : answer_forgotten(id);
}

Answer Machine::Impl::answer_now(const Transaction& txn) const {
    Answer answer;
    answer.report = report(txn);
    if (is_stopped()) {
        answer.kind = AnswerKind::cannot_tell;
        answer.reason = stopped_;
    } else if (is_presumed(txn)) {
        answer.kind = AnswerKind::cannot_tell;
        answer.reason = not_ready();
    } else if (txn.state == TransactionState::committing) {
        answer.kind = AnswerKind::decided;
    } else if (is_key_being_forced(txn)) {
        // The client's key is not durable with the abort yet: after a crash the same request would
        // run again, and could commit.
        answer.kind = AnswerKind::undecided;
        answer.report.outcome = Outcome::unknown;
    } else if (txn.state == TransactionState::aborting || is_ended(txn.state)) {
        answer.kind = AnswerKind::finished;
        answer.reason = txn.reason;
    } else if (txn.state == TransactionState::settling && txn.recovered) {
        answer.kind = AnswerKind::cannot_tell;
        answer.reason = make_reason(reason::kUnavailable,
                                    "only the participant knows, and it has not answered");
    } else {
        answer.kind = AnswerKind::undecided;
    }
    return answer;
}

// Made by this log, as far as the tag can prove it.
bool Machine::Impl::issued_here(const TxnId& id) const {
    if (id.incarnation() != incarnation_) return false;
    auto key = epoch_keys_.find(id.epoch());
    return key != epoch_keys_.end() && protocol::tag_matches(id, key->second);
}

bool Machine::Impl::is_of_retired(const TxnId& id) const {
    auto record = directory_.records().find(id.participant());
    return record != directory_.records().end() && record->second.retired;
}

namespace {

std::string_view state_of(Outcome outcome) {
    bool is_plain = outcome == Outcome::committed || outcome == Outcome::aborted;
    return is_plain ? to_string(outcome) : to_string(TransactionState::heuristic);
}

}  // namespace

// Of an id that is not in memory.
Answer Machine::Impl::answer_forgotten(const TxnId& id) const {
    Answer answer;
    answer.report.txn = id;
    answer.report.results_lost = true;
    answer.report.version = kVersionsPerStart * (std::uint64_t{epoch_} + 1) - 1;
    auto finished = [&](Outcome outcome) {
        answer.kind = AnswerKind::finished;
        answer.report.outcome = outcome;
        answer.report.state = state_of(outcome);
    };
    bool this_start = id.epoch() == id_epoch_;
    if (is_stopped()) {
        answer.kind = AnswerKind::cannot_tell;
        answer.reason = stopped_;
        return answer;
    }
    if (id.incarnation() == incarnation_ && id.epoch() > epoch_) {
        // A newer start of this log may have made it: we are a zombie, or our log went back.
        answer.kind = AnswerKind::cannot_tell;
        answer.reason =
            make_reason(reason::kStaleSender, "the id is newer than this coordinator's start");
        return answer;
    }
    bool ours = issued_here(id);
    bool lost = may_be_lost(id);
    if (!(ours || lost) || (this_start && id.sequence() >= next_sequence_)) {
        answer.kind = AnswerKind::not_found;
        answer.reason = make_reason(reason::kBadRequest, "no such transaction");
        return answer;
    }
    // Of a lost id its position says nothing: an id of this log may have the same.
    bool is_committed = ours && outcomes_.is_committed(id.position());
    const std::string* aborted = ours ? keys_.abort_reason(id.position()) : nullptr;
    auto heuristic = old_heuristic_.find(id);
    if (heuristic != old_heuristic_.end()) {
        finished(heuristic->second);
    } else if (is_committed) {
        finished(Outcome::committed);
        answer.report.recorded = !outcomes_.is_unrecorded(id.position());
    } else if (aborted != nullptr) {
        finished(Outcome::aborted);
        answer.report.reason = make_reason(*aborted, "aborted; details are not kept");
    } else if (id.position() < outcomes_.horizon()) {
        answer.kind = AnswerKind::expired;
        answer.reason = make_reason(reason::kBadRequest, "its outcome is no longer remembered");
    } else if (lost && (id.participant().value == 0 || !ours || !names_known_participant(id))) {
        answer.kind = AnswerKind::expired;
        answer.reason =
            make_reason(reason::kLogWentBack,
                        "the log was restored from a copy that does not tell its outcome");
    } else if (!this_start && is_of_retired(id)) {
        answer.kind = AnswerKind::expired;
        answer.reason = make_reason(reason::kUnavailable, "its only participant was retired");
    } else if (!this_start && id.participant().value != 0) {
        answer.kind = AnswerKind::cannot_tell;
        answer.reason =
            make_reason(reason::kUnavailable, "only the participant knows; it is asked");
    } else if (!this_start && !may_presume()) {
        answer.kind = AnswerKind::cannot_tell;
        answer.reason = not_ready();
    } else {
        finished(Outcome::aborted);
        answer.report.recorded = false;
        answer.report.key_open = true;  // its key, if it had one, is not known any more
        std::string_view code = this_start ? std::string_view() : reason::kCoordinatorRestart;
        answer.report.reason = make_reason(code, "nothing was changed");
    }
    answer.reason = answer.reason.empty() ? answer.report.reason : answer.reason;
    return answer;
}

// Of a commit that is known by its key and not in memory. What was recorded has left its bit: only
// a commit that changed nothing has a key without one.
bool Machine::Impl::has_changed_nothing(const TxnId& id) const {
    if (!issued_here(id)) return false;  // a participant has its witness
    if (outcomes_.is_unrecorded(id.position())) return true;
    if (outcomes_.is_committed(id.position()) || old_heuristic_.contains(id)) return false;
    return id.position() >= outcomes_.horizon() && id.participant().value == 0;
}

std::vector<TransactionReport> Machine::Impl::list(const ListFilter& filter) const {
    std::vector<TransactionReport> out;
    auto place =
        filter.after ? transactions_.upper_bound(filter.after->position()) : transactions_.begin();
    for (; place != transactions_.end() && out.size() < filter.limit; ++place) {
        const Transaction& txn = *place->second;
        if (filter.state && *filter.state != to_string(txn.state)) continue;
        if (filter.accepts && !filter.accepts(txn.id)) continue;
        const auto& labels = txn.member().labels;
        bool labelled = std::ranges::all_of(filter.labels, [&](const auto& wanted) {
            auto found = labels.find(wanted.first);
            return found != labels.end() && found->second == wanted.second;
        });
        if (!labelled) continue;
        bool there = !filter.participant;
        for (const Branch& branch : txn.branches) {
            there = there || branch.at->number == *filter.participant;
        }
        if (there) out.push_back(report(txn));
    }
    return out;
}

}  // namespace twofold::coordinator
