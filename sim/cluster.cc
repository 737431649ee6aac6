#include "sim/cluster.h"

#include "sim/coordinator_node.h"
#include "sim/participant_node.h"

#include <utility>

namespace twofold::sim {

Cluster::Cluster(const Options& chosen, const Sabotage& bugs, bool tracing)
    : options(chosen),
      sabotage(bugs),
      world(chosen.seed, tracing),
      net(world, options.net),
      disk(world, options.disk),
      checkers(world, work, databases, options.key_lifetime) {
    for (std::uint32_t i = 0; i < options.workload.participants; ++i) {
        DatabaseOptions database = options.database;
        database.exclusive = i == 0 && database.exclusive;  // one at most: the others stay busy
        if (database.exclusive) database.slots = 1;
        databases.push_back(std::make_unique<ModelDatabase>(
            world, work, database, checkers, i, options.workload.accounts));
        databases.back()->skip_fencing(sabotage.start_without_fencing);
        participants.push_back(std::make_unique<ParticipantNode>(*this, i));
    }
    checkers.keep_decisions(options.nemesis.forge);
    disk.skip_force(sabotage.log_skips_force);
    disk.skip_directory_force(sabotage.log_skips_directory_force);
    disk.on_durable([this](const protocol::Record& record) { checkers.on_record_durable(record); });
}

Cluster::~Cluster() = default;

void Cluster::start() {
    for (auto& participant : participants) participant->start();
    start_coordinator();
}

void Cluster::start_coordinator() {
    restart_planned_ = false;
    if (coordinator_ != nullptr) return;
    lives_.push_back(std::make_unique<CoordinatorNode>(*this, kCoordinatorAddress));
    coordinator_ = lives_.back().get();
    coordinator_->start();
}

void Cluster::kill_coordinator(bool power) {
    if (coordinator_ == nullptr) return;
    coordinator_->kill();
    coordinator_died(power);
}

void Cluster::coordinator_died(bool power) {
    ++crashes_;
    coordinator_ = nullptr;
    disk.process_died();
    if (power) {
        if (world.tracing()) world.say("disk", "power is lost");
        disk.crash();
    }
    if (std::exchange(restart_planned_, true)) return;
    world.after(
        world.between(ms(1), options.nemesis.outage_max), kWorld, [this] { start_coordinator(); });
}

// The old process keeps its memory and its connections; its volume is mounted elsewhere now, with
// what was not forced lost or not.
void Cluster::make_zombie() {
    if (coordinator_ == nullptr || !coordinator_->is_ready()) return;
    CoordinatorNode* zombie = coordinator_;
    ++crashes_;
    zombie->become_zombie();
    coordinator_ = nullptr;
    disk.crash();
    start_coordinator();
    world.after(world.between(ms(100), seconds(4)), kWorld, [zombie] { zombie->kill(); });
}

void Cluster::restore_log(bool one_away) {
    kill_coordinator(false);
    if (world.tracing()) world.say("nemesis", "the copy of the log is put in its place");
    disk.restore_copy();
    checkers.log_restored();
    heal();
    if (!one_away || participants.size() < 2) return;
    auto away = static_cast<std::uint32_t>(world.rng().below(participants.size()));
    bool is_known_elsewhere = false;
    for (std::uint32_t i = 0; i < participants.size(); ++i) {
        bool has_heard = checkers.heard_by(i) >= checkers.heard_by(away);
        is_known_elsewhere = is_known_elsewhere || (i != away && has_heard);
    }
    if (!is_known_elsewhere) return;
    if (world.tracing()) world.say("nemesis", std::to_string(away) + " is away");
    away_ = address_of(away);
    net.cut(*away_, kCoordinatorAddress);
    net.cut(kCoordinatorAddress, *away_);
}

void Cluster::come_back() {
    if (!away_) return;
    net.mend(*away_, kCoordinatorAddress);
    net.mend(kCoordinatorAddress, *away_);
    away_.reset();
}

void Cluster::restore_log_again() {
    kill_coordinator(false);
    if (world.tracing()) world.say("nemesis", "the copy of the log is put in its place again");
    disk.restore_copy();
    checkers.log_restored();
}

void Cluster::swap_databases(std::uint32_t first, std::uint32_t second) {
    if (world.tracing()) {
        world.say(
            "nemesis",
            "swaps the databases of " + std::to_string(first) + " and " + std::to_string(second));
    }
    participants[first]->kill();
    participants[second]->kill();
    std::uint32_t served = participants[first]->serves();
    participants[first]->serve(participants[second]->serves());
    participants[second]->serve(served);
    participants[first]->start();
    participants[second]->start();
}

CoordinatorNode* Cluster::any_coordinator() {
    if (healed_ || !world.chance(300)) return coordinator_;
    for (const auto& life : lives_) {
        if (life->is_zombie() && life->alive()) return life.get();
    }
    return coordinator_;
}

// Neither does any promise depend on it, nor does anybody know of it.
Time Cluster::clock_rate(Address process) const {
    bool is_odd = process % 2 == 1;
    if (healed_ || !is_odd) return ms(1);
    return options.clock_rate;
}

void Cluster::on_alarm(const std::string& code, const protocol::TxnId& txn) {
    world.reached_if(code == "decision_undelivered", Situation::decision_undelivered_for_long);
    world.mark(8, txn.sequence(), code.size());
    ++alarms_[code];
}

void Cluster::heal() {
    healed_ = true;
    net.calm();
    disk.set_faults(false);
    disk.set_full(false);
    options.nemesis.outage_max = ms(50);
    for (auto& database : databases) {
        database->calm();
        database->restart();
    }
    for (std::uint32_t i = 0; i < participants.size(); ++i) {
        ParticipantNode& participant = *participants[i];
        world.resume(participant.process());
        if (participant.serves() != i) {
            participant.kill();
            participant.serve(i);
        }
        participant.start();
    }
    for (auto& life : lives_) {
        if (life->is_zombie()) life->kill();
        world.resume(life->process());
    }
    if (coordinator_ == nullptr) start_coordinator();
}

void Cluster::random_bytes(std::span<std::uint8_t> out) {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(world.rng().next());
}

}  // namespace twofold::sim
