// The machine's inside. One handler per input; all of a branch's life goes through enter(). Split
// over machine.cc (start, replies, timers), senders.cc (who may speak), work.cc (one-shot and
// one-phase work), interactive.cc, finish.cc (commit, abort, settle) and inquiry.cc (listings and
// inquiries).
#pragma once

#include "participant/core/branch.h"
#include "participant/core/fence.h"
#include "participant/core/machine.h"
#include "participant/core/slots.h"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace twofold::participant {

[[nodiscard]] protocol::Reason make_reason(std::string_view code, std::string message);

class Machine::Impl {
public:
    explicit Impl(const Config& config);

    void step(Input input, Effects& effects);

    [[nodiscard]] bool ready() const { return ready_; }
    [[nodiscard]] std::vector<BranchReport> unfinished() const;
    [[nodiscard]] bool is_unfinished(const protocol::BranchKey& key) const;
    [[nodiscard]] Counts counts() const;

private:
    enum class TimerKind : std::uint8_t {
        tick,
        list_again,
        queue_limit,
        finish_again,
        cancel_again,
        session_limit
    };
    struct TimerUse {
        TimerKind kind = TimerKind::tick;
        protocol::BranchKey key;
    };
    struct Answer {
        protocol::ItemStatus status = protocol::ItemStatus::unknown;
        protocol::Reason reason;
        bool executed = true;
    };

    // machine.cc: start, fence, dispatch
    void on(ResourceStarted&& input);
    void on(ItemReceived&& input);
    void on(ReplyAbandoned&& input);
    void on(TimerFired&& input);
    void adopt(const protocol::ResourceStart& start);
    void give_up_older_epoch();
    [[nodiscard]] bool is_addressed(const protocol::ParticipantUuid& uuid,
                                    const protocol::Identity& identity) const;
    void refuse(const ItemReceived& input, std::string_view code, std::string message);
    void note_marks(const protocol::SenderStamp& sender, const SenderMarks& marks);
    void tell_marks(const protocol::Incarnation& incarnation);
    void dispatch(const ItemReceived& input);
    [[nodiscard]] bool is_below_low_water(const protocol::BranchKey& key) const;

    // senders.cc
    void on(SenderSeen&& input);
    void on(SenderPersisted&& input);
    [[nodiscard]] Fence::Admission admit(const protocol::SenderStamp& sender);
    [[nodiscard]] static protocol::Reason why_refused(Fence::Admission admission);
    void alarm_copied_log(const protocol::SenderStamp& sender, Fence::Admission admission);
    void wait_in_fence(Fence::Waiting input);
    void refuse_waiting(const Fence::Waiting& input, const protocol::Reason& why);
    void answer_offer(const SenderSeen& input, protocol::Reason why);
    void persist_grown_senders();

    // machine.cc: replies, states, timers
    [[nodiscard]] protocol::ItemResult echo(protocol::ItemOp op,
                                            const protocol::BranchKey& key) const;
    void reply(ReplyTicket ticket,
               protocol::ItemOp op,
               const protocol::BranchKey& key,
               Answer answer);
    // With what is remembered of the branch (proof, results).
    void reply_for(const Branch& branch, ReplyTicket ticket, protocol::ItemOp op, Answer answer);
    void attach(Branch& branch, ReplyTicket ticket, protocol::ItemOp op);
    void answer_all(Branch& branch, const Answer& answer);
    // Only those who wait for work (execute_prepare, prepare, one_phase).
    void answer_workers(Branch& branch, const Answer& answer);
    void enter(Branch& branch, BranchState next);
    // Enters the end and tells everybody who waits.
    void finish(Branch& branch, BranchState end);
    void raise_alarm(Branch& branch, std::string_view code, std::string text);
    void refuse_violation(Branch& branch, const ItemReceived& input, std::string text);
    TimerId arm(TimerKind kind,
                const protocol::BranchKey& key,
                std::chrono::milliseconds delay_min,
                std::chrono::milliseconds delay_max);
    TimerId arm_retry(TimerKind kind, const protocol::BranchKey& key, std::uint32_t tries);
    [[nodiscard]] Branch& create(const protocol::BranchKey& key);

    // work.cc
    void on_work_item(const ItemReceived& input);
    void repeat_vote(Branch& branch, const ItemReceived& input);
    void repeat_one_phase(Branch& branch, const ItemReceived& input);
    [[nodiscard]] bool refuse_other_epoch(const ItemReceived& input);
    [[nodiscard]] bool has_no_room() const;
    // Another branch of the item's idempotency key may still commit.
    [[nodiscard]] bool refuse_key_in_progress(const ItemReceived& input);
    void enqueue(Branch& branch, std::chrono::milliseconds limit);
    void start_waiting_work();
    void refuse_waiting_work_below(const protocol::Incarnation& incarnation, protocol::Epoch epoch);
    void start_work(Branch& branch);
    void leave_queue(Branch& branch);
    void on_queue_limit(Branch& branch);
    void on(WorkDone&& input);
    void on_vote(Branch& branch, protocol::WorkResult&& result);
    void on_one_phase_done(Branch& branch, protocol::WorkResult&& result);
    void end_refused(Branch& branch, protocol::WorkResult&& result);
    // `why`: that a failover may lose that commit; anything else is not looked at.
    void end_replayed(Branch& branch, const protocol::TxnId& original, const protocol::Reason& why);
    void keep_committed(Branch& branch, protocol::WorkResult&& result);
    void start_cancel(Branch& branch);
    void on(CancelDone&& input);
    void on_late_work(Branch& branch, protocol::WorkResult&& result);
    void on_cancelled(Branch& branch);
    void on_cancelled_one_phase(Branch& branch);

