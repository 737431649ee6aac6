#include "integration/cluster.h"

#include "base/log.h"
#include "integration/stall_probe.h"

#include <sys/stat.h>

#include <cstdio>
#include <thread>
#include <utility>

namespace twofold::integration {

namespace {

using base::Result;

std::string url(std::uint16_t port) { return "http://127.0.0.1:" + std::to_string(port); }

std::string listen(std::uint16_t port) {
    return "listen: 127.0.0.1:" + std::to_string(port) + "\n";
}

std::string quoted(std::string_view text) {
    std::string out;
    base::append_json_string(out, text);
    return out;
}

std::string joined(const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) {
        if (!out.empty()) out += ',';
        out += part;
    }
    return out;
}

// PostgreSQL numbers its parameters.
std::string with_placeholders(DatabaseKind kind, std::string_view sql) {
    if (kind == DatabaseKind::sqlite) return std::string(sql);
    std::string out;
    int number = 0;
    for (char c : sql) {
        if (c == '?') {
            out += "$" + std::to_string(++number);
        } else {
            out += c;
        }
    }
    return out;
}

}  // namespace

bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
    auto give_up = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= give_up) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

std::string statement_json(DatabaseKind kind,
                           std::string_view sql,
                           std::string_view params_json,
                           std::optional<int> expected_rows) {
    std::string out = "{\"sql\":" + quoted(with_placeholders(kind, sql));
    if (params_json != "[]") out += ",\"params\":" + std::string(params_json);
    if (expected_rows) out += ",\"expect\":{\"rows\":" + std::to_string(*expected_rows) + "}";
    return out + "}";
}

std::string branch_json(std::string_view participant,
                        const std::vector<std::string>& statements,
                        std::string_view more_members) {
    return "{\"participant\":" + quoted(participant) + ",\"work\":[" + joined(statements) + "]" +
           std::string(more_members) + "}";
}

std::string transaction_json(const std::vector<std::string>& branches,
                             std::string_view more_members) {
    return "{\"branches\":[" + joined(branches) + "]" + std::string(more_members) + "}";
}

Result<std::unique_ptr<Cluster>> Cluster::create(ClusterSpec spec) {
    std::unique_ptr<Cluster> cluster(new Cluster());
    TWOFOLD_TRY(TempDir dir, TempDir::create("twofold-it"));
    cluster->dir_ = std::move(dir);
    cluster->spec_ = std::move(spec);
    cluster->coordinator_port_ = free_port();
    cluster->coordinator_config_ = cluster->directory() + "/coordinator.yaml";
    cluster->nodes_.resize(cluster->spec_.participants.size());
    for (std::size_t index = 0; index < cluster->size(); ++index) {
        TWOFOLD_TRY(cluster->prepare_node(index));
    }
    cluster->write_coordinator_config();
    return cluster;
}

Cluster::~Cluster() { stop_all(); }

Result<void> Cluster::prepare_node(std::size_t index) {
    const ParticipantSpec& wanted = spec_.participants[index];
    Node& node = nodes_[index];
    node.port = free_port();
    node.config = directory() + "/" + wanted.name + ".yaml";
    node.output = directory() + "/" + wanted.name + ".log";
    bool is_sqlite = wanted.postgres_dsn.empty();
    node.database =
        is_sqlite ? open_sqlite(sqlite_path(index)) : open_postgres(wanted.postgres_dsn);
    if (wanted.with_bank) {
        TWOFOLD_TRY(create_bank(*node.database, kAccounts, kBalance));
    }
    // A file that others may read or write is refused by the participant.
    if (is_sqlite) chmod(sqlite_path(index).c_str(), 0600);
    write_participant_config(index);
    return base::ok();
}

std::string Cluster::sqlite_path(std::size_t index) const {
    return directory() + "/" + spec_.participants[index].name + ".db";
}

