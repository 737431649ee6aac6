// Branches in doubt: what the database lists, and what the coordinators say about it. Nothing is
// ever decided here by age or by silence.
#include "base/assert.h"
#include "participant/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::participant {

using protocol::BranchKey;
using protocol::Decision;
using protocol::InquiryAnswer;

// ---- listing
// -------------------------------------------------------------------------------------

void Machine::Impl::on_tick() {
    arm(TimerKind::tick, {}, config_.inquiry_interval * 4 / 5, config_.inquiry_interval);
    if (!ready_) return;
    persist_grown_senders();
    list();
    std::vector<BranchKey> due;
    for (const BranchKey& key : table_.watched()) {
        Branch& branch = *table_.find(key);
        if (is_due(branch)) due.push_back(key);
        ++branch.ticks;
    }
    ask(due);
}

// A voted branch is asked about when it has been prepared for in_doubt_age: normally its decision
// comes long before. So is an idle session: the coordinator that would have ended it may have
// crashed and forgotten it. Asking too early costs a message, nothing else.
bool Machine::Impl::is_due(Branch& branch) const {
    switch (branch.state) {
        case BranchState::in_doubt: return true;
        case BranchState::parked: return !branch.unfinishable;
        case BranchState::open:
        case BranchState::prepared:
            return branch.ticks > 0 &&
                   config_.inquiry_interval * branch.ticks >= config_.in_doubt_age;
        default: return false;
    }
}

void Machine::Impl::list() {
    if (std::exchange(listing_, true)) {
        list_again_ = true;
        return;
    }
    listing_moment_ = table_.next_moment();
    emit(ListPrepared{});
}

void Machine::Impl::on(Listed&& input) {
    if (!std::exchange(listing_, false)) return;
    // A listing that failed says nothing: not that a branch is there, not that it is gone.
    bool is_known = input.known || config_.sabotage.failed_listing_is_empty;
    if (is_known) {
        list_tries_ = 0;
        std::set<BranchKey, KeyOrder> listed_keys;
        std::vector<BranchKey> to_ask;
        for (const protocol::PreparedBranch& listed : input.prepared) {
            listed_keys.insert(listed.key);
            note_listed(listed, listing_moment_, to_ask);
        }
        std::vector<BranchKey> missing;
        for (const BranchKey& key : table_.watched()) {
            const Branch& branch = *table_.find(key);
            bool should_be_there = is_held(branch.state) && branch.changed_at < listing_moment_;
            if (should_be_there && !listed_keys.contains(key)) missing.push_back(key);
        }
        for (const BranchKey& key : missing) note_missing(*table_.find(key));
        ask(to_ask);
    } else if (table_.count(BranchState::checking) > 0 && !list_retry_armed_) {
        list_retry_armed_ = true;
        arm_retry(TimerKind::list_again, {}, ++list_tries_);
    }
    for (const auto& incarnation : std::exchange(prune_later_, {})) {
        table_.prune(incarnation, fence_.marks(incarnation).low_water);
        tell_marks(incarnation);
    }
    if (std::exchange(list_again_, false)) list();
}

// `moment` is when the listing was asked for. A branch that changed since then is not judged by it.
void Machine::Impl::note_listed(const protocol::PreparedBranch& listed,
                                std::uint64_t moment,
                                std::vector<BranchKey>& to_ask) {
    Branch* known = table_.find(listed.key);
    if (known == nullptr) {
        Branch& branch = table_.create(listed.key);
        branch.gid = listed.gid;
        branch.proof = listed.proof;
        branch.holds_slot = true;
        slots_.occupy();
        return note_found(branch, listed, to_ask);
    }
    Branch& branch = *known;
    switch (branch.state) {
        case BranchState::prepared:
        case BranchState::in_doubt:
        case BranchState::parked:
            if (!branch.proof) branch.proof = listed.proof;
            if (branch.unfinishable == !listed.finishable) return;
            if (!listed.finishable || branch.state == BranchState::parked) {
                note_found(branch, listed, to_ask);
            }
            return;
        case BranchState::checking:
            if (branch.changed_at >= moment) return;
            if (!branch.proof) branch.proof = listed.proof;
            return note_found(branch, listed, to_ask);
        case BranchState::committed:
        case BranchState::aborted:
        case BranchState::hazard:
            if (branch.changed_at < moment) note_reappeared(branch, listed);
            return;
        default: return;  // on its way: its own call answers
    }
}

