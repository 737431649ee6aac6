#include "integration/workload.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <random>
#include <utility>

namespace twofold::integration {

namespace {

using std::chrono::milliseconds;

// While somebody is away, trying again at once would only make noise.
constexpr milliseconds kPauseWithoutServer{30};
constexpr milliseconds kPauseOfRepetition{50};
constexpr int kAskAgainEvery = 16;
constexpr int kOverdraftEvery = 20;
constexpr int kAppendsPerList = 32;

std::uint64_t number_in(std::string_view text) {
    std::uint64_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

// "12,17,9," as count and last value.
ListRead read_of(std::string_view items) {
    ListRead read;
    read.count = static_cast<std::uint32_t>(std::ranges::count(items, ','));
    if (read.count == 0) return read;
    items.remove_suffix(1);
    std::size_t comma = items.rfind(',');
    read.last = number_in(comma == std::string_view::npos ? items : items.substr(comma + 1));
    return read;
}

}  // namespace

base::Result<void> create_lists(Database& database) {
    std::string rows;
    for (int list = 0; list < kLists; ++list) {
        rows += (list > 0 ? ",(" : "(") + std::to_string(list) + ",'')";
    }
    auto made = database.query(
        "CREATE TABLE lists (id INTEGER NOT NULL PRIMARY KEY, items TEXT NOT NULL);"
        "INSERT INTO lists VALUES " +
        rows);
    if (!made.has_value()) return made.error();
    return base::ok();
}

struct Workload::Client {
    explicit Client(std::uint16_t port, std::uint64_t seed) : rest(port), random(seed) {}

    int up_to(int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(random); }