void Cluster::write_coordinator_config() {
    std::string text = listen(coordinator_port_) + "data_dir: " + log_directory() + "\n";
    text += "participants:\n";
    for (std::size_t index = 0; index < size(); ++index) {
        const ParticipantSpec& one = spec_.participants[index];
        std::uint16_t port = one.seen_at != 0 ? one.seen_at : nodes_[index].port;
        text += "  - name: " + one.name + "\n    url: " + url(port) + "\n";
    }
    for (const OtherParticipant& other : spec_.others) {
        text += "  - name: " + other.name + "\n    url: " + url(other.port) + "\n";
    }
    text += "deadline_default: " + spec_.deadline_default + "\n";
    text += "retry_max: " + spec_.retry_max + "\ninfo_interval: " + spec_.info_interval + "\n";
    if (!spec_.log_yaml.empty()) text += "log: " + spec_.log_yaml + "\n";
    write_file(coordinator_config_, text + spec_.coordinator_yaml);
}

void Cluster::write_participant_config(std::size_t index) {
    const ParticipantSpec& wanted = spec_.participants[index];
    std::string text = "name: " + wanted.name + "\n" + listen(nodes_[index].port);
    std::uint16_t seen_at = spec_.coordinator_seen_at;
    text += "coordinators: [" + url(seen_at != 0 ? seen_at : coordinator_port_) + "]\n";
    text += "inquiry_interval: " + spec_.inquiry + "\nin_doubt_age: " + spec_.inquiry + "\n";
    text += "raw_sql: true\n";
    text +=
        "statements:\n"
        "  record:\n"
        "    sql: \"INSERT INTO ledger (ref, amount) VALUES (:ref, :amount)\"\n"
        "    params: {ref: text, amount: integer}\n"
        "    expect_rows: 1\n";
    if (wanted.postgres_dsn.empty()) {
        text += "sqlite: { path: " + sqlite_path(index) + ", create: true, shared: false }\n";
    } else {
        text += "postgres: { dsn: \"" + wanted.postgres_dsn + "\", work_connections: 4 }\n";
    }
    write_file(nodes_[index].config, text + wanted.extra_yaml);
}

Process Cluster::launch(const std::string& role,
                        const std::string& config,
                        const std::string& output,
                        const Environment& environment) {
    auto started = Process::start({.program = sibling_program("twofold"),
                                   .arguments = {role, "--config", config},
                                   .environment = environment,
                                   .output_path = output});
    return started.has_value() ? std::move(started.value()) : Process();
}

void Cluster::launch_coordinator(const Environment& environment) {
    coordinator_.kill();
    coordinator_ =
        launch("coordinator", coordinator_config_, directory() + "/coordinator.log", environment);
    // Not the old client: its idle connections belong to the process that is gone.
    client_ = std::make_unique<RestClient>(coordinator_port_);
}

void Cluster::launch_participant(std::size_t index, const Environment& environment) {
    Node& node = nodes_[index];
    node.process.kill();
    node.process = launch("participant", node.config, node.output, environment);
    node.client = std::make_unique<RestClient>(node.port);
}

bool Cluster::start_coordinator(const Environment& environment) {
    launch_coordinator(environment);
    return coordinator_.wait_for_output(": ready on ", kPatience);
}

bool Cluster::start_participant(std::size_t index, const Environment& environment) {
    launch_participant(index, environment);
    return nodes_[index].process.wait_for_output(": ready on ", kPatience);
}

bool Cluster::start_all() {
    for (std::size_t index = 0; index < size(); ++index) launch_participant(index);
    launch_coordinator();
    for (Node& node : nodes_) {
        if (!node.process.wait_for_output(": ready on ", kPatience)) return false;
    }
    return coordinator_.wait_for_output(": ready on ", kPatience) && wait_participants_up();
}

