#include "participant/core/machine.h"

#include "base/assert.h"
#include "participant/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::participant {

using protocol::BranchKey;
using protocol::ItemOp;
using protocol::ItemStatus;

namespace {

bool is_decision(ItemOp op) {
    return op == ItemOp::commit || op == ItemOp::abort || op == ItemOp::settle_one_phase;
}

bool is_work(ItemOp op) { return !is_decision(op); }

}  // namespace

protocol::Reason make_reason(std::string_view code, std::string message) {
    return {std::string(code), std::move(message), -1, {}};
}

Machine::Impl::Impl(const Config& config) : config_(config) {
    fence_.set_waiting_max(config_.queue_max);
}

void Machine::Impl::step(Input input, Effects& effects) {
    effects_ = &effects;
    std::visit([this](auto& alternative) { on(std::move(alternative)); }, input);
    // Any input may have freed a slot.
    start_waiting_work();
    effects_ = nullptr;
}

// ---- start
// ---------------------------------------------------------------------------------------

void Machine::Impl::on(ResourceStarted&& input) {
    const protocol::ResourceStart& start = input.start;
    bool is_other = epoch_ > 0 && (start.uuid != uuid_ || start.identity != identity_);
    if (is_other) {
        // The address now leads to another database. Nothing of ours may touch it.
        ready_ = false;
        emit(RaiseAlarm{
            "identity_mismatch",
            {},
            "the database is now " + start.identity.text() + ", not " + identity_.text()});
        return;
    }
    adopt(start);
    adopt_resolutions(start.resolved);
    std::vector<BranchKey> to_ask;
    for (const protocol::PreparedBranch& listed : start.prepared) note_listed(listed, 0, to_ask);
    if (config_.sabotage.resolve_alone_after_restart) {
        for (const BranchKey& key : to_ask)
            start_finish(*table_.find(key), protocol::Decision::abort);
        to_ask.clear();
    }
    ask(to_ask);
    if (!std::exchange(tick_armed_, true)) {
        arm(TimerKind::tick, {}, config_.inquiry_interval * 4 / 5, config_.inquiry_interval);
    }
}

void Machine::Impl::adopt(const protocol::ResourceStart& start) {
    uuid_ = start.uuid;
    identity_ = start.identity;
    bool is_newer = epoch_ > 0 && start.epoch > epoch_;
    epoch_ = start.epoch;
    slots_.set_capacity(start.exclusive ? 1 : start.slots);
    fence_.restore(start.senders);
    for (const auto& [incarnation, low_water] : start.forgotten) {
        fence_.raise_marks(incarnation, {low_water, {}});
    }
    ready_ = true;
    if (is_newer) give_up_older_epoch();
}

// The resource has started anew under a running sidecar (the database failed over): it ended every
// session of the older epoch. What was in a call is answered by that call; the rest is ended here.
void Machine::Impl::give_up_older_epoch() {
    std::vector<BranchKey> keys;
    for (const auto& [key, branch] : table_.all()) {
        if (branch.state == BranchState::queued || branch.state == BranchState::open) {
            keys.push_back(key);
        }
    }
    for (const BranchKey& key : keys) {
        Branch& branch = *table_.find(key);
        lose(branch,
             make_reason(protocol::reason::kStaleParticipantEpoch,
                         "the participant has restarted with its database"));
    }
}

// ---- who may speak
// -------------------------------------------------------------------------------

bool Machine::Impl::is_addressed(const protocol::ParticipantUuid& uuid,
                                 const protocol::Identity& identity) const {
    if (config_.sabotage.skip_identity_check) return true;
    return uuid == uuid_ && identity == identity_;
}

// A decision is never refused for a passing reason: `unknown` makes the sender repeat it. Nor is
// one-phase work: this may be a duplicate of a message that was acted upon before (in an older
// epoch even), and `refused` with executed=false would allow a second attempt beside a committed
// first one. Unknown makes the sender settle it, which proves what happened.
void Machine::Impl::refuse(const ItemReceived& input, std::string_view code, std::string message) {
    bool is_key_open = code == protocol::reason::kKeyInProgress;
    bool is_passing = code == protocol::reason::kNotReady || is_key_open;
    bool may_have_run = input.item.op == ItemOp::one_phase &&
                        (is_passing || code == protocol::reason::kStaleParticipantEpoch);
    // Work under a key is not refused for a reason that says nothing about the key: an earlier
    // branch may have committed it. Settling finds out.
    bool is_about_key = input.item.op == ItemOp::one_phase && input.item.idempotency &&
                        code == protocol::reason::kSlotsExhausted;
    bool is_unknown = may_have_run || is_about_key || (is_passing && is_decision(input.item.op));
    // Only one-shot work can be done by a new attempt: interactive statements nobody has any more.
    bool is_repeatable =
        input.item.op == ItemOp::execute_prepare || input.item.op == ItemOp::one_phase;
    bool executed = may_have_run || !is_repeatable;
    reply(input.ticket,
          input.item.op,
          input.item.key,
          {is_unknown ? ItemStatus::unknown : ItemStatus::refused,
           make_reason(code, std::move(message)),
           executed});
}