    RestClient rest;
    std::mt19937_64 random;
    std::vector<Deed> deeds;
};

Workload::Workload(const Cluster& cluster, WorkloadOptions options)
    : cluster_(cluster), options_(options) {
    for (int client = 0; client < options_.clients; ++client) {
        clients_.push_back(std::make_unique<Client>(
            cluster_.coordinator_port(), options_.seed * 1000 + static_cast<unsigned>(client)));
    }
    for (auto& client : clients_) {
        threads_.emplace_back([this, one = client.get()] { run(*one); });
    }
}

Workload::~Workload() { std::ignore = stop(); }

void Workload::run(Client& client) {
    for (int turn = 1; !stopping_; ++turn) {
        Deed deed = invent(client);
        perform(client, deed);
        switch (deed.told) {
            case Verdict::committed: ++committed_; break;
            case Verdict::aborted: ++aborted_; break;
            case Verdict::unknown: ++unanswered_; break;
        }
        client.deeds.push_back(std::move(deed));
        if (turn % kAskAgainEvery == 0) ask_again(client);
    }
}

Deed Workload::invent(Client& client) {
    Deed deed;
    deed.number = next_number_++;
    deed.append = client.up_to(100) < options_.append_percent;
    int size = static_cast<int>(cluster_.size());
    deed.from = static_cast<std::uint32_t>(client.up_to(size));
    deed.to = (deed.from + 1 + static_cast<std::uint32_t>(client.up_to(size - 1))) %
              static_cast<std::uint32_t>(size);
    if (!deed.append) {
        deed.amount = client.up_to(kOverdraftEvery) == 0 ? 1'000'000 : 1 + client.up_to(5);
        return deed;
    }
    deed.databases = 1U << deed.from | 1U << deed.to;
    if (client.up_to(3) == 0) deed.databases = (1U << cluster_.size()) - 1;
    deed.list = static_cast<int>(
        (deed.number / kAppendsPerList + static_cast<unsigned>(client.up_to(3))) % kLists);
    return deed;
}

std::string Workload::append_branch(const Deed& deed, std::size_t index, int read) const {
    DatabaseKind kind =
        cluster_.spec(index).postgres_dsn.empty() ? DatabaseKind::sqlite : DatabaseKind::postgres;
    return branch_json(cluster_.spec(index).name,
                       {statement_json(kind,
                                       "UPDATE lists SET items = items || ? WHERE id = ?",
                                       "[\"" + std::to_string(deed.number) + ",\"," +
                                           std::to_string(deed.list) + "]",
                                       1),
                        statement_json(kind,
                                       "SELECT id, items FROM lists WHERE id = ?",
                                       "[" + std::to_string(read) + "]",
                                       1)});
}

std::string Workload::body_of(const Deed& deed, Client& client) const {
    if (!deed.append) {
        return cluster_.transfer_body({.from = deed.from,
                                       .to = deed.to,
                                       .from_account = 1 + client.up_to(kAccounts),
                                       .to_account = 1 + client.up_to(kAccounts),
                                       .amount = deed.amount,
                                       .reference = std::to_string(deed.number),
                                       .deadline_ms = options_.deadline_ms});
    }
    std::vector<std::string> branches;
    for (std::size_t index = 0; index < cluster_.size(); ++index) {
        if ((deed.databases >> index & 1U) == 0) continue;
        // A neighbour, which others append to at this moment.
        int read = (deed.list + 1 + client.up_to(2)) % kLists;
        branches.push_back(append_branch(deed, index, read));
    }
    return transaction_json(branches, ",\"deadline_ms\":" + std::to_string(options_.deadline_ms));
}

void Workload::perform(Client& client, Deed& deed) {
    bool keyed = client.up_to(100) < options_.keyed_percent;
    RestOptions call{.deadline = std::chrono::seconds(10)};
    // Not the same for two runs on one log.
    if (keyed) {
        call.headers.emplace_back("Idempotency-Key", "run-" + std::to_string(deed.number));
    }
    std::string body = body_of(deed, client);
    while (true) {
        RestReply reply = client.rest.post("/v1/transactions", body, call);
        bool answered = take_answer(deed, reply, keyed);
        bool away = reply.status == 0 || reply.status == 503 || reply.status == 408;
        if (away) std::this_thread::sleep_for(keyed ? kPauseOfRepetition : kPauseWithoutServer);
        if (answered || !keyed || stopping_) return;
    }
}

bool Workload::take_answer(Deed& deed, const RestReply& reply, bool keyed) {
    std::string code = reply.text_at("code");
    bool begun_before =
        code == "cannot_tell" || code == "key_unsettled" || code == "idempotency_key_in_progress";
    std::string id = reply.text_at(reply.status == 409 ? "transaction_id" : "id");
    if (reply.status == 200 || reply.text_at("decision") == "commit") {
        deed.told = Verdict::committed;
        deed.id = std::move(id);
        take_reads(deed, reply);
        return true;
    }
    if (code == "transaction_aborted") {
        deed.told = Verdict::aborted;
        deed.id = std::move(id);
        return true;
    }
    if (begun_before || reply.status == 0 || reply.status == 202) {
        // Of a repeated request the one before may have been carried out.
        if (reply.not_sent && !keyed) deed.told = Verdict::aborted;
        return false;
    }
    if (reply.status == 503 || reply.status == 429 || reply.status == 408) {
        // "Nothing was begun" is said of this try only.
        if (!keyed) deed.told = Verdict::aborted;
        return false;
    }
    complain("request " + std::to_string(deed.number) + ": " + reply.summary());
    return true;
}

void Workload::take_reads(Deed& deed, const RestReply& reply) const {
    const auto* branches = reply.at("branches").if_array();
    if (!deed.append || branches == nullptr) return;
    for (std::size_t place = 0; place < branches->size(); ++place) {
        std::string prefix = "branches." + std::to_string(place);
        std::string row = prefix + ".results.1.rows.0";
        std::string list = reply.text_at(row + ".0");
        if (list.empty()) continue;  // "lost"
        ListRead read = read_of(reply.text_at(row + ".1"));
        read.list = static_cast<int>(number_in(list));
        for (std::size_t index = 0; index < cluster_.size(); ++index) {
            if (reply.text_at(prefix + ".participant") == cluster_.spec(index).name) {
                read.database = static_cast<std::uint32_t>(index);
            }
        }
        deed.reads.push_back(read);
    }
}

// What an id says now must be what its client was told.
void Workload::ask_again(Client& client) {
    const Deed& deed =
        client.deeds[static_cast<std::size_t>(client.up_to(static_cast<int>(client.deeds.size())))];
    if (deed.id.empty() || deed.told == Verdict::unknown) return;
    RestReply now = client.rest.get("/v1/transactions/" + deed.id);
    if (now.status == 0 || now.status == 503 || now.status == 408) return;
    std::string outcome = now.text_at("outcome");
    bool same = outcome == (deed.told == Verdict::committed ? "committed" : "aborted");
    if (now.status == 200 && (same || outcome == "unknown")) return;
    complain("request " + std::to_string(deed.number) + " was told " +
             (deed.told == Verdict::committed ? "committed" : "aborted") + " and is now " +
             now.summary());
}

void Workload::complain(std::string text) {
    std::lock_guard lock(complaints_mutex_);
    complaints_.push_back(std::move(text));
}

std::vector<std::string> Workload::complaints() const {
    std::lock_guard lock(complaints_mutex_);
    return complaints_;
}

std::vector<Deed> Workload::stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    std::vector<Deed> all;
    for (auto& client : clients_) {
        std::ranges::move(client->deeds, std::back_inserter(all));
        client->deeds.clear();
    }
    return all;
}

}  // namespace twofold::integration
