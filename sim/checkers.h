// Observers from outside. They see what leaves the processes (messages, answers), what is durable
// (in the log, in the databases), and compare. They know nothing of the machines' inner states, and
// the machines know nothing of them. The name of each check is what docs/testing.md lists.
#pragma once

#include "coordinator/core/effects.h"
#include "coordinator/core/machine.h"
#include "protocol/messages.h"
#include "protocol/records.h"
#include "sim/model_database.h"
#include "sim/work.h"
#include "sim/world.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace twofold::sim {

// What a client was promised about one of its intentions.
enum class Told : std::uint8_t { nothing, committed, aborted };

class Checkers : public DatabaseObserver {
public:
    using Databases = std::vector<std::unique_ptr<ModelDatabase>>;

    // `key_lifetime`: so long a client may rely on its key, from when it was told an outcome.
    Checkers(World& world, const WorkTable& work, const Databases& databases, Time key_lifetime)
        : world_(world), work_(work), databases_(databases), key_lifetime_(key_lifetime) {}

    // ---- the log ----
    void on_record_durable(const protocol::Record& record);
    // ---- what a coordinator sends ----
    void on_batch_sent(const protocol::BatchRequest& batch);
    void on_inquiry_answered(const protocol::InquiryReply& reply);
    // `operation`: the client's intention, `horizon`: of who answers.
    void on_answer(std::uint32_t operation,
                   const coordinator::Answer& answer,
                   const protocol::IdPosition& horizon);
    // ---- what a participant does ----
    void on_batch_received(const protocol::BatchRequest& batch);
    void on_work_started(std::uint32_t participant,
                         const protocol::BranchKey& key,
                         const protocol::SenderStamp& sender);
    void on_result_sent(std::uint32_t participant, const protocol::ItemResult& result);
    // ---- the databases ----
    void on_prepared(std::uint32_t participant, const protocol::BranchKey& key) override;
    void on_committed(std::uint32_t participant, const protocol::BranchKey& key) override;
    void on_rolled_back(std::uint32_t participant, const protocol::BranchKey& key) override;
    void on_one_phase(std::uint32_t participant, const protocol::BranchKey& key) override;
    void on_read_only(std::uint32_t participant, const protocol::BranchKey& key) override;
    void on_slots_exceeded(std::uint32_t participant, const protocol::BranchKey& key) override;
    void on_lock_wait(std::uint32_t participant,
                      const protocol::BranchKey& waiter,
                      const protocol::BranchKey& holder) override;

    // ---- situations, which are counted and not judged ----
    // An item reaches the participant in front of this database, in this epoch of it.
    void note_arrival(const protocol::Item& item,
                      std::uint32_t participant,
                      std::uint32_t epoch,
                      const protocol::SenderStamp& sender);
    void note_execute(const protocol::BranchKey& key);
    void on_result_received(const protocol::ItemResult& result);
    void on_finished(const coordinator::Finished& finished);
    void on_proposed(const protocol::TxnId& group);
    void on_coordinator_death(const coordinator::Machine& machine);
    void on_recovered(const coordinator::RecoveredState& state);
    // It will not ask any more.
    void client_vanished(std::uint32_t operation) { vanished_.insert(operation); }
    void on_answer_of_made_up_id(const coordinator::Answer& answer);

    // An operator finishes branches by hand while this is true; they are flagged.
    void operator_acts(bool acting) { operator_acts_ = acting; }
    // From now on effects may be missing that were there; decisions still hold.
    void database_restored() { restored_ = true; }
    [[nodiscard]] bool restored() const { return restored_; }
    // From now on the coordinator may have forgotten ids that it had given out. A commit decision
    // that has reached a participant still holds, and nobody may be told its opposite; what nobody
    // has heard of is gone, and no program could know it.
    void log_restored();
    // A person has accepted it: ids of later starts are new ones again.
    void log_accepted(protocol::Epoch epoch) { accepted_epoch_ = epoch; }
    [[nodiscard]] bool is_log_restored() const { return log_restored_; }
    // A participant has heard a commit, and another one has not carried it out.
    [[nodiscard]] bool is_commit_under_way() const;
    // Decided commit, whatever the log of today says.
    [[nodiscard]] std::vector<protocol::TxnId> committed_groups() const;
    // Every group that was ever heard of.
    [[nodiscard]] std::vector<protocol::TxnId> groups() const;
    // A coordinator says "committed" of it, when nobody has asked for an operation.
    void check_committed_answer(const protocol::TxnId& txn, const coordinator::Answer& answer);
    // How far the coordinator's log was, by the last start that this participant has heard.
    [[nodiscard]] std::pair<protocol::Epoch, std::uint64_t> heard_by(
        std::uint32_t participant) const;
    [[nodiscard]] bool is_heuristic(const protocol::TxnId& group) const {
        return heuristic_.contains(group);
    }

