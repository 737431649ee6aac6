// A database for the exhaustive search: everything happens at once, nothing fails, and what is
// durable survives the participant. Sessions, locks and statements are left to the simulator's.
#pragma once

#include "protocol/branch_work.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace twofold::sim {

class ExploredDatabase {
public:
    explicit ExploredDatabase(std::uint16_t number);

    // A new participant epoch.
    [[nodiscard]] protocol::ResourceStart start();
    // `vote`: prepared, read_only or refused, as the branch's statements would end.
    [[nodiscard]] protocol::WorkResult run_and_prepare(const protocol::BranchWork& work,
                                                       protocol::WorkStatus vote);
    [[nodiscard]] protocol::FinishResult commit(const protocol::FinishRequest& request);
    [[nodiscard]] protocol::FinishResult roll_back(const protocol::FinishRequest& request);
    void persist(const protocol::SenderStamp& sender);
    [[nodiscard]] std::vector<protocol::PreparedBranch> listing() const;

    [[nodiscard]] const protocol::ParticipantUuid& uuid() const { return uuid_; }
    [[nodiscard]] const protocol::Identity& identity() const { return identity_; }
    [[nodiscard]] std::uint32_t epoch() const { return epoch_; }
    [[nodiscard]] protocol::Position position() const { return {1, position_}; }
    // Everything that is durable, as one line.
    [[nodiscard]] std::string text() const;

    // ---- for the checks ----
    [[nodiscard]] bool is_prepared(const protocol::TxnId& group) const;
    [[nodiscard]] bool has_committed(const protocol::TxnId& group) const;
    // It had promised to commit, and was rolled back.
    [[nodiscard]] bool has_broken(const protocol::TxnId& group) const;
    [[nodiscard]] std::size_t prepared() const { return prepared_.size(); }

private:
    struct Prepared {
        std::string gid;
        std::uint64_t xid = 0;
        protocol::Position position;
    };
    // How a branch without a gid ended, as far as its proof tells.
    [[nodiscard]] const bool* logged(const protocol::FinishRequest& request) const;

    protocol::ParticipantUuid uuid_;
    protocol::Identity identity_;
    std::uint32_t epoch_ = 0;
    std::uint64_t position_ = 1;
    std::uint64_t next_xid_ = 100;
    std::map<protocol::Incarnation, protocol::SenderStamp> senders_;
    std::map<protocol::BranchKey, Prepared> prepared_;
    std::set<protocol::BranchKey> tombstones_;
    std::map<std::uint64_t, bool> commit_log_;  // xid -> committed
    std::set<protocol::TxnId> committed_;
    std::set<protocol::TxnId> broken_;
};

}  // namespace twofold::sim