void Machine::Impl::on(ItemReceived&& input) {
    if (!ready_) {
        refuse(input, protocol::reason::kNotReady, "the database is not ready");
        return;
    }
    if (!is_addressed(input.addressed_uuid, input.addressed_identity)) {
        refuse(input,
               protocol::reason::kIdentityMismatch,
               "this is " + uuid_.text() + " at " + identity_.text());
        return;
    }
    Fence::Admission admission = admit(input.sender);
    if (admission == Fence::Admission::wait) return wait_in_fence(std::move(input));
    if (admission != Fence::Admission::accepted) {
        protocol::Reason why = why_refused(admission);
        return refuse(input, why.code, std::move(why.message));
    }
    note_marks(input.sender, {input.low_water, input.horizon});
    dispatch(input);
}

void Machine::Impl::note_marks(const protocol::SenderStamp& sender, const SenderMarks& marks) {
    bool rose = fence_.raise_marks(sender.incarnation, marks);
    // A listing on its way may still name a branch that has ended since: it must be recognised.
    if (rose && listing_) {
        prune_later_.insert(sender.incarnation);
    } else if (rose) {
        table_.prune(sender.incarnation, fence_.marks(sender.incarnation).low_water);
    }
    tell_marks(sender.incarnation);
}

// A branch that still runs may come to the point where it looks for its tombstone, and one that is
// being finished for its witness: the marks stop before the oldest of them.
void Machine::Impl::tell_marks(const protocol::Incarnation& incarnation) {
    SenderMarks marks = fence_.marks(incarnation);
    auto oldest = table_.oldest_unfinished(incarnation, std::max(marks.low_water, marks.horizon));
    if (oldest.has_value()) {
        marks.low_water = std::min(marks.low_water, *oldest);
        marks.horizon = std::min(marks.horizon, *oldest);
    }
    SenderMarks& told = told_marks_[incarnation];
    if (told == marks) return;
    told = marks;
    emit(NoteMarks{incarnation, marks.low_water, marks.horizon});
}

bool Machine::Impl::is_below_low_water(const BranchKey& key) const {
    if (config_.sabotage.ignore_low_water) return false;
    return key.group.position() < fence_.marks(key.group.incarnation()).low_water;
}

void Machine::Impl::dispatch(const ItemReceived& input) {
    const protocol::Item& item = input.item;
    if (item.key.group.incarnation() != input.sender.incarnation) {
        // Nobody but its own coordinator decides about a transaction.
        emit(RaiseAlarm{"protocol_violation",
                        item.key,
                        "coordinator " + input.sender.incarnation.text() +
                            " speaks of another coordinator's branch"});
        refuse(input, protocol::reason::kProtocolViolation, "another coordinator's branch");
        return;
    }
    switch (item.op) {
        case ItemOp::execute_prepare:
        case ItemOp::one_phase: on_work_item(input); return;
        case ItemOp::prepare: on_prepare_item(input); return;
        case ItemOp::commit: on_commit(input); return;
        case ItemOp::abort: on_abort(input); return;
        case ItemOp::settle_one_phase: on_settle(input); return;
    }
    TWOFOLD_UNREACHABLE("item op");
}

// ---- replies
// -------------------------------------------------------------------------------------

protocol::ItemResult Machine::Impl::echo(ItemOp op, const BranchKey& key) const {
    protocol::ItemResult result;
    result.op = op;
    result.key = key;
    result.participant = uuid_;
    result.identity = identity_;
    result.participant_epoch = epoch_;
    return result;
}

void Machine::Impl::reply(ReplyTicket ticket, ItemOp op, const BranchKey& key, Answer answer) {
    if (ticket == ReplyTicket()) return;  // abandoned
    protocol::ItemResult result = echo(op, key);
    result.status = answer.status;
    result.reason = std::move(answer.reason);
    result.executed = answer.executed;
    emit(SendReply{ticket, std::move(result)});
}

