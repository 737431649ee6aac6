// The log as a state: records in, in their order, RecoveredState out. Pure. A record that no run of
// this program writes in this place is refused; nothing is guessed.
//
// A transaction is judged once, by recovery/core/decide: when its END is read (what ended needs no
// more memory), or at the end of the log.
#pragma once

#include "base/result.h"
#include "coordinator/core/recovered.h"
#include "recovery/core/decide.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace twofold::recovery {

using coordinator::checkpoint_records;
using coordinator::RecoveredState;

class Fold {
public:
    // Errors: corrupt. The fold must not be used afterwards.
    [[nodiscard]] base::Result<void> apply(std::uint64_t lsn, const protocol::Record& record);

    // What the file that an applied record refers to holds, as if it stood in its place. Errors:
    // corrupt.
    [[nodiscard]] base::Result<void> apply_sealed(const protocol::Record& reference,
                                                  const std::vector<protocol::Record>& records);

    // The next start takes a higher epoch than this one; 0: it follows the log's.
    [[nodiscard]] protocol::Epoch epoch_heard() const;

    // The state that the machine of the new start begins with. Errors: corrupt.
    [[nodiscard]] base::Result<RecoveredState> finish(const protocol::EpochRecord& new_epoch) &&;

private:
    struct Group {
        std::optional<protocol::DecisionRecord> commit;
        std::optional<protocol::DecisionRecord> abort;
        std::optional<protocol::PreparingRecord> preparing;
        std::optional<protocol::Outcome> end;
        std::vector<protocol::BranchOutcomeRecord> outcomes;
    };

    base::Result<void> take(const protocol::EpochRecord& record);
    base::Result<void> take(const protocol::ParticipantRecord& record);
    base::Result<void> take(const protocol::PreparingRecord& record);
    base::Result<void> take(const protocol::DecisionRecord& record);
    base::Result<void> take(const protocol::EndRecord& record);
    base::Result<void> take(const protocol::OutcomesRecord& record);
    base::Result<void> take(const protocol::HorizonRecord& record);
    base::Result<void> take(const protocol::BranchOutcomeRecord& record);
    base::Result<void> take(const protocol::GivenUpRecord& record);
    base::Result<void> take(const protocol::PositionRecord& record);
    base::Result<void> take(const protocol::IdempotentAbortRecord& record);
    base::Result<void> take(const protocol::AcknowledgedRecord& record);
    base::Result<void> take(const protocol::KeysRecord& record);
    base::Result<void> take(const protocol::SealedRecord& record);
    base::Result<void> take(const protocol::KeyTurnRecord& record);
    base::Result<void> take(const protocol::SealedOutcomesRecord& record);
    base::Result<void> take(const protocol::OutcomeTurnRecord& record);
    base::Result<void> take(const protocol::RestoreRecord& record);

    [[nodiscard]] Facts facts_of(const protocol::TxnId& id, const Group& group) const;
    base::Result<void> take_keys(const protocol::KeysRecord& record, bool is_loose);
    base::Result<void> take_outcomes(const protocol::OutcomesRecord& record, bool is_loose);
    base::Result<void> take_file(std::uint64_t file);
    base::Result<void> take_content(const protocol::SealedRecord& file,
                                    const std::vector<protocol::Record>& records);
    base::Result<void> take_content(const protocol::SealedOutcomesRecord& file,
                                    const std::vector<protocol::Record>& records);
    [[nodiscard]] bool is_remembered(const protocol::TxnId& id) const;
    [[nodiscard]] bool is_remembered(const protocol::IdPosition& position) const;
    base::Result<void> judge(const protocol::TxnId& id, Group& group);
    void remember_committed(const protocol::TxnId& id, const Group& group);
    void remember_keys(const Group& group);
    void remember_heuristic(const protocol::TxnId& id, Group& group);
    void drive_abort(const protocol::TxnId& id, Group& group);
    [[nodiscard]] base::Result<void> check_references() const;
    [[nodiscard]] bool keeps_abort_of(const protocol::TxnId& id) const;
    [[nodiscard]] base::Result<void> check_places() const;
    void give_up_undecided();
    void normalise();
    [[nodiscard]] base::Error inconsistent(const protocol::TxnId& id, std::string what) const;
    [[nodiscard]] base::Error inconsistent(std::string what) const;

    std::uint64_t lsn_ = 0;
    RecoveredState state_;
    std::map<protocol::TxnId, Group> groups_;
    std::set<std::uint64_t> files_;  // named
    std::set<std::uint64_t> unread_files_;
};

}  // namespace twofold::recovery
