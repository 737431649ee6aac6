// A sidecar: the shell around the participant's machine, on the simulated clock, network and model
// database. The object is the host; a restart is a new process with a new machine.
#pragma once

#include "coordinator/core/effects.h"
#include "participant/core/machine.h"
#include "protocol/messages.h"
#include "sim/cluster.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace twofold::sim {

class ParticipantNode {
public:
    using ResultReply = std::function<void(const protocol::ItemResult&)>;
    using OfferAnswer = std::function<void(const protocol::OfferReply&)>;
    using ExecuteAnswer = std::function<void(participant::ExecuteStatus)>;

    ParticipantNode(Cluster& cluster, std::uint32_t index);

    void start();
    void kill();
    // Which database it is in front of; its own unless addresses were mixed up.
    [[nodiscard]] std::uint32_t serves() const { return serves_; }
    void serve(std::uint32_t database) { serves_ = database; }
    [[nodiscard]] bool alive() const { return world_.alive(process_) && machine_.has_value(); }
    [[nodiscard]] ProcessId process() const { return process_; }
    [[nodiscard]] Address address() const { return Cluster::address_of(index_); }
    [[nodiscard]] const participant::Machine& machine() const { return *machine_; }

    void receive_batch(const protocol::BatchRequest& batch, const ResultReply& reply);
    // A batch without items.
    void receive_offer(const protocol::BatchRequest& batch, OfferAnswer reply);
    // Nothing while it is not ready.
    [[nodiscard]] std::optional<protocol::ParticipantInfo> info() const;
    // An application executes work inside an interactive transaction; enlists on first touch.
    void execute(std::uint32_t operation,
                 const protocol::TxnId& txn,
                 std::uint32_t sequence,
                 protocol::JsonText work,
                 ExecuteAnswer reply);

private:
    struct Enlisted {
        protocol::BranchKey key;
        std::uint32_t epoch = 0;
        protocol::SenderStamp sender;
    };

    void start_resource();
    void step(participant::Input input);
    void handle(participant::RunAndPrepare&& effect);
    void handle(participant::RunOnePhase&& effect);
    void handle(participant::ExecuteWork&& effect);
    void handle(participant::PrepareExecuted&& effect);
    void handle(participant::CancelWork&& effect);
    void handle(participant::CommitPrepared&& effect);
    void handle(participant::RollbackPrepared&& effect);
    void handle(participant::SettleOnePhase&& effect);
    void handle(participant::PersistSender&& effect);
    void handle(participant::NoteMarks&& effect);
    void handle(participant::ListPrepared&& effect);
    void handle(participant::SendInquiry&& effect);
    void handle(participant::AskCoordinators&& effect);
    void handle(participant::AnswerResolve&& effect);
    void handle(participant::SendReply&& effect);
    void handle(participant::AnswerOffer&& effect);
    void handle(participant::ArmTimer&& effect);
    void handle(participant::RaiseAlarm&& effect);

    void enlist(std::uint32_t operation, const protocol::TxnId& txn, Action then, Action failed);
    void ask_foreign(const protocol::InquiryRequest& request);
    void work_done(const protocol::BranchKey& key, const protocol::WorkResult& result);
    std::function<void(protocol::FinishResult)> finish_done(const protocol::BranchKey& key,
                                                            protocol::ItemOp op);
    [[nodiscard]] ModelDatabase& database() const { return *cluster_.databases[serves_]; }
    [[nodiscard]] protocol::SenderStamp sender_of(const protocol::BranchKey& key) const;
    void say(const std::string& what) const;

    Cluster& cluster_;
    World& world_;
    std::uint32_t index_;   // its address
    std::uint32_t serves_;  // its database
    ProcessId process_;
    std::optional<participant::Machine> machine_;
    std::uint32_t epoch_ = 0;
    std::uint64_t next_ticket_ = 1;
    std::uint64_t next_session_ = 1;
    std::map<participant::ReplyTicket, std::function<void(const participant::SendReply&)>> tickets_;
    std::map<participant::ReplyTicket, OfferAnswer> offers_;
    std::map<protocol::BranchKey, protocol::SenderStamp> senders_;  // who sent the work
    std::map<protocol::TxnId, Enlisted> enlisted_;
};

}  // namespace twofold::sim