void Machine::Impl::reply_for(const Branch& branch, ReplyTicket ticket, ItemOp op, Answer answer) {
    if (ticket == ReplyTicket()) return;
    protocol::ItemResult result = echo(op, branch.key);
    result.status = answer.status;
    result.reason = std::move(answer.reason);
    result.executed = answer.executed;
    bool is_one_phase_commit =
        answer.status == ItemStatus::committed && branch.mode == WorkMode::one_phase;
    bool has_proof = answer.status == ItemStatus::yes || is_one_phase_commit;
    if (answer.status == ItemStatus::committed) result.original = branch.original;
    if (answer.status == ItemStatus::aborted || answer.status == ItemStatus::no) {
        result.key_free = branch.key_free;
    }
    if (has_proof) result.proof = branch.proof;
    if (has_proof || answer.status == ItemStatus::read_only) result.results = branch.results;
    if (is_one_phase_commit) result.recorded = branch.recorded;
    emit(SendReply{ticket, std::move(result)});
}

void Machine::Impl::attach(Branch& branch, ReplyTicket ticket, ItemOp op) {
    if (ticket == ReplyTicket()) return;
    branch.waiters.push_back({ticket, op});
    waiting_.emplace(ticket, branch.key);
}

void Machine::Impl::answer_all(Branch& branch, const Answer& answer) {
    for (const Waiter& waiter : std::exchange(branch.waiters, {})) {
        waiting_.erase(waiter.ticket);
        reply_for(branch, waiter.ticket, waiter.op, answer);
    }
}

void Machine::Impl::answer_workers(Branch& branch, const Answer& answer) {
    std::vector<Waiter> all = std::exchange(branch.waiters, {});
    for (const Waiter& waiter : all) {
        if (!is_work(waiter.op)) {
            branch.waiters.push_back(waiter);
            continue;
        }
        waiting_.erase(waiter.ticket);
        reply_for(branch, waiter.ticket, waiter.op, answer);
    }
}

void Machine::Impl::on(ReplyAbandoned&& input) {
    auto found = waiting_.find(input.ticket);
    if (found == waiting_.end()) {
        fence_.abandon(input.ticket);
        return;
    }
    Branch* branch = table_.find(found->second);
    waiting_.erase(found);
    if (branch == nullptr) return;
    std::erase_if(branch->waiters, [&](const Waiter& w) { return w.ticket == input.ticket; });
    std::erase(branch->execute_waiters, input.ticket);
}

// ---- states and timers
// ---------------------------------------------------------------------------

Branch& Machine::Impl::create(const BranchKey& key) {
    Branch& branch = table_.create(key);
    branch.gid = protocol::make_gid(key, uuid_);
    return branch;
}

void Machine::Impl::enter(Branch& branch, BranchState next) {
    if (is_end(next) && std::exchange(branch.holds_slot, false)) slots_.release();
    // What ended unprovably may have committed: its key stays taken.
    if (is_end(next) && next != BranchState::hazard && branch.idempotency) {
        auto found = keys_in_progress_.find(branch.idempotency->key_hash);
        bool is_its_own = found != keys_in_progress_.end() && found->second == branch.key;
        if (is_its_own) keys_in_progress_.erase(found);
    }
    table_.enter(branch, next);
}

void Machine::Impl::finish(Branch& branch, BranchState end) {
    ItemStatus status = ItemStatus::unknown;
    switch (end) {
        case BranchState::committed: status = ItemStatus::committed; break;
        case BranchState::aborted: status = ItemStatus::aborted; break;
        case BranchState::heuristic_commit: status = ItemStatus::heuristic_commit; break;
        case BranchState::heuristic_abort: status = ItemStatus::heuristic_abort; break;
        case BranchState::hazard: status = ItemStatus::hazard; break;
        default: TWOFOLD_UNREACHABLE("not an end that a decision leads to");
    }
    enter(branch, end);
    answer_all(branch, {status, branch.reason, branch.executed});
    if (end == BranchState::aborted && config_.sabotage.forget_tombstone) {
        enter(branch, BranchState::absent);
    }
}

void Machine::Impl::raise_alarm(Branch& branch, std::string_view code, std::string text) {
    if (!branch.alarmed.emplace(code).second) return;
    emit(RaiseAlarm{std::string(code), branch.key, std::move(text)});
}

