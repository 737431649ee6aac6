#include "recovery/core/fold_script.h"

#include "coordinator/core/small_world.h"

namespace twofold::recovery {

using coordinator::epoch_record;
using protocol::ParticipantNumber;
using protocol::Record;
using protocol::TxnId;

base::Result<RecoveredState> fold_all(const std::vector<Record>& records,
                                      protocol::Epoch epoch,
                                      const std::map<std::uint64_t, std::vector<Record>>& files) {
    Fold fold;
    std::uint64_t lsn = 0;
    for (const Record& record : records) {
        TWOFOLD_TRY(fold.apply(++lsn, record));
        auto file = protocol::sealed_file_of(record);
        if (file && files.contains(file->number)) {
            TWOFOLD_TRY(fold.apply_sealed(record, files.at(file->number)));
        }
    }
    return std::move(fold).finish(epoch_record(epoch));
}

TxnId make_id(protocol::Epoch epoch, protocol::Sequence sequence, std::uint16_t one_phase) {
    protocol::EpochRecord record = epoch_record(epoch);
    return make_txn_id(record.incarnation,
                       epoch,
                       sequence,
                       ParticipantNumber(one_phase),
                       base::KeyedHash(record.key));
}

std::vector<protocol::BranchRecord> two_branches() {
    std::vector<protocol::BranchRecord> branches;
    for (std::uint16_t i = 1; i <= 2; ++i) {
        protocol::ParticipantInfo info = coordinator::participant_info(i);
        protocol::BranchRecord branch;
        branch.branch = i;
        branch.attempt = 1;
        branch.participant = ParticipantNumber(i);
        branch.uuid = info.uuid;
        branch.identity = info.identity;
        branch.participant_epoch = 1;
        branch.proof = protocol::ProofToken{i, {1, 2}, false};
        branches.push_back(branch);
    }
    return branches;
}

std::vector<Record> base_log() { return checkpoint_records(coordinator::first_start(2)); }

protocol::DecisionRecord commit_of(const TxnId& id) {
    return {id, protocol::Decision::commit, {{id, std::nullopt, {}}}, two_branches(), ""};
}

protocol::PreparingRecord preparing_of(const TxnId& id) {
    return {id, {{id, std::nullopt, {}}}, two_branches()};
}

}  // namespace twofold::recovery
