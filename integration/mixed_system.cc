#include "integration/mixed_system.h"

#include "integration/workload.h"

#include <numeric>

namespace twofold::integration {

using base::Errc;
using base::fail;
using base::Result;

Result<std::unique_ptr<MixedSystem>> MixedSystem::create(MixedSystemOptions options) {
    std::unique_ptr<MixedSystem> system(new MixedSystem());
    system->sqlite_ = options.sqlite;
    ClusterSpec spec = std::move(options.spec);
    for (std::size_t index = 0; index < options.sqlite; ++index) {
        spec.participants.push_back({.name = "sqlite" + std::to_string(index + 1)});
    }
    for (std::size_t index = 0; index < options.postgres; ++index) {
        std::string name = "postgres" + std::to_string(index + 1);
        TWOFOLD_TRY(std::unique_ptr<PostgresServer> server, PostgresServer::create());
        TWOFOLD_TRY(std::string dsn, server->create_database(name));
        spec.participants.push_back({.name = name, .postgres_dsn = std::move(dsn)});
        system->servers_.push_back(std::move(server));
    }
    for (std::size_t index = 0; index < options.ports.size(); ++index) {
        if (index < spec.participants.size())
            spec.participants[index].seen_at = options.ports[index];
    }
    TWOFOLD_TRY(system->cluster_, Cluster::create(std::move(spec)));
    if (options.created) options.created(*system->cluster_);
    for (std::size_t index = 0; index < system->cluster_->size(); ++index) {
        TWOFOLD_TRY(create_lists(system->cluster_->database(index)));
    }
    if (!system->cluster_->start_all()) {
        return fail(Errc::unavailable, "not everything started:\n" + system->cluster_->logs());
    }
    return system;
}

std::string MixedSystem::name(const Part& part) const {
    switch (part.kind) {
        case Part::Kind::coordinator: return "the coordinator";
        case Part::Kind::sidecar: return "the sidecar of " + cluster_->spec(part.index).name;
        case Part::Kind::server: break;
    }
    return "the server of " + cluster_->spec(sqlite_ + part.index).name;
}

Process& MixedSystem::process(const Part& part) {
    return part.kind == Part::Kind::coordinator ? cluster_->coordinator()
                                                : cluster_->participant(part.index);
}

bool MixedSystem::running(const Part& part) {
    return part.kind == Part::Kind::server ? servers_[part.index]->running()
                                           : process(part).running();
}

void MixedSystem::kill(const Part& part) {
    if (part.kind == Part::Kind::server) {
        servers_[part.index]->kill();
    } else {
        process(part).kill();
    }
}

void MixedSystem::signal(const Part& part, int number) { process(part).signal(number); }

std::vector<Part> MixedSystem::all_parts() const {
    std::vector<Part> all{{Part::Kind::coordinator, 0}};
    for (std::size_t index : all_participants()) all.push_back({Part::Kind::sidecar, index});
    for (std::size_t index = 0; index < servers_.size(); ++index) {
        all.push_back({Part::Kind::server, index});
    }
    return all;
}

std::string MixedSystem::launch(const Part& part) {
    switch (part.kind) {
        case Part::Kind::coordinator: cluster_->launch_coordinator(); return "";
        case Part::Kind::sidecar: cluster_->launch_participant(part.index); return "";
        case Part::Kind::server: break;
    }
    auto started = servers_[part.index]->start();
    return started.has_value() ? "" : started.error().text();
}

bool MixedSystem::wait_ready(const Part& part) {
    if (part.kind == Part::Kind::server) return servers_[part.index]->running();
    return process(part).wait_for_output(": ready on ", kPatience);
}

std::vector<std::size_t> MixedSystem::all_participants() const {
    std::vector<std::size_t> all(cluster_->size());
    std::iota(all.begin(), all.end(), 0);
    return all;
}

std::vector<std::size_t> MixedSystem::held_up_by(const Part& part) const {
    switch (part.kind) {
        case Part::Kind::coordinator: return all_participants();
        case Part::Kind::sidecar: return {part.index};
        case Part::Kind::server: break;
    }
    return {sqlite_ + part.index};
}

MixedSystem::Prepared MixedSystem::prepared(const std::vector<std::size_t>& participants) {
    Prepared found;
    for (std::size_t index : participants) {
        auto here = cluster_->database(index).prepared_transactions();
        found.complete = found.complete && here.has_value();
        if (!here.has_value()) continue;
        for (const std::string& transaction : here.value()) {
            found.branches.emplace(index, transaction);
        }
    }
    return found;
}

bool MixedSystem::wait_finished(std::set<PreparedBranch> branches) {
    return wait_until([&] {
        Prepared now = prepared(all_participants());
        if (now.complete) {
            std::erase_if(branches,
                          [&](const PreparedBranch& one) { return !now.branches.contains(one); });
        }
        return branches.empty();
    });
}

}  // namespace twofold::integration