    // ---- at the end, when everything has settled ----
    void check_ledger();
    [[nodiscard]] const std::map<protocol::TxnId, std::uint32_t>& known_ids() const {
        return operation_of_;
    }
    // The last batch with work in it, for scripts that let it arrive once more.
    [[nodiscard]] const std::optional<protocol::BatchRequest>& last_work_sent() const {
        return last_work_sent_;
    }
    // Some decisions that were sent, one in each batch, for whoever forges messages.
    [[nodiscard]] const std::vector<protocol::BatchRequest>& decisions_sent() const {
        return decisions_sent_;
    }
    void keep_decisions(bool on) { keeps_decisions_ = on; }
    // It has ended, as the log says: no coordinator will speak of it again.
    [[nodiscard]] bool is_over(const protocol::BranchKey& key) const;
    [[nodiscard]] std::uint64_t commits() const { return commits_; }

private:
    struct Group {
        std::optional<protocol::Decision> decision;  // durable
        std::set<protocol::BranchKey> in_decision;   // that voted yes
        bool abort_said = false;                     // to a participant or a client
        bool commit_heard = false;                   // by a participant
        std::set<protocol::BranchKey> lost;          // of a decision that went with the log
        std::set<std::uint16_t> branches;            // sent or executed
        std::map<protocol::BranchKey, std::uint32_t> participants;
        Time first_sent = 0;  // its work
        bool proposed = false;
        bool commit_sent = false;
        bool abort_sent = false;
        bool has_ended = false;  // so says the log
    };
    struct LockWait {
        protocol::TxnId holder;
        std::uint32_t participant = 0;
        Time at = 0;
    };
    // What an intention's client was told last, as its outcome: by which id, and since when that
    // counts, which is when the coordinator knew it.
    struct ToldRequest {
        Told told = Told::nothing;
        protocol::TxnId txn;
        Time at = 0;
    };
    struct Issued {
        protocol::TxnId txn;
        std::uint32_t operation = 0;
    };

    void note_result(const protocol::ItemResult& result);
    void note_answer(std::uint32_t operation, const coordinator::Answer& answer);
    void note_inquiry_answer(const protocol::InquiryAnswerItem& item, bool committed);
    void note_decision(const protocol::DecisionRecord& record);
    void note_death_after_decision(const Group& group);
    void note_death_undecided(const Group& group);

    void keep_decision(const protocol::BatchRequest& batch, const protocol::Item& item);
    void on_decision(const protocol::DecisionRecord& record);
    void check_votes(const protocol::DecisionRecord& record, const Group& group);
    void check_item(const protocol::Item& item);
    void check_request_aborted(std::uint32_t operation);
    void check_request_told(std::uint32_t operation, const coordinator::Answer& answer, Told told);
    [[nodiscard]] Time known_since(const protocol::TxnId& txn) const;
    void check_work_committed(const protocol::BranchKey& key);
    void check_not_told_aborted(const protocol::BranchKey& key, std::uint32_t operation);
    // A request that came at `when` had to find the key whose use ended at `ended`. A key may be
    // over a little sooner than told: by as long as a force takes.
    [[nodiscard]] bool counts(Time ended, Time when) const {
        return when <= ended + key_lifetime_ - key_lifetime_ / 4;
    }
    void check_aborted_answer(const protocol::TxnId& txn, std::string_view who);
    void check_identity(std::uint32_t operation, const protocol::TxnId& txn);
    void check_works(const std::map<std::uint32_t, std::uint32_t>& times);
    void check_balances(std::uint32_t participant, const ModelDatabase& database);
    [[nodiscard]] bool applied_anywhere(const protocol::TxnId& txn) const;
    // Every branch that was sent has only read: committing them all needs no decision.
    [[nodiscard]] bool all_read_only(const Group& group) const;
    [[nodiscard]] bool one_phase_done(const protocol::TxnId& txn) const;
    void violate(std::string_view checker, std::string text) {
        world_.violate(checker, std::move(text));
    }

    World& world_;
    const WorkTable& work_;
    const Databases& databases_;
    std::map<protocol::TxnId, Group> groups_;
    std::map<protocol::BranchKey, std::uint32_t> work_of_;
    std::map<protocol::TxnId, std::uint32_t> operation_of_;
    std::map<protocol::IdPosition, Issued> issued_;
    const Time key_lifetime_;
    std::map<std::uint32_t, ToldRequest> told_;  // by operation
    // By operation: what took effect of it, and when first.
    std::map<std::uint32_t, std::map<protocol::TxnId, Time>> commits_of_;
    std::map<protocol::TxnId, Told> told_txn_;
    std::set<protocol::BranchKey> abort_acknowledged_;
    std::map<protocol::ParticipantUuid, std::pair<protocol::Epoch, std::uint64_t>> heard_;
    // The newest abort of these carried the proof of their vote: how they ended can be found out.
    std::set<protocol::BranchKey> aborts_with_proof_;
    std::set<protocol::TxnId> heuristic_;
    std::set<std::uint32_t> heuristic_operations_;
    bool operator_acts_ = false;
    std::optional<protocol::BatchRequest> last_work_sent_;  // while tracing
    std::vector<protocol::BatchRequest> decisions_sent_;
    bool keeps_decisions_ = false;
    bool restored_ = false;
    bool log_restored_ = false;
    std::optional<protocol::Epoch> accepted_epoch_;
    std::uint64_t commits_ = 0;
    std::set<std::pair<protocol::BranchKey, protocol::ItemOp>> work_received_;
    std::map<std::uint32_t, protocol::TxnId> begun_;  // by operation: the first one
    std::map<protocol::TxnId, Time> finished_at_;     // where keys are over within a run
    std::set<std::uint32_t> vanished_;                // operations without a client
    std::map<protocol::TxnId, LockWait> waits_;       // the newest of each transaction
    std::vector<protocol::TxnId> unforced_;           // proposed when the coordinator died
};

}  // namespace twofold::sim