void Machine::Impl::note_found(Branch& branch,
                               const protocol::PreparedBranch& listed,
                               std::vector<BranchKey>& to_ask) {
    branch.unfinishable = !listed.finishable;
    if (branch.unfinishable) {
        branch.reason = make_reason(protocol::reason::kNotAllowed,
                                    "another database role owns the prepared branch");
        if (branch.state != BranchState::parked) enter(branch, BranchState::parked);
        raise_alarm(branch, "not_finishable", branch.reason.message);
        return;
    }
    branch.reason = {};
    enter(branch, BranchState::in_doubt);
    if (resume_resolution(branch)) return;
    to_ask.push_back(branch.key);
}

// A branch that was finished is prepared again: the database has gone back (a failover to a copy
// that was behind, a restored backup). Its decision stands: it is finished once more.
void Machine::Impl::note_reappeared(Branch& branch, const protocol::PreparedBranch& listed) {
    bool was_committed =
        branch.state == BranchState::committed || branch.decision == Decision::commit;
    raise_alarm(
        branch, "reappeared", "a finished branch is prepared again: the database went back");
    branch.gid = listed.gid;
    if (branch.mode == WorkMode::one_phase) return;
    branch.waiters.clear();
    start_finish(branch, was_committed ? Decision::commit : Decision::abort);
}

void Machine::Impl::note_missing(Branch& branch) {
    if (branch.state == BranchState::checking) {
        // Its session was gone before the listing was asked for: it never became prepared.
        branch.voted_no = true;
        branch.reason = make_reason(protocol::reason::kUnavailable,
                                    "the connection was lost before the branch was prepared");
        return finish(branch, BranchState::aborted);
    }
    if (config_.sabotage.failed_listing_is_empty) return start_finish(branch, Decision::abort);
    raise_alarm(branch,
                "lost_branch",
                "a prepared branch is not listed any more, and nobody here finished it");
}

// ---- asking
// --------------------------------------------------------------------------------------

void Machine::Impl::ask(const std::vector<BranchKey>& keys) {
    SendInquiry inquiry;
    std::set<protocol::Incarnation> asked;
    auto send = [&] {
        for (const protocol::Incarnation& incarnation : std::exchange(asked, {})) {
            protocol::SenderStamp known = fence_.newest(incarnation);
            if (known.epoch != 0) inquiry.senders.push_back(known);
        }
        emit(std::exchange(inquiry, {}));
    };
    for (const BranchKey& key : keys) {
        Branch& branch = *table_.find(key);
        branch.asked = true;
        inquiry.items.push_back({key, branch.proof});
        asked.insert(key.group.incarnation());
        if (inquiry.items.size() >= config_.inquiry_items_max) send();
    }
    if (!inquiry.items.empty()) send();
}

void Machine::Impl::ask_about_older_epochs(const protocol::Incarnation& incarnation,
                                           protocol::Epoch epoch) {
    if (!ready_) return;
    list();
    std::vector<BranchKey> older;
    for (const BranchKey& key : table_.watched()) {
        const Branch& branch = *table_.find(key);
        bool is_askable = branch.state != BranchState::checking && !branch.unfinishable;
        if (!is_askable || key.group.incarnation() != incarnation) continue;
        if (key.group.epoch() < epoch) older.push_back(key);
    }
    ask(older);
}

void Machine::Impl::on(InquiryFailed&& /*input*/) {}  // proves nothing; the next tick asks again

