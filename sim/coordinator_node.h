// One life of the coordinator's process: the shell around its machine, as the server's driver is,
// but on the simulated clock, network and disk. Recovers, groups commits (everything appended while
// a force is under way shares the next one), batches per participant with the marks of the moment
// of sending, checkpoints, keeps timers. Decides nothing.
#pragma once

#include "coordinator/core/machine.h"
#include "protocol/messages.h"
#include "sim/cluster.h"
#include "wal/file.h"
#include "wal/writer.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace twofold::sim {

// A request that is no client's intention.
inline constexpr std::uint32_t kNoOperation = ~std::uint32_t{0};

class CoordinatorNode {
public:
    using Reply = std::function<void(const coordinator::Answer&)>;

    CoordinatorNode(Cluster& cluster, Address address);
    ~CoordinatorNode();
    CoordinatorNode(const CoordinatorNode&) = delete;
    CoordinatorNode& operator=(const CoordinatorNode&) = delete;

    // Recovers after a moment; then is_ready().
    void start();
    // The process ends at once.
    void kill();
    // Its disk is taken away and it is no longer what answers at the coordinator's address, but the
    // process and its connections live on.
    void become_zombie();

    [[nodiscard]] bool alive() const;
    [[nodiscard]] bool is_ready() const { return ready_; }
    [[nodiscard]] bool is_zombie() const { return zombie_; }
    [[nodiscard]] ProcessId process() const { return process_; }
    [[nodiscard]] const coordinator::Machine& machine() const { return *machine_; }
    [[nodiscard]] bool idle() const;
    [[nodiscard]] const wal::Writer* writer() const { return writer_.get(); }

    // ---- requests as they arrive; nobody answers before recovery is done ----
    // `make` gets the ticket; nothing from it: the request cannot be made here. `operation` is the
    // client's intention, for the checkers.
    void request(std::uint32_t operation,
                 std::function<std::optional<coordinator::Input>(coordinator::Ticket)> make,
                 Reply reply);
    void query(std::uint32_t operation, const protocol::TxnId& txn, const Reply& reply);
    [[nodiscard]] protocol::SenderStamp stamp() const;
    void inquire(protocol::InquiryRequest request,
                 std::function<void(const protocol::InquiryReply&)> reply);
    [[nodiscard]] std::optional<protocol::ParticipantNumber> number_of(
        const protocol::ParticipantUuid& uuid) const;

    // Forces a checkpoint soon, whatever the log's size.
    void want_checkpoint() { checkpoint_wanted_ = true; }
    void poke() { schedule_flush(); }

private:
    struct Peer;
    struct Call;
    struct Waiting {
        std::uint32_t operation = 0;
        Reply reply;
    };

    void recover_now();
    void open_for_business();
    void die(const std::string& why);
    void note_death();
    void note_answer(const coordinator::Answer& answer);
    [[nodiscard]] bool can_reach(const Peer& peer) const;
    void step(coordinator::Input input);
    void execute(coordinator::Effect&& effect);
    void handle(coordinator::Append&& effect);
    void handle(coordinator::AppendForced&& effect);
    void handle(coordinator::Propose&& effect);
    void handle(coordinator::Seal&& effect);
    void handle(coordinator::Send&& effect);
    void handle(coordinator::Offer&& effect);
    void handle(coordinator::ArmTimer&& effect);
    void handle(coordinator::CancelTimer&& effect);
    void handle(coordinator::Answer&& effect);
    void handle(coordinator::AnswerInquiry&& effect);
    void handle(coordinator::Changed&& effect);
    void handle(coordinator::Finished&& effect);
    void handle(coordinator::ParticipantRegistered&& effect);
    void handle(coordinator::RaiseAlarm&& effect);

    // ---- the log ----
    void append(const protocol::Record& record);
    void schedule_flush();
    void flush();
    void force_now(std::vector<coordinator::Input> inputs);
    void forced(std::vector<coordinator::Input> inputs);
    // A file that is to be sealed, encoded.
    struct Sealing {
        std::uint64_t file = 0;
        std::vector<base::Bytes> records;
    };
    // What a checkpoint consists of.
    struct Checkpoint {
        std::vector<base::Bytes> records;
        std::vector<wal::SealedReference> sealed;
    };
    void maybe_checkpoint();
    [[nodiscard]] Checkpoint make_checkpoint();
    void checkpoint_now(const Checkpoint& checkpoint, std::vector<coordinator::Input> inputs);
    [[nodiscard]] base::Result<void> seal_all(const std::vector<Sealing>& files);
    void retry_full(const base::Error& error, Action action);
    void refill();
    void note_room();

    // ---- participants ----
    void look_at(Peer& peer);
    void on_info(Peer& peer, const protocol::ParticipantInfo& info, std::uint32_t known_epoch);
    void looked_at(Peer& peer);
    void send_queue(Peer& peer, bool decisions);
    [[nodiscard]] protocol::BatchRequest new_batch(const Peer& peer) const;
    void send_batch(Peer& peer, std::vector<protocol::Item> items);
    void on_result(Peer& peer, std::uint64_t call, const protocol::ItemResult& result);
    void end_call(Peer& peer, std::uint64_t call, protocol::CallOutcome outcome);
    [[nodiscard]] std::string name() const;
    void say(const std::string& what) const;

    Cluster& cluster_;
    World& world_;
    Address address_;
    ProcessId process_;
    std::unique_ptr<wal::Lock> lock_;
    std::unique_ptr<wal::Writer> writer_;
    std::optional<coordinator::Machine> machine_;
    std::vector<std::unique_ptr<Peer>> peers_;
    std::map<protocol::ParticipantNumber, Peer*> by_number_;
    std::map<std::uint64_t, Waiting> tickets_;
    std::map<std::uint64_t, std::function<void(const protocol::InquiryReply&)>> inquiries_;
    std::map<coordinator::TimerId, std::uint64_t> timers_;  // -> generation
    std::map<std::uint64_t, Call> calls_;
    std::vector<base::Bytes> appended_;                // not yet given to the writer
    std::vector<coordinator::Input> waiting_for_log_;  // become inputs when that is durable
    std::vector<Sealing> sealing_;                     // the same, in files of their own
    Checkpoint stale_checkpoint_;                      // for a deliberate bug
    std::vector<coordinator::Input> inputs_;           // of the step under way
    std::uint64_t start_nonce_ = 0;
    std::uint64_t next_ticket_ = 1;
    std::uint64_t next_call_ = 1;
    std::uint64_t timer_generation_ = 0;
    protocol::Epoch epoch_ = 0;
    bool stepping_ = false;
    bool ready_ = false;
    bool zombie_ = false;
    bool flush_scheduled_ = false;
    bool forcing_ = false;
    bool room_ = true;
    bool refill_planned_ = false;
    bool checkpoint_wanted_ = false;
    Time force_began_ = 0;
};

}  // namespace twofold::sim
