// The configuration of each process as plain types, read and checked before anything is touched.
// docs/configuration.md lists every key.
#pragma once

#include "app/config_reader.h"
#include "base/result.h"
#include "participant/work/catalog.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace twofold::app {

struct NamedAddress {
    std::string name;
    HostPort address;
};

struct CoordinatorConfig {
    HostPort listen{"127.0.0.1", 8420};
    bool insecure_public_bind = false;
    std::string data_dir;
    std::vector<NamedAddress> participants;
    // Hosts, or HOST:PORT, that PUT /v1/participants/{name} may name; none: it is off.
    std::vector<std::string> registration_allow;
    std::chrono::milliseconds deadline_default{30'000};
    std::chrono::milliseconds deadline_max{3'600'000};
    std::chrono::milliseconds retry_min{20};
    std::chrono::milliseconds retry_max{5'000};
    std::chrono::milliseconds undelivered_alarm{60'000};
    std::chrono::milliseconds info_interval{5'000};
    std::chrono::milliseconds drain_limit{10'000};
    std::uint64_t transactions_max = 100'000;
    std::chrono::milliseconds key_retention{3'600'000};
    std::uint64_t keys_max = 4'000'000;
    std::chrono::milliseconds outcome_retention{604'800'000};
    std::uint64_t outcomes_max = 640'000'000;
    std::uint64_t connections_max = 0;  // 0: as many as descriptors are there for
    std::uint64_t body_size_max = 1U << 20U;
    std::uint64_t bodies_size_max = 256U << 20U;
    std::uint64_t work_size_max = 512U << 20U;
    std::uint64_t results_size_max = 256U << 20U;
    std::uint64_t segment_size_bytes = 16U << 20U;
    std::uint64_t checkpoint_bytes = 64U << 20U;
};

struct SqliteConfig {
    std::string path;
    bool create = false;
    bool shared = false;
};

struct PostgresConfig {
    std::string dsn;
    std::uint64_t work_connections = 8;
    std::uint64_t interactive_connections = 16;
    std::uint64_t finish_connections = 8;
    bool witness = false;
    bool allow_superuser = false;
};

struct ParticipantConfig {
    std::string name;
    HostPort listen{"127.0.0.1", 8431};
    bool insecure_public_bind = false;
    std::vector<HostPort> coordinators;
    std::chrono::milliseconds inquiry_interval{5'000};
    std::chrono::milliseconds in_doubt_age{5'000};
    std::chrono::milliseconds drain_limit{10'000};
    std::chrono::milliseconds statement_timeout{30'000};
    std::chrono::milliseconds lock_timeout{5'000};
    bool raw_sql = false;
    participant::work::Catalog statements;  // that clients call by name
    std::uint64_t connections_max = 0;      // 0: as many as descriptors are there for
    std::uint64_t body_size_max = 16U << 20U;
    std::uint64_t bodies_size_max = 256U << 20U;
    std::optional<SqliteConfig> sqlite;
    std::optional<PostgresConfig> postgres;
};

[[nodiscard]] base::Result<CoordinatorConfig> load_coordinator_config(const std::string& path);
[[nodiscard]] base::Result<ParticipantConfig> load_participant_config(const std::string& path);

// True for 127.0.0.0/8, ::1 and localhost.
[[nodiscard]] bool is_loopback(const std::string& host);

}  // namespace twofold::app