void Machine::Impl::refuse_violation(Branch& branch, const ItemReceived& input, std::string text) {
    raise_alarm(branch, "protocol_violation", text);
    reply(input.ticket,
          input.item.op,
          branch.key,
          {ItemStatus::refused,
           make_reason(protocol::reason::kProtocolViolation, std::move(text)),
           branch.executed});
}

TimerId Machine::Impl::arm(TimerKind kind,
                           const BranchKey& key,
                           std::chrono::milliseconds delay_min,
                           std::chrono::milliseconds delay_max) {
    TimerId timer(++last_timer_);
    timers_.emplace(timer, TimerUse{kind, key});
    emit(ArmTimer{timer, delay_min, delay_max});
    return timer;
}

// Doubles from retry_min to retry_max, with jitter below it, so that many branches that wait for
// one database do not come back together.
TimerId Machine::Impl::arm_retry(TimerKind kind, const BranchKey& key, std::uint32_t tries) {
    std::chrono::milliseconds delay = config_.retry_min;
    for (std::uint32_t i = 1; i < tries && delay < config_.retry_max; ++i) delay *= 2;
    delay = std::min(delay, config_.retry_max);
    return arm(kind, key, delay / 2, delay);
}

void Machine::Impl::on(TimerFired&& input) {
    auto found = timers_.find(input.timer);
    if (found == timers_.end()) return;
    TimerUse use = found->second;
    timers_.erase(found);
    if (use.kind == TimerKind::tick) return on_tick();
    if (use.kind == TimerKind::list_again) {
        list_retry_armed_ = false;
        return list();
    }
    Branch* branch = table_.find(use.key);
    if (branch == nullptr) return;
    if (use.kind == TimerKind::session_limit) return on_session_limit(*branch);
    if (branch->timer != input.timer) return;  // the branch went on
    branch->timer = TimerId();
    if (use.kind == TimerKind::queue_limit && branch->state == BranchState::queued) {
        on_queue_limit(*branch);
    } else if (use.kind == TimerKind::finish_again && !branch->finish_running) {
        call_finish(*branch);
    } else if (use.kind == TimerKind::cancel_again && branch->state == BranchState::cancelling) {
        emit(CancelWork{branch->key});
    }
}

// ---- reports
// -------------------------------------------------------------------------------------

std::vector<Machine::BranchReport> Machine::Impl::unfinished() const {
    std::vector<BranchReport> reports;
    for (const auto& [key, branch] : table_.all()) {
        if (is_end(branch.state) && branch.state != BranchState::hazard) continue;
        reports.push_back({key,
                           std::string(to_string(branch.state)),
                           branch.reason,
                           branch.gid,
                           version_of(branch)});
    }
    return reports;
}

bool Machine::Impl::is_unfinished(const BranchKey& key) const {
    auto found = table_.all().find(key);
    return found != table_.all().end() && !is_end(found->second.state);
}

Machine::Counts Machine::Impl::counts() const {
    using enum BranchState;
    auto sum = [this](std::initializer_list<BranchState> states) {
        std::size_t total = 0;
        for (BranchState state : states) total += table_.count(state);
        return total;
    };
    Counts counts;
    counts.waiting = sum({queued});
    counts.running = sum({running, executing, open, preparing, cancelling, checking});
    counts.prepared = sum({prepared, in_doubt});
    counts.in_doubt = sum({in_doubt});
    counts.finishing = sum({committing, rolling_back, settling});
    counts.parked = sum({parked, hazard});
    counts.tombstones = sum({aborted});
    counts.remembered = sum({read_only, committed, heuristic_commit, heuristic_abort});
    counts.slots_used = slots_.used();
    return counts;
}

// ---- the outside
// ---------------------------------------------------------------------------------

Machine::Machine(Config config) : impl_(std::make_unique<Impl>(config)) {}
Machine::Machine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Machine Machine::clone() const { return Machine(std::make_unique<Impl>(*impl_)); }
Machine::~Machine() = default;
Machine::Machine(Machine&&) noexcept = default;
Machine& Machine::operator=(Machine&&) noexcept = default;

void Machine::step(Input input, Effects& effects) { impl_->step(std::move(input), effects); }
bool Machine::ready() const { return impl_->ready(); }
std::vector<Machine::BranchReport> Machine::unfinished() const { return impl_->unfinished(); }
bool Machine::is_unfinished(const protocol::BranchKey& key) const {
    return impl_->is_unfinished(key);
}
Machine::Counts Machine::counts() const { return impl_->counts(); }

}  // namespace twofold::participant
