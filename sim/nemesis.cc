#include "sim/nemesis.h"

#include "sim/coordinator_node.h"
#include "sim/participant_node.h"

#include <algorithm>
#include <utility>

namespace twofold::sim {

Nemesis::Nemesis(Cluster& cluster) : cluster_(cluster), world_(cluster.world) {
    const NemesisOptions& options = cluster.options.nemesis;
    auto add = [this](bool on, std::function<void()> fault) {
        if (on) faults_.push_back(std::move(fault));
    };
    add(options.kill_coordinator, [this] { cluster_.kill_coordinator(false); });
    add(options.power_loss, [this] { cluster_.kill_coordinator(true); });
    add(options.kill_participant, [this] { kill_participant(); });
    add(options.crash_database, [this] { crash_database(); });
    add(options.pause, [this] { pause(); });
    add(options.partition, [this] { cut(true); });
    add(options.one_way_partition, [this] { cut(false); });
    add(options.zombie, [this] { cluster_.make_zombie(); });
    add(options.disk_full, [this] { fill_disk(); });
    add(options.heuristics, [this] { operator_acts(); });
    add(options.swap_databases && cluster.databases.size() > 1, [this] { swap_databases(); });
    add(options.restore_database, [this] { restore_database(); });
    add(options.restore_log, [this] { restore_log(); });
    add(options.foreign_server, [this] { add_foreign_server(); });
    add(options.flip_bit, [this] { flip_bit(); });
    add(options.forge, [this] { forge(); });
}

void Nemesis::start() {
    if (faults_.empty() || cluster_.options.nemesis.interval == 0) return;
    strike_later();
    // Once for sure, and early: much must happen before what the backup holds is forgotten.
    if (!cluster_.options.nemesis.restore_database) return;
    world_.after(world_.between(ms(1), ms(300)), kWorld, [this] { restore_database(); });
}

void Nemesis::strike_later() {
    Time mean = cluster_.options.nemesis.interval;
    world_.after(world_.between(mean / 8, mean * 2), kWorld, [this] {
        if (stopped_) return;
        faults_[world_.rng().below(faults_.size())]();
        strike_later();
    });
}

// Short ones are as dangerous as long ones: then much of the old world is still alive.
Time Nemesis::outage() {
    Time most =
        std::max<Time>(cluster_.options.nemesis.outage_max >> world_.rng().below(10), ms(2));
    return world_.between(ms(1), most);
}

std::uint32_t Nemesis::some_participant() {
    return static_cast<std::uint32_t>(world_.rng().below(cluster_.participants.size()));
}

void Nemesis::kill_participant() {
    ParticipantNode& node = *cluster_.participants[some_participant()];
    if (!node.alive()) return;
    cluster_.count_crash();
    node.kill();
    world_.after(outage(), kWorld, [&node] { node.start(); });
}

void Nemesis::crash_database() {
    ModelDatabase& database = *cluster_.databases[some_participant()];
    if (!database.up()) return;
    cluster_.count_crash();
    database.crash();
    world_.after(outage(), kWorld, [&database] { database.restart(); });
}

void Nemesis::pause() {
    ProcessId process = cluster_.participants[some_participant()]->process();
    Situation situation = Situation::participant_stands_still;
    if (world_.chance(500)) {
        if (cluster_.coordinator() == nullptr) return;
        process = cluster_.coordinator()->process();
        situation = Situation::coordinator_stands_still;
    }
    if (!world_.alive(process)) return;
    if (world_.tracing()) world_.say("nemesis", "a process stands still");
    world_.pause(process);
    world_.after(world_.between(ms(10), seconds(3)), kWorld, [this, process, situation] {
        world_.reached_if(world_.resume(process), situation);
    });
}

void Nemesis::cut(bool both_ways) {
    Address one = world_.chance(200) ? kClients : Cluster::address_of(some_participant());
    Address other = kCoordinatorAddress;
    if (world_.chance(500)) std::swap(one, other);
    if (world_.tracing()) {
        world_.say(
            "nemesis",
            "cuts " + std::to_string(one) + (both_ways ? " <-> " : " -> ") + std::to_string(other));
    }
    cluster_.net.cut(one, other);
    if (both_ways) cluster_.net.cut(other, one);
    world_.after(outage() * 2, kWorld, [this, one, other] {
        cluster_.net.mend(one, other);
        cluster_.net.mend(other, one);
    });
}

void Nemesis::fill_disk() {
    cluster_.disk.set_full(true);
    if (world_.tracing()) world_.say("nemesis", "fills the disk");
    world_.after(outage(), kWorld, [this] { cluster_.disk.set_full(false); });
}

void Nemesis::operator_acts() {
    auto first = some_participant();
    cluster_.checkers.operator_acts(true);
    for (std::size_t i = 0; i < cluster_.databases.size(); ++i) {
        auto& database = *cluster_.databases[(first + i) % cluster_.databases.size()];
        if (database.finish_by_hand(world_.chance(500))) break;
    }
    cluster_.checkers.operator_acts(false);
}

// Two addresses are mixed up: each sidecar comes up in front of the other's database.
void Nemesis::swap_databases() {
    auto first = some_participant();
    auto second = static_cast<std::uint32_t>((first + 1) % cluster_.participants.size());
    cluster_.count_crash();
    cluster_.swap_databases(first, second);
    world_.after(outage() * 2, kWorld, [this, first, second] {
        if (!cluster_.healed()) cluster_.swap_databases(first, second);
    });
}

// A backup is taken while a branch is prepared if one is soon; some time later it replaces the
// database.
void Nemesis::restore_database() { restore_database(some_participant(), 200); }

void Nemesis::restore_database(std::uint32_t index, std::uint32_t waits) {
    if (cluster_.databases[index]->prepared() == 0 && waits != 0) {
        world_.after(ms(1), kWorld, [this, index, waits] {
            if (!stopped_) restore_database(index, waits - 1);
        });
        return;
    }
    cluster_.databases[index]->take_backup();
    world_.after(world_.between(ms(20), ms(1'500)), kWorld, [this, index] {
        if (stopped_) return;
        cluster_.count_crash();
        cluster_.participants[index]->kill();
        cluster_.databases[index]->crash();
        cluster_.databases[index]->restore_backup();
        cluster_.checkers.database_restored();
        cluster_.databases[index]->restart();
        cluster_.participants[index]->start();
    });
}

// The files of the log are copied, while a branch is prepared if one is soon, and some time later,
// after more or fewer starts, the copy replaces them: while a commit is on its way if one is soon.
// Who has heard of what came in between can be reached then.
void Nemesis::restore_log() {
    if (!std::exchange(copies_log_, true)) copy_log(200);
}

void Nemesis::copy_log(std::uint32_t waits) {
    // Without a log there is nothing to restore: the next start would be another coordinator.
    bool has_log = cluster_.coordinator() != nullptr && cluster_.coordinator()->is_ready();
    bool prepared = std::ranges::any_of(
        cluster_.databases, [](const auto& database) { return database->prepared() != 0; });
    if (stopped_) return;
    if (!has_log || (!prepared && waits != 0)) {
        world_.after(ms(1), kWorld, [this, waits] { copy_log(waits == 0 ? 0 : waits - 1); });
        return;
    }
    cluster_.disk.take_copy();
    if (world_.tracing()) world_.say("nemesis", "the log is copied");
    Time later =
        world_.chance(500) ? world_.between(us(500), ms(20)) : world_.between(ms(20), ms(1'500));
    world_.after(later, kWorld, [this] { put_copy_back(200); });
}

void Nemesis::put_copy_back(std::uint32_t waits) {
    if (stopped_) return;
    if (!cluster_.checkers.is_commit_under_way() && waits != 0) {
        world_.after(ms(1), kWorld, [this, waits] { put_copy_back(waits - 1); });
        return;
    }
    stopped_ = true;
    cluster_.restore_log(cluster_.options.nemesis.one_away);
}

// Somebody adds a foreign server to a database, and takes it away again.
void Nemesis::add_foreign_server() {
    ModelDatabase& database = *cluster_.databases[some_participant()];
    database.offer_one_phase(false);
    world_.after(
        world_.between(ms(20), ms(1'500)), kWorld, [&database] { database.offer_one_phase(true); });
}

// While nobody has the log open. Without a power cut: then the mark of what is durable is exact.
void Nemesis::flip_bit() {
    if (cluster_.coordinator() == nullptr || !cluster_.coordinator()->is_ready()) return;
    cluster_.kill_coordinator(false);
    (void)cluster_.disk.flip_bit();
}

// Somebody who has read what was sent says the opposite of it, when it is over.
void Nemesis::forge() {
    const auto& decisions = cluster_.checkers.decisions_sent();
    if (decisions.empty()) return;
    const protocol::BatchRequest& sent = decisions[world_.rng().below(decisions.size())];
    protocol::Item item = sent.items.front();
    if (!cluster_.checkers.is_over(item.key)) return;
    if (world_.chance(300)) {
        item.op = protocol::ItemOp::commit;
        item.key.branch = 99;
        item.proof.reset();
        return deliver(sent, item);
    }
    if (!item.proof.has_value()) return;
    bool is_commit = item.op == protocol::ItemOp::commit;
    item.op = is_commit ? protocol::ItemOp::abort : protocol::ItemOp::commit;
    deliver(sent, item);
}

void Nemesis::deliver(const protocol::BatchRequest& batch, const protocol::Item& item) {
    protocol::BatchRequest forged = batch;
    forged.items = {item};
    for (const auto& participant : cluster_.participants) {
        const ModelDatabase& database = *cluster_.databases[participant->serves()];
        if (database.uuid() != batch.participant || !participant->alive()) continue;
        if (world_.tracing())
            world_.say("nemesis", "forges a message about " + short_text(item.key));
        world_.after(us(1), participant->process(), [forged, node = participant.get()] {
            node->receive_batch(forged, [](const protocol::ItemResult&) {});
        });
        return;
    }
}

}  // namespace twofold::sim
