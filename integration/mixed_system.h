// What long runs run on: a coordinator and participants on SQLite files and on PostgreSQL servers
// of our own, each of them a process that can be killed, stopped and started again.
//
// Thread: the main one, as Process.
#pragma once

#include "integration/cluster.h"
#include "integration/postgres_server.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace twofold::integration {

// One of the processes (a server's children belong to it).
struct Part {
    enum class Kind : std::uint8_t { coordinator, sidecar, server };
    Kind kind = Kind::coordinator;
    std::size_t index = 0;  // of the sidecar, or of the server

    auto operator<=>(const Part&) const = default;
};

// A prepared branch: the participant's index and its transaction.
using PreparedBranch = std::pair<std::size_t, std::string>;

struct MixedSystemOptions {
    std::size_t sqlite = 2;
    std::size_t postgres = 2;
    ClusterSpec spec;  // its participants are filled in
    // Where the coordinator sees each participant, SQLite first; empty: directly.
    std::vector<std::uint16_t> ports;
    std::function<void(Cluster&)> created;  // called before anything is started
};

class MixedSystem {
public:
    // Everything is up on return, with an empty bank and empty lists.
    [[nodiscard]] static base::Result<std::unique_ptr<MixedSystem>> create(
        MixedSystemOptions options);

    [[nodiscard]] Cluster& cluster() { return *cluster_; }
    [[nodiscard]] PostgresServer& server(std::size_t index) { return *servers_[index]; }
    [[nodiscard]] std::size_t servers() const { return servers_.size(); }
    [[nodiscard]] std::string name(const Part& part) const;

    [[nodiscard]] bool running(const Part& part);
    void kill(const Part& part);
    void signal(const Part& part, int number);  // not of a server
    [[nodiscard]] std::vector<Part> all_parts() const;
    // Started, ready or not. A server is ready on return; empty: it is well.
    [[nodiscard]] std::string launch(const Part& part);
    [[nodiscard]] bool wait_ready(const Part& part);

    // The participants whose branches nobody can finish while the part is away.
    [[nodiscard]] std::vector<std::size_t> held_up_by(const Part& part) const;
    // The branches that are prepared there. What a database that does not answer holds is not seen:
    // then `complete` is false.
    struct Prepared {
        std::set<PreparedBranch> branches;
        bool complete = true;
    };
    [[nodiscard]] Prepared prepared(const std::vector<std::size_t>& participants);
    [[nodiscard]] std::vector<std::size_t> all_participants() const;
    // Every one of these has been seen not to be prepared any more, in time.
    [[nodiscard]] bool wait_finished(std::set<PreparedBranch> branches);

private:
    MixedSystem() = default;
    [[nodiscard]] Process& process(const Part& part);

    std::size_t sqlite_ = 0;  // participants before this are on SQLite
    std::vector<std::unique_ptr<PostgresServer>> servers_;
    std::unique_ptr<Cluster> cluster_;
};

}  // namespace twofold::integration