bool Cluster::wait_participants_up() {
    bool up = false;
    static_cast<void>(wait_until([this, &up] {
        if (!coordinator_.running()) return true;  // it died: no use in waiting
        RestReply reply = client().get("/v1/participants");
        const auto* list = reply.at("participants").if_array();
        std::size_t expected = size() + spec_.others.size();
        if (reply.status != 200 || list == nullptr || list->size() != expected) return false;
        for (std::size_t index = 0; index < expected; ++index) {
            std::string place = "participants." + std::to_string(index);
            if (reply.text_at(place + ".up") != "true") return false;
            if (!reply.text_at(place + ".problem").empty()) return false;
            // Without a number it cannot take part yet.
            if (reply.text_at(place + ".number") == "0") return false;
        }
        up = true;
        return true;
    }));
    return up;
}

void Cluster::stop_all() {
    coordinator_.kill();
    for (Node& node : nodes_) node.process.kill();
}

std::string Cluster::next_reference() { return "t" + std::to_string(++references_); }

std::string Cluster::transfer_body(const Transfer& transfer) const {
    auto branch = [this, &transfer](std::size_t index, int account, int amount) {
        DatabaseKind kind = nodes_[index].database->kind();
        std::string number = std::to_string(amount);
        return branch_json(spec_.participants[index].name,
                           {statement_json(kind,
                                           "UPDATE accounts SET balance = balance + ? WHERE id = ?",
                                           "[" + number + "," + std::to_string(account) + "]",
                                           1),
                            R"({"statement":"record","params":{"ref":)" +
                                quoted(transfer.reference) + ",\"amount\":" + number + "}}"});
    };
    std::string more;
    if (transfer.deadline_ms != 0) {
        more = ",\"deadline_ms\":" + std::to_string(transfer.deadline_ms);
    }
    return transaction_json({branch(transfer.from, transfer.from_account, -transfer.amount),
                             branch(transfer.to, transfer.to_account, transfer.amount)},
                            more);
}

RestReply Cluster::transfer(Transfer transfer) {
    if (transfer.reference.empty()) transfer.reference = next_reference();
    return submit(transfer_body(transfer));
}

RestReply Cluster::submit(const std::string& body) {
    StallProbe& probe = StallProbe::instance();
    auto begin = std::chrono::steady_clock::now();
    RestReply reply = client().post("/v1/transactions", body, {.deadline = kPatience});
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    // No failure, because machines may be slow; but somebody may wonder where the time went.
    if (took > std::chrono::seconds(5)) {
        std::fprintf(stderr,
                     "slow answer, %.1f s (%s): %s\n",
                     took.count(),
                     probe.since(begin).text().c_str(),
                     reply.summary().c_str());
    }
    return reply;
}

std::int64_t Cluster::expected_sum() const {
    std::int64_t banks = 0;
    for (const ParticipantSpec& participant : spec_.participants) {
        banks += participant.with_bank ? 1 : 0;
    }
    return banks * kAccounts * kBalance;
}

std::optional<std::int64_t> Cluster::balance_sum() {
    std::int64_t sum = 0;
    for (std::size_t index = 0; index < size(); ++index) {
        if (!spec(index).with_bank) continue;
        auto part = bank_sum(database(index));
        if (!part.has_value()) return std::nullopt;
        sum += part.value();
    }
    return sum;
}

std::optional<std::int64_t> Cluster::balance(std::size_t index, int account) {
    auto amount = account_balance(database(index), account);
    if (!amount.has_value()) return std::nullopt;
    return amount.value();
}

std::optional<std::int64_t> Cluster::prepared_left() {
    std::int64_t count = 0;
    for (Node& node : nodes_) {
        auto part = node.database->prepared_count();
        if (!part.has_value()) return std::nullopt;
        count += part.value();
    }
    return count;
}

std::string Cluster::logs(std::size_t lines) const {
    std::string text = "---- coordinator\n" + coordinator_.output_tail(lines);
    for (std::size_t index = 0; index < size(); ++index) {
        text += "---- participant " + spec_.participants[index].name + "\n" +
                nodes_[index].process.output_tail(lines);
    }
    return text;
}

}  // namespace twofold::integration