    // interactive.cc
    void on(ExecuteReceived&& input);
    [[nodiscard]] std::optional<protocol::SenderStamp> issuer_of(
        const ExecuteReceived& input) const;
    void on_first_execute(const ExecuteReceived& input);
    void on_next_execute(Branch& branch, const ExecuteReceived& input);
    void on_session_limit(Branch& branch);
    void repeat_execute(Branch& branch, const ExecuteReceived& input);
    void on(ExecuteDone&& input);
    void on_prepare_item(const ItemReceived& input);
    void prepare_open(Branch& branch, const ItemReceived& input);
    // The branch can only abort: its session is ended, its vote is no.
    void lose(Branch& branch, protocol::Reason reason);
    void reply_execute(ReplyTicket ticket,
                       const protocol::BranchKey& key,
                       ExecuteReply execute,
                       protocol::Reason reason,
                       protocol::JsonText results);
    void answer_executes(Branch& branch, ExecuteStatus status, const protocol::Reason& reason);

    // finish.cc
    void on_commit(const ItemReceived& input);
    void on_commit_of_unknown(const ItemReceived& input);
    void on_abort(const ItemReceived& input);
    void on_abort_of_unknown(const ItemReceived& input);
    void abort_before_vote(Branch& branch, const ItemReceived& input);
    void on_settle(const ItemReceived& input);
    void settle_known(Branch& branch, const ItemReceived& input);
    void start_finish(Branch& branch, protocol::Decision decision);
    void start_settle(Branch& branch);
    void call_finish(Branch& branch);
    void on(FinishDone&& input);
    void on_finish_unknown(Branch& branch);
    void on_committing_done(Branch& branch, protocol::FinishStatus status);
    void on_rolling_back_done(Branch& branch, protocol::FinishStatus status);
    void on_settling_done(Branch& branch, protocol::FinishResult&& result);

    // inquiry.cc
    void on_tick();
    void list();
    void on(Listed&& input);
    void note_listed(const protocol::PreparedBranch& listed,
                     std::uint64_t moment,
                     std::vector<protocol::BranchKey>& to_ask);
    void note_found(Branch& branch,
                    const protocol::PreparedBranch& listed,
                    std::vector<protocol::BranchKey>& to_ask);
    void note_reappeared(Branch& branch, const protocol::PreparedBranch& listed);
    void note_missing(Branch& branch);
    void ask(const std::vector<protocol::BranchKey>& keys);
    [[nodiscard]] bool is_due(Branch& branch) const;
    void on(InquiryAnswered&& input);
    void on(InquiryFailed&& input);
    void on_answer(const protocol::Incarnation& sender, const protocol::InquiryAnswerItem& item);
    void act_on_answer(Branch& branch, const protocol::InquiryAnswerItem& item);
    void end_idle(Branch& branch, const protocol::InquiryAnswerItem& item);
    void note_foreign(Branch& branch, const protocol::InquiryAnswerItem& item);
    // A coordinator has restarted: what its older epochs left prepared is asked about at once.
    void ask_about_older_epochs(const protocol::Incarnation& incarnation, protocol::Epoch epoch);

    // resolve.cc
    void on(ResolveReceived&& input);
    void on(CoordinatorsAnswered&& input);
    // Nothing: it may be resolved. Otherwise the refusal.
    [[nodiscard]] std::optional<AnswerResolve> check_resolve(const ResolveReceived& input) const;
    [[nodiscard]] AnswerResolve resolve_answer(const ResolveReceived& input,
                                               ResolveStatus status,
                                               std::string text) const;
    [[nodiscard]] std::string version_of(const Branch& branch) const;
    // An order about a branch that a person has decided. True: it was answered.
    [[nodiscard]] bool answer_for_operator(Branch& branch, const ItemReceived& input);
    void adopt_resolutions(const std::vector<protocol::Resolution>& resolved);
    // A branch that is listed although a person has decided it: that is carried out now.
    [[nodiscard]] bool resume_resolution(Branch& branch);

    void emit(Effect effect) { effects_->push_back(std::move(effect)); }

    Config config_;
    Effects* effects_ = nullptr;  // of the running step
    bool ready_ = false;
    protocol::ParticipantUuid uuid_;
    protocol::Identity identity_;
    std::uint32_t epoch_ = 0;

    BranchTable table_;
    Slots slots_;
    Fence fence_;
    // Starts whose log is a copy, as far as a person was told.
    std::set<std::tuple<protocol::Incarnation, protocol::Epoch, std::uint64_t>> alarmed_senders_;
    std::uint32_t sender_ticks_ = 0;
    std::map<protocol::Incarnation, SenderMarks> told_marks_;  // by the last NoteMarks
    std::map<ReplyTicket, protocol::BranchKey> waiting_;       // who waits where
    // Idempotency keys of one-phase branches that may still commit.
    std::map<std::array<std::uint8_t, 16>, protocol::BranchKey> keys_in_progress_;
    std::map<TimerId, TimerUse> timers_;
    std::map<ReplyTicket, ResolveReceived> resolving_;  // the coordinators are being asked
    std::map<protocol::BranchKey, protocol::Resolution, KeyOrder> resolved_;  // of older starts
    std::uint64_t last_timer_ = 0;
    bool tick_armed_ = false;

    bool listing_ = false;
    bool list_again_ = false;
    bool list_retry_armed_ = false;
    std::uint32_t list_tries_ = 0;
    std::uint64_t listing_moment_ = 0;
    std::set<protocol::Incarnation> prune_later_;  // their low-water mark rose during a listing
};

}  // namespace twofold::participant
