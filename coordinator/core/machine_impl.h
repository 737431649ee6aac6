// The machine's inside. One class, because every part needs the transactions and the effects; its
// functions are spread over files by topic:
//
//   machine.cc       the public face, dispatch, timers, the transition gate
//   requests.cc      what clients ask for
//   prepare.cc       from the slots to the votes
//   decision.cc      proposing, deciding, ending
//   horizon.cc       remembering outcomes, and forgetting them
//   phase_two.cc     telling branches, retries, parking, heuristic ends
//   one_phase.cc     transactions whose only participant decides
//   answers.cc       reports, waiters, queries
//   memory.cc        how many bytes all of it may take
//   keys.cc          idempotency keys
//   inquiry.cc       what participants in doubt are told
//   offers.cc        who we are, and what follows when a participant says that we are not
//   restored.cc      what becomes of a log that participants refuse, and of one that was accepted
//   participants.cc  who is there
//   operator.cc      what a person decides
//   explain.cc       why it is as it is, for people
//   checkpoint.cc    state from and to RecoveredState
#pragma once

#include "base/boxed.h"
#include "base/keyed_hash.h"
#include "coordinator/core/directory.h"
#include "coordinator/core/key_memory.h"
#include "coordinator/core/machine.h"
#include "coordinator/core/outcomes.h"
#include "coordinator/core/slots.h"
#include "coordinator/core/state.h"

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace twofold::coordinator {

class Machine::Impl {
public:
    Impl(Config config, RecoveredState recovered);
    // Between two steps.
    [[nodiscard]] std::unique_ptr<Impl> clone() const {
        auto copy = std::make_unique<Impl>(*this);
        copy->out_ = &copy->scratch_;
        return copy;
    }

    void start(Effects& effects);
    void step(Input input, Effects& effects);
    [[nodiscard]] Answer query(const protocol::TxnId& id) const;
    [[nodiscard]] std::vector<TransactionReport> list(const ListFilter& filter) const;
    [[nodiscard]] bool is_stopped() const { return !stopped_.empty(); }
    [[nodiscard]] std::optional<Explanation> explain(const protocol::TxnId& id) const;
    [[nodiscard]] protocol::IdPosition low_water(protocol::ParticipantNumber participant) const;
    [[nodiscard]] protocol::IdPosition horizon() const { return outcomes_.horizon(); }
    [[nodiscard]] protocol::Incarnation incarnation() const { return incarnation_; }
    [[nodiscard]] protocol::Epoch epoch() const { return epoch_; }
    [[nodiscard]] const Directory& directory() const { return directory_; }
    [[nodiscard]] std::uint32_t participant_epoch(protocol::ParticipantNumber number) const;
    [[nodiscard]] std::optional<ParticipantView> look_at(protocol::ParticipantNumber number) const;
    [[nodiscard]] std::vector<protocol::Record> checkpoint() const;
    [[nodiscard]] Counts counts() const;
    [[nodiscard]] protocol::SenderStamp stamp(std::uint64_t durable_position) const;
    [[nodiscard]] protocol::Reason not_ready() const;
    void visit_in_doubt(const InDoubtVisitor& visit) const;

private:
    enum class TimerKind : std::uint8_t {
        deadline,
        idle,
        waiter,
        retry,
        undelivered,
        keys,
        turn,
        rest
    };
    [[nodiscard]] static bool is_of_the_machine(TimerKind kind) {
        return kind == TimerKind::keys || kind == TimerKind::turn || kind == TimerKind::rest;
    }
    struct TimerTarget {
        TimerKind kind = TimerKind::deadline;
        BranchRef ref;
        Ticket ticket;
    };
    // What an AppendForced is for.
    struct Forcing {
        protocol::Record record;
        BranchRef ref;
        Ticket ticket;  // of the person who waits for it
    };

    // ---- inputs, one function each
    void handle(SubmitOneShot& input);
    void handle(Begin& input);
    void handle(Enlist& input);
    void handle(CommitRequest& input);
    void handle(AbortRequest& input);
    void handle(OutcomeRequest& input);
    void handle(ResolveBranch& input);
    void handle(Acknowledge& input);
    void handle(RetireParticipant& input);
    void handle(RebindParticipant& input);
    void handle(AcceptRestore& input);
    void handle(Reply& input);
    void handle(CallFailed& input);
    void handle(Decided& input);
    void handle(Durable& input);
    void handle(TimerFired& input);
    void handle(ParticipantSeen& input);
    void handle(ParticipantLost& input);
    void handle(AddressesLookedAt&) { offer_over(kAddresses); }
    void handle(RegisterParticipant& input);
    void handle(Inquire& input);
    void handle(OfferAnswered& input);
    void handle(LogRoom& input) { room_ = input.room_for_new_work; }
    void handle(Drain&) { draining_ = true; }

    // ---- machine.cc: lookup, gate, effects, timers
    [[nodiscard]] Transaction* find(const protocol::TxnId& id);
    [[nodiscard]] const Transaction* find(const protocol::TxnId& id) const;
    [[nodiscard]] Transaction* find(protocol::IdPosition position);
    [[nodiscard]] static Branch* find_branch(Transaction& txn,
                                             std::uint16_t branch,
                                             std::uint16_t attempt);
    Transaction& create(const protocol::TxnId& id);
    [[nodiscard]] protocol::TxnId next_id(protocol::ParticipantNumber one_phase);
    [[nodiscard]] protocol::IdPosition next_position() const { return {id_epoch_, next_sequence_}; }
    void enter(Transaction& txn, TransactionState state);
    void enter(Transaction& txn, Branch& branch, BranchState state);
    static void note_member(std::set<protocol::IdPosition>& set,
                            protocol::IdPosition position,
                            bool is_member);
    void count_outstanding(Transaction& txn, const Branch& branch, bool was, bool is);
    template <class E>
    void emit(E effect) {
        out_->emplace_back(std::move(effect));
    }
    void force(protocol::Record record, BranchRef ref = {}, Ticket ticket = {});
    void alarm(std::string_view code,
               const protocol::TxnId& txn,
               protocol::ParticipantNumber participant,
               std::string text);
    TimerId arm(TimerTarget target, Milliseconds delay_min, Milliseconds delay_max);
    void cancel(TimerId& timer);
    void on_deadline(Transaction& txn);

    // ---- requests.cc
    // `bytes`: of its work and labels.
    [[nodiscard]] bool refuse_new_work(Ticket ticket,
                                       const BeginOptions& options,
                                       std::size_t bytes);
    [[nodiscard]] bool refuse_branches(const SubmitOneShot& input);
    Transaction& open(const BeginOptions& options, protocol::ParticipantNumber one_phase);
    [[nodiscard]] const Branch* same_database(const Transaction& txn, const Enlistment& at) const;
    void add_branch(Transaction& txn, protocol::ParticipantNumber participant);
    [[nodiscard]] static const Branch* enlisted_at(const Transaction& txn,
                                                   protocol::ParticipantNumber number);
    void refuse_enlisting(const Transaction& txn, Ticket ticket);
    void answer_enlisted(const Transaction& txn, Ticket ticket, const Branch& branch, bool again);
    void enlist_again(Transaction& txn, const Branch& branch, const Enlist& input);
    [[nodiscard]] bool may_enlist(const Transaction& txn,
                                  const Enlist& input,
                                  protocol::Reason& why) const;
    void enlist(Transaction& txn, const Enlist& input);
    void touch(Transaction& txn);
    void start_commit(Transaction& txn, const CommitRequest& input);
    [[nodiscard]] Transaction* find_or_settle(const protocol::TxnId& id);
    void forget_question(Transaction& txn);
    [[nodiscard]] Transaction* find_or_answer(Ticket ticket, const protocol::TxnId& id, Wish wish);

    // ---- prepare.cc
    [[nodiscard]] const Branch* unusable_branch(const Transaction& txn,
                                                protocol::Reason& why) const;
    void request_slots(Transaction& txn);
    void run_granted();
    void launch(Transaction& txn);
    void send_prepares(Transaction& txn);
    void append_preparing(Transaction& txn);
    void send(Transaction& txn, Branch& branch, protocol::ItemOp op);
    void on_vote(Transaction& txn, Branch& branch, protocol::ItemResult& result);
    void on_impossible_vote(Transaction& txn, Branch& branch, const protocol::ItemResult& result);
    void on_refused_vote(Transaction& txn, Branch& branch, const protocol::ItemResult& result);
    void on_unanswered_vote(Transaction& txn, Branch& branch, std::string why);
    void retry_in_new_epoch(Transaction& txn, Branch& branch);
    void count_votes(Transaction& txn);

    // ---- decision.cc
    void propose(Transaction& txn);
    [[nodiscard]] protocol::DecisionRecord decision_record(const Transaction& txn) const;
    [[nodiscard]] static protocol::BranchRecord branch_record(const Branch& branch);
    void commit_decided(Transaction& txn);
    void decide_abort(Transaction& txn, protocol::Reason reason, std::uint16_t blamed);
    void finish_if_done(Transaction& txn);
    void end(Transaction& txn);
    void remember(Transaction& txn);
    [[nodiscard]] static protocol::Outcome outcome_of(const Transaction& txn);

    // ---- horizon.cc
    void remember_outcome(protocol::IdPosition position, bool recorded);
    void seal_outcomes();
    void time_outcomes();
    void turn_outcomes();
    void maybe_move_horizon();
    void move_horizon();
    void horizon_moved(protocol::IdPosition horizon);
    void note_held_horizon();
    void note_early_horizon(protocol::IdPosition horizon, protocol::IdPosition aged);
    void give_up_below(protocol::IdPosition horizon);

    // ---- phase_two.cc
    void drive(Transaction& txn, Branch& branch);
    void take_answer(Transaction& txn, Branch& branch, protocol::ItemResult& result);
    void compare_with_word(const Transaction& txn, Branch& branch, const Reply& input);
    void on_commit_reply(Transaction& txn, Branch& branch, const protocol::ItemResult& result);
    void on_abort_reply(Transaction& txn, Branch& branch, const protocol::ItemResult& result);
    void on_refused_decision(Transaction& txn, Branch& branch, const protocol::ItemResult& result);
    void finished_before(Transaction& txn, Branch& branch);
    void acknowledged(Transaction& txn, Branch& branch);
    void note_commit(protocol::IdPosition id, protocol::ParticipantNumber number);
    void schedule_retry(Transaction& txn, Branch& branch);
    void wake(Transaction& txn, Branch& branch);
    void on_undelivered(const Transaction& txn, Branch& branch);
    void park(Transaction& txn, Branch& branch, ParkedBecause why, const std::string& text);
    void resume(Transaction& txn, Branch& branch);
    void record_outcome(Transaction& txn,
                        Branch& branch,
                        protocol::Outcome outcome,
                        const protocol::ItemResult& result);
    void force_outcome(Transaction& txn, Branch& branch, Ticket ticket);
    void outcome_recorded(const BranchRef& ref);
    [[nodiscard]] bool note_key(Transaction& txn,
                                Branch& branch,
                                const protocol::ItemResult& result);
    [[nodiscard]] bool echo_fits(Transaction& txn, Branch& branch, const Reply& input);
    void note_answer(const Branch& branch, const protocol::ItemResult& result);
    void went_back(protocol::ParticipantNumber number, const protocol::TxnId& txn);
    void wrong_database(Transaction& txn, Branch& branch, const std::string& text);

    // ---- one_phase.cc
    void on_one_phase_reply(Transaction& txn, Branch& branch, protocol::ItemResult& result);
    void on_settle_reply(Transaction& txn, Branch& branch, protocol::ItemResult& result);
    void settle(Transaction& txn, Branch& branch, protocol::Reason reason);
    void one_phase_committed(Transaction& txn, Branch& branch, protocol::ItemResult& result);
    void one_phase_aborted(Transaction& txn, Branch& branch, protocol::Reason reason);
    [[nodiscard]] bool can_rerun(const Transaction& txn, const Branch& branch) const;
    [[nodiscard]] bool has_missed_epoch(const Transaction& txn, const Branch& branch) const;
    void rerun(Transaction& txn, Branch& branch, protocol::Reason reason);

    // ---- answers.cc
    [[nodiscard]] TransactionReport report(const Transaction& txn) const;
    [[nodiscard]] Answer answer_now(const Transaction& txn) const;
    [[nodiscard]] Answer answer_forgotten(const protocol::TxnId& id) const;
    [[nodiscard]] bool has_changed_nothing(const protocol::TxnId& id) const;
    [[nodiscard]] std::optional<AnswerKind> kind_for(const Transaction& txn, const Waiter& w) const;
    void answer(Ticket ticket, AnswerKind kind, const Transaction& txn, protocol::Reason why = {});
    void answer(const Waiter& waiter,
                AnswerKind kind,
                const Transaction& txn,
                protocol::Reason why);
    void answer_plain(Ticket ticket, AnswerKind kind, protocol::Reason why);
    void wait(Transaction& txn, Waiter waiter, Milliseconds answer_within);
    void answer_ready_waiters(Transaction& txn);
    void answer_late_waiter(Transaction& txn, const Waiter& waiter);
    void answer_deadline_waiters(Transaction& txn);
    [[nodiscard]] bool issued_here(const protocol::TxnId& id) const;
    // One-phase: nobody will ever tell how it ended.
    [[nodiscard]] bool is_of_retired(const protocol::TxnId& id) const;

    // ---- memory.cc
    [[nodiscard]] bool has_room_for(std::size_t bytes);
    void count_bytes(Transaction& txn);
    void keep_results(Transaction& txn);
    void release_results(Transaction& txn);
    void erase(Transaction& txn);

    // ---- keys.cc
    [[nodiscard]] bool attach_to_key(Ticket ticket, const BeginOptions& options, bool one_shot);
    void remember_key(const Transaction& txn, bool committed);
    void remember_key(const protocol::TxnId& id,
                      const protocol::IdempotencyKey& key,
                      bool committed);
    void forget_key(const Transaction& txn);
    void settle_key(const protocol::TxnId& id,
                    const protocol::IdempotencyKey& key,
                    bool committed,
                    const std::string& reason);
    [[nodiscard]] protocol::TxnId txn_of(const KeyMemory::Known& known) const;
    void time_keys();
    void turn_keys();
    void keys_turned(std::uint32_t generation);
    void seal_keys();
    [[nodiscard]] bool owns_key(const Transaction& txn) const;
    // With its abort: nobody was told that yet, and a crash may lose it.
    [[nodiscard]] static bool is_key_being_forced(const Transaction& txn) {
        return txn.key_forcing && !txn.key_forced;
    }
    [[nodiscard]] bool is_key_in_question(const Transaction& txn) const;
    [[nodiscard]] bool can_be_original(const protocol::TxnId& id, const Branch& asked) const;
    void impossible_original(Transaction& txn, Branch& branch, const protocol::ItemResult& result);
    void original_committed(const protocol::TxnId& original,
                            const Branch& asked,
                            const protocol::Reason& unproven);
    void contradict_word(const protocol::TxnId& id,
                         protocol::ParticipantNumber number,
                         protocol::Outcome word);
    void wait_for_original(Transaction& txn, Transaction& original);
    void answer_by_original(Transaction& txn,
                            const Branch& branch,
                            const protocol::TxnId& original,
                            const protocol::Reason& why);
    void replay(Transaction& txn,
                Branch& branch,
                const protocol::TxnId& original,
                const protocol::Reason& why);

    // ---- inquiry.cc
    [[nodiscard]] protocol::InquiryAnswerItem answer_inquiry(
        const protocol::InquiryRequest& request, const protocol::InquiryItem& item);
    [[nodiscard]] protocol::InquiryAnswerItem answer_known(const Transaction& txn,
                                                           const protocol::InquiryRequest& request,
                                                           const protocol::InquiryItem& item);
    [[nodiscard]] bool asks_about_former_starts(const protocol::InquiryRequest& request) const;
    void alarm_in_doubt(std::string_view code,
                        const protocol::BranchKey& key,
                        protocol::ParticipantNumber number,
                        std::string text);
    void alarm_finished(const protocol::BranchKey& key, protocol::ParticipantNumber number);
    [[nodiscard]] protocol::InquiryAnswer answer_unknown(const protocol::InquiryRequest& request,
                                                         protocol::ParticipantNumber number,
                                                         const protocol::BranchKey& key);

    // ---- offers.cc
    // Among those whose answer is awaited: the addresses of the configuration. No participant.
    static constexpr protocol::ParticipantNumber kAddresses{0};
    void await_offers();
    void offer(protocol::ParticipantNumber number, bool wait);
    void offer_over(protocol::ParticipantNumber number);
    // Every participant that can be reached has accepted this start.
    [[nodiscard]] bool may_presume() const {
        return offers_.empty() || config_.sabotage.presume_before_offers;
    }
    [[nodiscard]] bool held(std::variant<SubmitOneShot, Begin> input);
    [[nodiscard]] bool is_presumed(const Transaction& txn) const;
    void note_known_senders(const protocol::InquiryRequest& request);
    [[nodiscard]] bool contradicts_us(const protocol::SenderStamp& known) const;

    // ---- restored.cc
    // `claimed`: what the participant has heard; epoch 0 when it does not say.
    void stop(const protocol::TxnId& txn,
              protocol::ParticipantNumber number,
              const protocol::Reason& why,
              const protocol::SenderStamp& claimed);
    [[nodiscard]] protocol::SenderStamp plausible(const protocol::SenderStamp& known) const;
    void stay_stopped();
    void step_stopped(Input& input);
    void note_heard(const OfferAnswered& input);
    void accept_log(const AcceptRestore& input);
    void accepted_log(const Durable& input);
    void restore_accepted(protocol::ParticipantNumber number, Ticket ticket);
    [[nodiscard]] bool may_be_lost(const protocol::TxnId& id) const;
    [[nodiscard]] bool names_known_participant(const protocol::TxnId& id) const;
    [[nodiscard]] protocol::InquiryAnswer answer_lost(const protocol::BranchKey& key,
                                                      protocol::ParticipantNumber number);
    void list_lost(const protocol::BranchKey& key, protocol::ParticipantNumber number);

    // ---- participants.cc
    void identity_changed(protocol::ParticipantNumber number, Participant& participant);
    void identity_restored(protocol::ParticipantNumber number, Participant& participant);
    void lost_sessions(protocol::ParticipantNumber number, std::uint32_t epoch);
    [[nodiscard]] std::vector<BranchRef> outstanding_at(protocol::ParticipantNumber number);
    void participant_recorded(const protocol::ParticipantRecord& record);

    // ---- operator.cc
    [[nodiscard]] Transaction* find_as_seen(Ticket ticket,
                                            const protocol::TxnId& id,
                                            std::uint64_t version,
                                            const std::string& why);
    [[nodiscard]] bool refuse_reason(Ticket ticket, const std::string& why);
    [[nodiscard]] const protocol::ParticipantRecord* find_record(Ticket ticket,
                                                                 protocol::ParticipantNumber number,
                                                                 const std::string& why);
    [[nodiscard]] protocol::ParticipantRecord decided_record(protocol::ParticipantNumber number,
                                                             const std::string& decision,
                                                             const std::string& why);
    [[nodiscard]] bool refuse_changed(Ticket ticket,
                                      protocol::ParticipantNumber number,
                                      std::uint64_t version);
    void give_up(protocol::ParticipantNumber number, protocol::IdPosition newest);
    void give_up_branches(protocol::ParticipantNumber number, const std::string& why);
    void acknowledgement_recorded(const protocol::AcknowledgedRecord& record, Ticket ticket);
    void forget_acknowledged();

    // ---- checkpoint.cc
    void restore_heuristic(const protocol::TxnId& id, protocol::Outcome outcome);
    void restore_commit(const protocol::TxnId& id, const UnfinishedGroup& group);
    void restore_undecided(const protocol::TxnId& id,
                           const protocol::PreparingRecord& record,
                           bool is_decided);
    void restore_branch(Transaction& txn, const protocol::BranchRecord& record);
    void restore_odd_branch(Transaction& txn, const protocol::BranchOutcomeRecord& ended);
    void restore_replaced(Transaction& txn, const protocol::BranchRecord& record);
    [[nodiscard]] static std::vector<protocol::BranchRecord> unacknowledged_replaced(
        const Transaction& txn);
    void save_transaction(const Transaction& txn, RecoveredState& state) const;
    [[nodiscard]] RecoveredState snapshot() const;  // without outcomes and keys

    Config config_;
    protocol::Incarnation incarnation_;
    protocol::Epoch epoch_ = 0;
    protocol::Epoch id_epoch_ = 0;  // of new ids: epoch_
    protocol::Sequence next_sequence_ = 1;
    std::map<protocol::Epoch, protocol::EpochRecord> epochs_;
    std::map<protocol::Epoch, base::KeyedHash> epoch_keys_;
    Directory directory_;
    SlotTable slots_;
    OutcomeMemory outcomes_;
    // Ended not everywhere as decided, and out of transactions_: a person has seen it.
    std::map<protocol::TxnId, protocol::Outcome> old_heuristic_;
    std::map<protocol::TxnId, std::vector<protocol::BranchOutcomeRecord>> old_branch_outcomes_;
    std::map<protocol::TxnId, std::string> acknowledged_;  // of old_heuristic_
    std::map<protocol::ParticipantNumber, protocol::IdPosition> given_up_;

    std::map<protocol::IdPosition, base::Boxed<Transaction>> transactions_;
    std::set<protocol::IdPosition> undecided_;
    std::set<protocol::IdPosition> hold_every_mark_;
    std::deque<protocol::IdPosition> ended_;  // oldest first; their reports are still here
    std::array<std::size_t, kTransactionStates> by_state_{};
    std::size_t work_bytes_ = 0;
    std::size_t held_bytes_ = 0;  // of held_work_
    std::size_t results_bytes_ = 0;
    std::map<std::uint64_t, protocol::IdPosition> with_results_;  // ended; oldest first
    std::uint64_t last_results_ = 0;
    std::uint64_t results_dropped_ = 0;

    // What was said of branches that somebody asks about, and should not hold.
    std::set<std::pair<protocol::BranchKey, std::string>> alarmed_branches_;

    std::map<TimerId, TimerTarget> timers_;
    std::uint64_t next_timer_ = 1;
    std::map<ForceToken, Forcing> forcing_;
    std::uint64_t next_token_ = 1;
    // What checkpoints refer to; and of the newest turns, oldest first, the ids they had come to.
    std::map<std::uint64_t, protocol::SealedOutcomesRecord> sealed_outcomes_;
    std::deque<protocol::OutcomeTurnRecord> turns_;
    TimerId turn_timer_;
    std::optional<protocol::IdPosition> forcing_horizon_;  // on its way to the disk
    bool horizon_held_ = false;   // a person was told that something undecided holds it
    bool horizon_early_ = false;  // a person was told that outcomes go before their time
    bool horizon_rests_ = false;  // ids of former starts are not forgotten yet
    TimerId rest_timer_;

    KeyMemory keys_;
    std::map<std::uint64_t, protocol::SealedRecord> sealed_;  // what checkpoints refer to
    std::uint64_t next_sealed_ = 0;
    TimerId keys_timer_;

    bool room_ = true;
    bool draining_ = false;
    protocol::Reason stopped_;  // why nothing is said and decided any more; empty: it is not so
    std::optional<protocol::RestoreRecord> refused_;   // why it is so; nobody has accepted it yet
    std::optional<protocol::RestoreRecord> accepted_;  // the newest acceptance of a restored log
    // Participants whose answer to an offer is awaited before anything is presumed, and that offer.
    std::map<protocol::ParticipantNumber, std::uint64_t> offers_;
    std::uint64_t last_offer_ = 0;
    std::vector<Inquire> held_inquiries_;  // until then
    std::vector<std::variant<SubmitOneShot, Begin>> held_work_;
    Effects scratch_;
    Effects* out_ = &scratch_;
};

// Of what a request makes us hold.
[[nodiscard]] std::size_t bytes_of(const BeginOptions& options);
[[nodiscard]] std::size_t bytes_of(const SubmitOneShot& input);

[[nodiscard]] protocol::Reason make_reason(std::string_view code, std::string message);
// A participant refuses our start itself, not something about one message.
[[nodiscard]] bool refuses_our_start(std::string_view code);

}  // namespace twofold::coordinator
