#include "sim/script.h"

#include "sim/coordinator_node.h"
#include "sim/participant_node.h"

#include <utility>

namespace twofold::sim {

namespace {

Options calm_options(std::uint32_t participants, std::uint64_t outcomes_max) {
    Options options;
    options.outcomes_max = outcomes_max;
    options.seed = 1;
    options.net.delay_min = us(200);
    options.net.delay_max = us(200);
    options.database.latency_min = ms(1);
    options.database.latency_max = ms(1);
    options.disk.force_min = ms(1);
    options.disk.force_max = ms(1);
    options.workload.participants = participants;
    options.info_interval = seconds(30);
    options.in_doubt_age = ms(200);
    options.inquiry_interval = ms(200);
    return options;
}

}  // namespace

Script::Script(std::uint32_t participants, Sabotage sabotage, std::uint64_t outcomes_max)
    : cluster_(calm_options(participants, outcomes_max), sabotage, true), clients_(cluster_) {
    cluster_.world.set_listener([this](const std::string& line) { heard(line); });
    cluster_.disk.set_faults(false);
    cluster_.start();
    run_for(ms(100));
}

void Script::heard(const std::string& line) {
    transcript_ += line + "\n";
    found_ = found_ || (!wanted_.empty() && line.find(wanted_) != std::string::npos);
}

Clients::Operation& Script::transfer() {
    Clients::Operation operation;
    operation.options.deadline = coordinator::Milliseconds(2'000);
    protocol::IdempotencyKey key;
    cluster_.random_bytes(key.key_hash);
    operation.options.idempotency = key;
    for (std::uint32_t i = 0; i < 2; ++i) {
        WorkSpec spec;
        spec.operation = static_cast<std::uint32_t>(clients_.size());
        spec.participant = i;
        spec.changes.push_back({0, i == 0 ? -5 : 5});
        operation.branches.push_back({i, {cluster_.work.add(std::move(spec))}});
    }
    Clients::Operation& added = clients_.add(std::move(operation));
    clients_.begin(added);
    return added;
}

void Script::run_for(Time time) { cluster_.world.run_until(cluster_.world.now() + time); }

bool Script::run_until(std::string_view text) {
    wanted_ = text;
    found_ = false;
    Time limit = cluster_.world.now() + seconds(30);
    while (!found_ && cluster_.world.now() < limit && cluster_.world.step()) {
    }
    wanted_.clear();
    return found_;
}

void Script::note(std::string_view text) { transcript_ += "# " + std::string(text) + "\n"; }

void Script::expect_settled() {
    cluster_.heal();
    run_for(seconds(10));
    if (!clients_.all_done()) cluster_.world.violate("liveness", "a client has no answer");
    if (cluster_.coordinator() == nullptr || !cluster_.coordinator()->idle()) {
        cluster_.world.violate("liveness", "the coordinator has unfinished transactions");
    }
    for (const auto& database : cluster_.databases) {
        if (database->prepared() != 0) {
            cluster_.world.violate("liveness", "a prepared branch is left");
        }
    }
    if (!cluster_.world.violation().has_value()) cluster_.checkers.check_ledger();
}

}  // namespace twofold::sim
