#include "sim/clients.h"

#include "sim/participant_node.h"

#include <algorithm>
#include <utility>

namespace twofold::sim {

using coordinator::Answer;
using coordinator::AnswerKind;
using protocol::Outcome;

// ---- what they want -------------------------------------------------------------------------

Clients::Branch Clients::draw_branch(std::uint32_t operation,
                                     std::uint32_t participant,
                                     std::int64_t amount,
                                     bool interactive) {
    const WorkloadOptions& load = cluster_.options.workload;
    Branch branch;
    branch.participant = participant;
    std::uint64_t pieces = interactive ? world_.between(1, 2) : 1;
    for (std::uint64_t i = 0; i < pieces; ++i) {
        WorkSpec spec;
        spec.operation = operation;
        spec.participant = participant;
        spec.refuse = world_.chance(20);
        auto account = [&] {
            return static_cast<std::uint32_t>(world_.rng().below(load.accounts));
        };
        if (!world_.chance(load.read_only)) spec.changes.push_back({account(), amount});
        branch.works.push_back(cluster_.work.add(std::move(spec)));
    }
    return branch;
}

Clients::Operation Clients::draw() {
    const WorkloadOptions& load = cluster_.options.workload;
    Operation operation;
    operation.number = static_cast<std::uint32_t>(operations_.size());
    operation.interactive = world_.chance(load.interactive);
    operation.idle = operation.interactive && world_.chance(load.idle_client);
    operation.aborts = operation.interactive && world_.chance(load.client_aborts);
    operation.both = operation.interactive && world_.chance(100);
    operation.leaves = world_.chance(load.leaving_client);
    bool single = load.participants == 1 || world_.chance(load.one_phase);
    std::uint64_t count = single ? 1 : world_.between(2, std::min(load.participants, 3U));
    std::uint64_t first = world_.rng().below(load.participants);
    auto amount = static_cast<std::int64_t>(world_.between(1, 20));
    for (std::uint64_t i = 0; i < count; ++i) {
        auto participant = static_cast<std::uint32_t>((first + i) % load.participants);
        std::int64_t part = count == 1 ? (world_.chance(500) ? amount : -amount)
                            : i == 0   ? -amount * static_cast<std::int64_t>(count - 1)
                                       : amount;
        operation.branches.push_back(
            draw_branch(operation.number, participant, part, operation.interactive));
    }
    if (operation.interactive && world_.chance(load.empty)) operation.branches.clear();
    auto milliseconds = [](Time time) { return coordinator::Milliseconds(time / 1000); };
    operation.options.deadline = milliseconds(world_.between(load.deadline / 4, load.deadline));
    operation.options.answer_within = milliseconds(load.client_patience / 2);
    if (world_.chance(load.wait_decided)) operation.options.wait = coordinator::WaitFor::decided;
    if (!world_.chance(load.without_key)) {
        protocol::IdempotencyKey key;
        cluster_.random_bytes(key.key_hash);
        key.fingerprint = key.key_hash;
        operation.options.idempotency = key;
    }
    return operation;
}

Clients::Operation& Clients::add(Operation operation) {
    operation.number = static_cast<std::uint32_t>(operations_.size());
    operations_.push_back(std::make_unique<Operation>(std::move(operation)));
    ++open_;
    return *operations_.back();
}

void Clients::begin(Operation& operation) {
    operation.interactive ? begin_interactive(operation) : submit(operation);
}

void Clients::start() {
    const WorkloadOptions& load = cluster_.options.workload;
    for (std::uint32_t i = 0; i < load.transactions; ++i) {
        Operation& operation = add(draw());
        world_.after(ms(30) + world_.between(0, load.spread), kWorld, [this, &operation] {
            begin(operation);
        });
    }
}

void Clients::give_up() {
    for (auto& operation : operations_) finish(*operation, Outcome::unknown);
}

std::string Clients::open_text() const {
    std::string out;
    for (const auto& operation : operations_) {
        if (operation->done) continue;
        out += " " + std::to_string(operation->number);
        if (operation->txn.has_value()) out += " (" + short_text(*operation->txn) + ")";
    }
    return out;
}

// ---- asking and waiting ---------------------------------------------------------------------

void Clients::ask(
    Operation& operation,
    std::function<std::optional<coordinator::Input>(CoordinatorNode&, coordinator::Ticket)> make,
    Handler on_answer,
    Action on_silence) {
    std::uint64_t turn = ++operation.turn;
    auto answered = [&operation, turn, on_answer = std::move(on_answer)](const Answer& answer) {
        if (operation.turn != turn || operation.done) return;
        ++operation.turn;
        on_answer(answer);
    };
    // Work without a key is not safe to repeat, and the network is not to blame for doing so.
    bool repeatable = operation.options.idempotency.has_value() || operation.txn.has_value();
    auto send = repeatable ? &Net::send : &Net::send_once;
    auto deliver = [this, &operation, make = std::move(make), answered] {
        CoordinatorNode* node = cluster_.any_coordinator();
        if (node == nullptr || !node->is_ready()) return;
        node->request(
            operation.number,
            [node, make](coordinator::Ticket ticket) { return make(*node, ticket); },
            [this, answered](const Answer& answer) {
                cluster_.net.send(kCoordinatorAddress, kClients, kWorld, [answered, answer] {
                    answered(answer);
                });
            });
    };
    (cluster_.net.*send)(kClients, kCoordinatorAddress, kWorld, std::move(deliver));
    world_.after(cluster_.options.workload.client_patience,
                 kWorld,
                 [&operation, turn, on_silence = std::move(on_silence)] {
                     if (operation.turn == turn && !operation.done) on_silence();
                 });
}

void Clients::again(Operation& operation, void (Clients::*what)(Operation&)) {
    std::uint64_t turn = ++operation.turn;
    world_.after(world_.between(ms(20), ms(300)), kWorld, [this, &operation, what, turn] {
        if (operation.turn == turn && !operation.done) (this->*what)(operation);
    });
}

void Clients::finish(Operation& operation, Outcome outcome) {
    if (operation.done) return;
    operation.done = true;
    --open_;
    if (outcome == Outcome::committed) ++committed_;
    if (outcome == Outcome::aborted) ++aborted_;
    if (world_.tracing()) {
        world_.say("client" + std::to_string(operation.number),
                   "is done: " + std::string(to_string(outcome)));
    }
    if (outcome == Outcome::committed || outcome == Outcome::aborted) maybe_reuse_key(operation);
    bool asks = operation.txn.has_value() && world_.chance(cluster_.options.workload.made_up_id);
    if (asks) ask_made_up_id(*operation.txn);
}

// Whatever becomes of it, nobody waits for the answer.
void Clients::leave(Operation& operation) {
    cluster_.checkers.client_vanished(operation.number);
    finish(operation, Outcome::unknown);
}

// Another tag: an id that no coordinator has made.
void Clients::ask_made_up_id(const protocol::TxnId& like) {
    CoordinatorNode* node = cluster_.coordinator();
    if (node == nullptr || !node->is_ready()) return;
    protocol::TxnId made_up = like;
    made_up.bytes.back() ^= 1U;
    coordinator::Answer answer = node->machine().query(made_up);
    cluster_.checkers.on_answer_of_made_up_id(answer);
}

// The same request once more: by somebody who repeats it too late, or wants it done again.
void Clients::maybe_reuse_key(Operation& operation) {
    constexpr std::uint32_t kReusesMax = 3;
    bool may = !operation.interactive && operation.options.idempotency.has_value();
    if (!may || operation.reuses == kReusesMax || cluster_.healed()) return;
    std::uint32_t reuse = cluster_.options.reuse;
    if (reuse == 0 || !world_.chance(reuse)) return;
    ++operation.reuses;
    Time lifetime = cluster_.options.key_lifetime;
    world_.after(world_.between(lifetime / 4, lifetime * 2), kWorld, [this, &operation] {
        operation.done = false;
        operation.txn.reset();
        ++open_;
        submit(operation);
    });
}

// Nobody answered. With a key the request is repeated; with an id the outcome is asked for; with
// neither the client has to live with not knowing.
void Clients::on_silence(Operation& operation) {
    if (operation.txn.has_value()) return query(operation);
    if (!operation.options.idempotency.has_value()) {
        // Nothing was executed in what a lost begin has opened: it may be begun again.
        if (operation.interactive && world_.chance(500)) {
            return again(operation, &Clients::begin_interactive);
        }
        return finish(operation, Outcome::unknown);
    }
    again(operation, operation.interactive ? &Clients::begin_interactive : &Clients::submit);
}

void Clients::on_answer(Operation& operation, const Answer& answer) {
    if (answer.report.txn != protocol::TxnId{}) operation.txn = answer.report.txn;
    switch (answer.kind) {
        case AnswerKind::finished:
            if (answer.report.key_open && !operation.interactive &&
                operation.options.idempotency.has_value()) {
                // The id changed nothing; what became of the request is told under its key only.
                operation.txn.reset();
                return again(operation, &Clients::submit);
            }
            return finish(operation, answer.report.outcome);
        case AnswerKind::opposite: return finish(operation, answer.report.outcome);
        case AnswerKind::cannot_tell:
            if (operation.txn.has_value()) return again(operation, &Clients::ask_outcome);
            return on_silence(operation);
        case AnswerKind::decided:
        case AnswerKind::undecided:
        case AnswerKind::doomed:
        case AnswerKind::wrong_state:
            if (operation.txn.has_value()) return again(operation, &Clients::query);
            return on_silence(operation);
        case AnswerKind::overloaded:
        case AnswerKind::keys_exhausted:
        case AnswerKind::unsettled:
        case AnswerKind::draining: return on_silence(operation);
        case AnswerKind::begun: return execute_next(operation);
        case AnswerKind::expired:
        case AnswerKind::not_found:
        case AnswerKind::invalid:
        case AnswerKind::done:
        case AnswerKind::changed:
        case AnswerKind::enlisted: return finish(operation, Outcome::unknown);
    }
}

void Clients::query(Operation& operation) {
    std::uint64_t turn = ++operation.turn;
    protocol::TxnId txn = *operation.txn;
    cluster_.net.send(kClients, kCoordinatorAddress, kWorld, [this, &operation, turn, txn] {
        CoordinatorNode* node = cluster_.any_coordinator();
        if (node == nullptr) return;
        node->query(operation.number, txn, [this, &operation, turn](const Answer& answer) {
            cluster_.net.send(
                kCoordinatorAddress, kClients, kWorld, [this, &operation, turn, answer] {
                    if (operation.turn == turn && !operation.done) on_answer(operation, answer);
                });
        });
    });
    world_.after(cluster_.options.workload.client_patience, kWorld, [this, &operation, turn] {
        if (operation.turn == turn && !operation.done) again(operation, &Clients::query);
    });
}

// Only a participant knows: the coordinator asks it.
void Clients::ask_outcome(Operation& operation) {
    ask(
        operation,
        [this, txn = *operation.txn](
            CoordinatorNode&, coordinator::Ticket ticket) -> std::optional<coordinator::Input> {
            coordinator::Milliseconds within(cluster_.options.workload.client_patience / 2000);
            return coordinator::OutcomeRequest{ticket, txn, within};
        },
        [this, &operation](const Answer& answer) { on_answer(operation, answer); },
        [this, &operation] { again(operation, &Clients::query); });
}

// ---- one-shot -------------------------------------------------------------------------------

void Clients::submit(Operation& operation) {
    ask(
        operation,
        [this, &operation](CoordinatorNode& node,
                           coordinator::Ticket ticket) -> std::optional<coordinator::Input> {
            coordinator::SubmitOneShot submit{ticket, {}, operation.options};
            for (const Branch& branch : operation.branches) {
                auto number = node.number_of(cluster_.databases[branch.participant]->uuid());
                if (!number.has_value()) return std::nullopt;
                submit.branches.push_back({*number, branch.works.front(), {}});
            }
            return submit;
        },
        [this, &operation](const Answer& answer) { on_answer(operation, answer); },
        [this, &operation] { on_silence(operation); });
    if (operation.leaves) leave(operation);
}

// ---- interactive ----------------------------------------------------------------------------

void Clients::begin_interactive(Operation& operation) {
    ask(
        operation,
        [&operation](CoordinatorNode&,
                     coordinator::Ticket ticket) -> std::optional<coordinator::Input> {
            return coordinator::Begin{ticket, operation.options};
        },
        [this, &operation](const Answer& answer) { on_answer(operation, answer); },
        [this, &operation] { on_silence(operation); });
}

void Clients::execute_next(Operation& operation) {
    if (operation.branch == operation.branches.size()) {
        return operation.aborts ? abort(operation) : commit(operation);
    }
    if (operation.idle && operation.branch + 1 == operation.branches.size()) {
        cluster_.checkers.client_vanished(operation.number);
        return finish(operation, Outcome::unknown);
    }
    std::uint64_t turn = ++operation.turn;
    const Branch& branch = operation.branches[operation.branch];
    Address to = Cluster::address_of(branch.participant);
    auto sequence = static_cast<std::uint32_t>(operation.work + 1);
    auto on_result = [this, &operation, turn](participant::ExecuteStatus status) {
        if (operation.turn == turn && !operation.done) on_executed(operation, status);
    };
    cluster_.net.send(kClients, to, kWorld, [this, &operation, &branch, sequence, to, on_result] {
        ParticipantNode& node = *cluster_.participants[branch.participant];
        if (!node.alive()) return;
        world_.after(
            us(1), node.process(), [this, &operation, &branch, &node, sequence, to, on_result] {
                node.execute(operation.number,
                             *operation.txn,
                             sequence,
                             branch.works[sequence - 1],
                             [this, to, on_result](participant::ExecuteStatus status) {
                                 cluster_.net.send(to, kClients, kWorld, [on_result, status] {
                                     on_result(status);
                                 });
                             });
            });
    });
    world_.after(cluster_.options.workload.client_patience, kWorld, [this, &operation, turn] {
        if (operation.turn == turn && !operation.done) abort(operation);
    });
}

void Clients::on_executed(Operation& operation, participant::ExecuteStatus status) {
    if (status != participant::ExecuteStatus::executed) return abort(operation);
    ++operation.work;
    if (operation.work == operation.branches[operation.branch].works.size()) {
        operation.work = 0;
        ++operation.branch;
    }
    execute_next(operation);
}

void Clients::commit(Operation& operation) {
    ask(
        operation,
        [&operation](CoordinatorNode&,
                     coordinator::Ticket ticket) -> std::optional<coordinator::Input> {
            return coordinator::CommitRequest{ticket,
                                              *operation.txn,
                                              operation.options.wait,
                                              operation.options.answer_within,
                                              {}};
        },
        [this, &operation](const Answer& answer) { on_answer(operation, answer); },
        [this, &operation] { again(operation, &Clients::commit); });
    if (operation.both) {
        operation.both = false;
        cluster_.net.send(kClients, kCoordinatorAddress, kWorld, [this, &operation] {
            CoordinatorNode* node = cluster_.coordinator();
            if (node == nullptr) return;
            node->request(
                operation.number,
                [&operation](coordinator::Ticket ticket) {
                    return coordinator::AbortRequest{ticket, *operation.txn};
                },
                [](const Answer&) {});
        });
    }
    if (operation.leaves) leave(operation);
}

void Clients::abort(Operation& operation) {
    ask(
        operation,
        [&operation](CoordinatorNode&,
                     coordinator::Ticket ticket) -> std::optional<coordinator::Input> {
            return coordinator::AbortRequest{ticket, *operation.txn};
        },
        [this, &operation](const Answer& answer) { on_answer(operation, answer); },
        [this, &operation] { again(operation, &Clients::abort); });
}

}  // namespace twofold::sim
