// Applications: bank transfers between accounts of several participants, and ids appended to lists,
// as one-shot, one-phase and interactive transactions. A client loses patience, repeats with the
// same idempotency key, asks for the outcome by id, goes away without a word.
#pragma once

#include "coordinator/core/inputs.h"
#include "sim/cluster.h"
#include "sim/coordinator_node.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace twofold::sim {

class Clients {
public:
    explicit Clients(Cluster& cluster) : cluster_(cluster), world_(cluster.world) {}

    // Draws all operations of the run and schedules them.
    void start();
    // Nobody asks any more.
    void give_up();
    [[nodiscard]] bool all_done() const { return open_ == 0; }
    // Which ones have no answer, for people.
    [[nodiscard]] std::string open_text() const;
    [[nodiscard]] std::uint32_t committed() const { return committed_; }
    [[nodiscard]] std::uint32_t aborted() const { return aborted_; }
    [[nodiscard]] std::size_t size() const { return operations_.size(); }

    struct Branch {
        std::uint32_t participant = 0;
        std::vector<protocol::JsonText> works;  // interactive: executed one by one
    };
    struct Operation {
        std::uint32_t number = 0;
        bool interactive = false;
        bool idle = false;    // an interactive client that goes away
        bool aborts = false;  // … that changes its mind
        bool both = false;    // … that sends commit and abort at once
        bool leaves = false;  // when it has sent its commit
        coordinator::BeginOptions options;
        std::vector<Branch> branches;
        std::optional<protocol::TxnId> txn;
        std::size_t branch = 0;  // interactive: where it is
        std::size_t work = 0;
        std::uint64_t turn = 0;  // answers to an older turn come too late
        bool done = false;
        std::uint32_t reuses = 0;  // of its key
    };
    // For scripts: one operation, now.
    Operation& add(Operation operation);
    void begin(Operation& operation);
    // One more of the kind that the options ask for.
    Operation& add_drawn() { return add(draw()); }

private:
    using Handler = std::function<void(const coordinator::Answer&)>;

    [[nodiscard]] Operation draw();
    [[nodiscard]] Branch draw_branch(std::uint32_t operation,
                                     std::uint32_t participant,
                                     std::int64_t amount,
                                     bool interactive);
    void ask(Operation& operation,
             std::function<std::optional<coordinator::Input>(CoordinatorNode&, coordinator::Ticket)>
                 make,
             Handler on_answer,
             Action on_silence);
    void again(Operation& operation, void (Clients::*what)(Operation&));
    void submit(Operation& operation);
    void begin_interactive(Operation& operation);
    void execute_next(Operation& operation);
    void on_executed(Operation& operation, participant::ExecuteStatus status);
    void commit(Operation& operation);
    void abort(Operation& operation);
    void query(Operation& operation);
    void ask_outcome(Operation& operation);
    void on_silence(Operation& operation);
    void on_answer(Operation& operation, const coordinator::Answer& answer);
    void finish(Operation& operation, protocol::Outcome outcome);
    void maybe_reuse_key(Operation& operation);
    void leave(Operation& operation);
    void ask_made_up_id(const protocol::TxnId& like);

    Cluster& cluster_;
    World& world_;
    std::vector<std::unique_ptr<Operation>> operations_;
    std::size_t open_ = 0;
    std::uint32_t committed_ = 0;
    std::uint32_t aborted_ = 0;
};

}  // namespace twofold::sim
