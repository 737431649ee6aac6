#include "app/configs.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <utility>

namespace twofold::app {

namespace {

using base::Result;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr std::uint64_t kMemoryMax = 1ULL << 40U;

// A name that people can type into a URL and a label.
bool is_name(const std::string& name) {
    // A path cannot have the segments "." and "..".
    bool fits = !name.empty() && name.size() <= 64 && name.front() != '.';
    return fits && std::ranges::all_of(name, [](unsigned char c) {
               return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
           });
}

HostPort read_listen(ConfigReader& in, const HostPort& fallback) {
    std::string text = in.text("listen", fallback.host + ":" + std::to_string(fallback.port));
    auto parsed = parse_host_port(text);
    if (parsed.has_value()) return parsed.value();
    in.fail("listen", parsed.error().context);
    return fallback;
}

// At least one body must fit, with its buffer.
std::uint64_t read_bodies_size_max(ConfigReader& in, std::uint64_t fallback, std::uint64_t body) {
    std::uint64_t lowest = 2 * body + (1U << 20U);
    return in.integer("bodies_size_max", std::max(fallback, lowest), lowest, kMemoryMax);
}

void check_bind(ConfigReader& in, const HostPort& listen, bool insecure) {
    if (is_loopback(listen.host) || insecure) return;
    in.fail("listen",
            "\"" + listen.host +
                "\" is not a loopback address, and there is no TLS and no authentication yet: "
                "everybody who reaches this port could change your data. Listen on 127.0.0.1, or "
                "set insecure_public_bind: true when the network itself is closed");
}

std::vector<NamedAddress> read_participants(ConfigReader& in) {
    std::vector<NamedAddress> out;
    for (const auto& [name, url] : in.named_urls("participants")) {
        auto address = parse_http_url(url);
        if (!is_name(name)) {
            in.fail(
                "participants",
                "\"" + name + "\" must be 1 to 64 of A-Z a-z 0-9 - _ ., not beginning with a dot");
        } else if (!address.has_value()) {
            in.fail("participants", address.error().context);
        } else if (std::ranges::find(out, name, &NamedAddress::name) != out.end()) {
            in.fail("participants", "\"" + name + "\" is there twice");
        } else {
            out.push_back({name, address.value()});
        }
    }
    return out;
}

SqliteConfig read_sqlite(ConfigReader& in) {
    SqliteConfig out;
    out.path = in.required_text("sqlite.path", "/var/lib/twofold/orders.db");
    out.create = in.boolean("sqlite.create", out.create);
    out.shared = in.boolean("sqlite.shared", out.shared);
    return out;
}

PostgresConfig read_postgres(ConfigReader& in) {
    PostgresConfig out;
    out.dsn = in.secret("postgres.dsn");
    if (out.dsn.empty()) {
        in.fail("postgres.dsn",
                "is required, for example \"host=127.0.0.1 dbname=orders user=app\"");
    }
    out.work_connections = in.integer("postgres.work_connections", out.work_connections, 1, 64);
    out.interactive_connections =
        in.integer("postgres.interactive_connections", out.interactive_connections, 1, 512);
    out.finish_connections =
        in.integer("postgres.finish_connections", out.finish_connections, 1, 16);
    out.witness = in.boolean("postgres.witness", out.witness);
    out.allow_superuser = in.boolean("postgres.allow_superuser", out.allow_superuser);
    return out;
}

participant::work::StatementText read_statement(ConfigReader& in, const std::string& key) {
    participant::work::StatementText out;
    out.sql = in.required_text(key + ".sql", "\"SELECT balance FROM account WHERE id = :id\"");
    for (const std::string& name : in.names(key + ".params")) {
        out.params.emplace_back(name, in.text(key + ".params." + name, ""));
    }
    if (in.has(key + ".expect_rows")) {
        out.expect_rows = in.integer(key + ".expect_rows", 0, 0, UINT32_MAX);
    }
    return out;
}

void read_statements(ConfigReader& in,
                     const participant::work::SqlDialect& dialect,
                     participant::work::Catalog& catalog) {
    for (const std::string& name : in.names("statements")) {
        if (!is_name(name) || name.find('.') != std::string::npos) {
            in.fail("statements", "\"" + name + "\" must be 1 to 64 of A-Z a-z 0-9 - _");
            continue;
        }
        std::string key = "statements." + name;
        const participant::work::StatementText text = read_statement(in, key);
        if (text.sql.empty()) continue;  // was said
        auto compiled = participant::work::compile(text, dialect);
        if (!compiled.has_value()) {
            in.fail(key, compiled.error().context);
            continue;
        }
        catalog[name] = std::move(compiled.value());
    }
}

void read_coordinators(ConfigReader& in, ParticipantConfig& out) {
    for (const std::string& url : in.list("coordinators")) {
        auto address = parse_http_url(url);
        if (address.has_value()) {
            out.coordinators.push_back(address.value());
        } else {
            in.fail("coordinators", address.error().context);
        }
    }
    if (out.coordinators.empty()) {
        in.fail("coordinators",
                "is required: without a coordinator to ask, prepared branches would stay for ever. "
                "For example [http://127.0.0.1:8420]");
    }
}

std::vector<std::string> read_registration_allow(ConfigReader& in) {
    std::vector<std::string> out;
    for (std::string& one : in.list("registration_allow")) {
        bool has_port = one.find(':') != std::string::npos;
        auto address = parse_host_port(has_port ? one : one + ":1");
        if (one.empty() || one.find('/') != std::string::npos || !address.has_value()) {
            in.fail("registration_allow",
                    "\"" + one + "\" must be a host or HOST:PORT, for example [127.0.0.1]");
            continue;
        }
        out.push_back(std::move(one));
    }
    return out;
}

}  // namespace

bool is_loopback(const std::string& host) {
    return host.starts_with("127.") || host == "::1" || host == "localhost";
}

Result<CoordinatorConfig> load_coordinator_config(const std::string& path) {
    TWOFOLD_TRY(ConfigReader in, ConfigReader::load(path));
    CoordinatorConfig out;
    out.listen = read_listen(in, out.listen);
    out.insecure_public_bind = in.boolean("insecure_public_bind", false);
    check_bind(in, out.listen, out.insecure_public_bind);
    out.data_dir = in.required_text("data_dir", "/var/lib/twofold");
    out.participants = read_participants(in);
    out.registration_allow = read_registration_allow(in);
    out.deadline_default = in.duration("deadline_default", out.deadline_default, 1ms, 1h);
    out.deadline_max = in.duration("deadline_max", out.deadline_max, 1ms, 24h);
    out.retry_min = in.duration("retry_min", out.retry_min, 1ms, 1min);
    out.retry_max = in.duration("retry_max", out.retry_max, out.retry_min, 10min);
    out.undelivered_alarm = in.duration("undelivered_alarm", out.undelivered_alarm, 0ms, 24h);
    out.info_interval = in.duration("info_interval", out.info_interval, 50ms, 1h);
    out.drain_limit = in.duration("drain_limit", out.drain_limit, 0ms, 1h);
    out.transactions_max = in.integer("transactions_max", out.transactions_max, 1, 10'000'000);
    out.key_retention = in.duration("key_retention", out.key_retention, 1s, 168h);
    out.keys_max = in.integer("keys_max", out.keys_max, 1, 100'000'000);
    out.outcome_retention = in.duration("outcome_retention", out.outcome_retention, 1s, 8760h);
    out.outcomes_max = in.integer("outcomes_max", out.outcomes_max, 1'000, 10'000'000'000);
    out.connections_max = in.integer("connections_max", out.connections_max, 0, 1'000'000);
    out.body_size_max = in.integer("body_size_max", out.body_size_max, 1024, 64U << 20U);
    out.bodies_size_max = read_bodies_size_max(in, out.bodies_size_max, out.body_size_max);
    // At least one request must fit.
    out.work_size_max =
        in.integer("work_size_max", out.work_size_max, out.body_size_max, kMemoryMax);
    out.results_size_max = in.integer("results_size_max", out.results_size_max, 0, kMemoryMax);
    out.segment_size_bytes =
        in.integer("log.segment_size_bytes", out.segment_size_bytes, 64U << 10U, 1U << 30U);
    out.checkpoint_bytes =
        in.integer("log.checkpoint_bytes", out.checkpoint_bytes, 64U << 10U, 1ULL << 40U);
    if (out.segment_size_bytes % 4096 != 0) {
        in.fail("log.segment_size_bytes", "must be a multiple of 4096");
    }
    TWOFOLD_TRY(in.finish());
    return out;
}

Result<ParticipantConfig> load_participant_config(const std::string& path) {
    TWOFOLD_TRY(ConfigReader in, ConfigReader::load(path));
    ParticipantConfig out;
    out.name = in.required_text("name", "orders");
    if (!is_name(out.name)) {
        in.fail("name", "must be 1 to 64 of A-Z a-z 0-9 - _ ., not beginning with a dot");
    }
    out.listen = read_listen(in, out.listen);
    out.insecure_public_bind = in.boolean("insecure_public_bind", false);
    check_bind(in, out.listen, out.insecure_public_bind);
    read_coordinators(in, out);
    out.inquiry_interval = in.duration("inquiry_interval", out.inquiry_interval, 20ms, 1h);
    out.in_doubt_age = in.duration("in_doubt_age", out.in_doubt_age, 0ms, 1h);
    out.drain_limit = in.duration("drain_limit", out.drain_limit, 0ms, 1h);
    out.statement_timeout = in.duration("statement_timeout", out.statement_timeout, 1ms, 24h);
    out.lock_timeout = in.duration("lock_timeout", out.lock_timeout, 1ms, 24h);
    out.raw_sql = in.boolean("raw_sql", out.raw_sql);
    out.connections_max = in.integer("connections_max", out.connections_max, 0, 1'000'000);
    out.body_size_max = in.integer("body_size_max", out.body_size_max, 1024, 256U << 20U);
    out.bodies_size_max = read_bodies_size_max(in, out.bodies_size_max, out.body_size_max);
    bool sqlite = in.has("sqlite") || in.has("sqlite.path");
    bool postgres = in.has("postgres") || in.has("postgres.dsn") || in.has("postgres.dsn_file");
    if (sqlite == postgres) {
        in.fail(sqlite ? "sqlite" : "name",
                "exactly one of the sections \"sqlite\" and \"postgres\" must be there");
    }
    if (sqlite) out.sqlite = read_sqlite(in);
    if (postgres) out.postgres = read_postgres(in);
    read_statements(in,
                    postgres ? participant::work::kPostgresSql : participant::work::kSqliteSql,
                    out.statements);
    TWOFOLD_TRY(in.finish());
    return out;
}

}  // namespace twofold::app