void Machine::Impl::on(InquiryAnswered&& input) {
    if (!ready_) return;
    // The fence holds for answers too: a stopped coordinator that wakes up does not know what its
    // successor has decided, and would say "abort" for it.
    Fence::Admission admission = admit(input.reply.sender);
    if (admission == Fence::Admission::wait) return wait_in_fence(std::move(input));
    if (admission != Fence::Admission::accepted) return;
    for (const protocol::InquiryAnswerItem& item : input.reply.items) {
        on_answer(input.reply.sender.incarnation, item);
    }
}

void Machine::Impl::on_answer(const protocol::Incarnation& sender,
                              const protocol::InquiryAnswerItem& item) {
    Branch* branch = table_.find(item.key);
    if (branch == nullptr) return;
    bool is_held_one = branch->state == BranchState::prepared ||
                       branch->state == BranchState::in_doubt ||
                       branch->state == BranchState::parked;
    if (is_held_one && branch->asked && config_.sabotage.abort_on_cannot_tell &&
        item.answer == InquiryAnswer::cannot_tell) {
        return start_finish(*branch, Decision::abort);
    }
    if (item.key.group.incarnation() != sender) {
        if (is_held_one && branch->asked) note_foreign(*branch, item);
        return;
    }
    if (is_held_one && branch->asked) return act_on_answer(*branch, item);
    if (branch->state == BranchState::open && branch->asked) return end_idle(*branch, item);
    // The coordinator's own message was faster. The two must agree.
    bool says_commit = item.answer == InquiryAnswer::commit;
    bool says_abort = item.answer == InquiryAnswer::abort;
    if ((says_commit && branch->decision == Decision::abort) ||
        (says_abort && branch->decision == Decision::commit)) {
        raise_alarm(
            *branch, "protocol_violation", "an inquiry's answer contradicts the decision taken");
    }
}

void Machine::Impl::act_on_answer(Branch& branch, const protocol::InquiryAnswerItem& item) {
    switch (item.answer) {
        case InquiryAnswer::commit:
            if (!branch.proof) branch.proof = item.proof;
            return start_finish(branch, Decision::commit);
        case InquiryAnswer::abort: return start_finish(branch, Decision::abort);
        case InquiryAnswer::still_active:
            if (config_.sabotage.abort_on_still_active) start_finish(branch, Decision::abort);
            return;
        case InquiryAnswer::expired:
            // Nobody knows any more. A person must find out; what the coordinator says later, by a
            // message or an answer, still counts.
            branch.reason = make_reason(protocol::reason::kUnavailable,
                                        "its coordinator has forgotten the transaction");
            raise_alarm(branch, "expired", "prepared, and its coordinator has forgotten it");
            if (branch.state != BranchState::parked) enter(branch, BranchState::parked);
            return;
        case InquiryAnswer::cannot_tell: return;
    }
    TWOFOLD_UNREACHABLE("inquiry answer");
}

// An idle session has not voted: ending it breaks no promise, so "forgotten" is enough.
void Machine::Impl::end_idle(Branch& branch, const protocol::InquiryAnswerItem& item) {
    switch (item.answer) {
        case InquiryAnswer::abort:
        case InquiryAnswer::expired: branch.decision = Decision::abort; return start_cancel(branch);
        case InquiryAnswer::commit:
            raise_alarm(branch, "protocol_violation", "commit of a branch that has not voted");
            return;
        case InquiryAnswer::still_active:
        case InquiryAnswer::cannot_tell: return;
    }
    TWOFOLD_UNREACHABLE("inquiry answer");
}

// Another coordinator answered. It cannot know; but when the branch's own coordinator has said
// nothing for a whole interval, a person should hear of it, once. The branch is left alone.
void Machine::Impl::note_foreign(Branch& branch, const protocol::InquiryAnswerItem& item) {
    if (item.answer != InquiryAnswer::cannot_tell || branch.ticks == 0) return;
    if (fence_.has_spoken(item.key.group.incarnation())) return;
    raise_alarm(branch, "foreign_branch", "prepared by a coordinator that is not known here");
}

}  // namespace twofold::participant
