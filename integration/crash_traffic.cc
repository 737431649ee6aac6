#include "integration/crash_traffic.h"

#include <iterator>
#include <utility>

namespace twofold::integration {

namespace {

using std::chrono::milliseconds;

constexpr int kDeadlineMs = 1000;
// Longer than a pause of the program, so that some of the answers come after all.
constexpr milliseconds kClientDeadline{6000};
constexpr milliseconds kPauseWithoutAnswer{20};
constexpr int kAccountsOfClient = 5;
constexpr int kKinds = 8;  // of plans, one after the other
constexpr int kTooMuch = 1'000'000;

constexpr const char* kOrphan = "INSERT INTO children VALUES (1, 1)";

// What the n-th transaction of a client is.
enum class Plan : std::uint8_t { transfer, overdraft, one_branch, orphan, given_up };

Plan plan_of(TrafficPath path, int number) {
    if (path == TrafficPath::one_shot) {
        switch (number % kKinds) {
            case 2: return Plan::overdraft;
            case 5:
            case 6: return Plan::one_branch;
            default: return Plan::transfer;
        }
    }
    switch (number % kKinds) {
        case 2: return Plan::overdraft;
        case 4: return Plan::orphan;
        case 6: return Plan::given_up;
        case 7: return Plan::one_branch;
        default: return Plan::transfer;
    }
}

}  // namespace

base::Result<void> create_family(Database& database) {
    TWOFOLD_TRY(
        database.query("CREATE TABLE parents (id INTEGER NOT NULL PRIMARY KEY);"
                       "CREATE TABLE children (id INTEGER NOT NULL PRIMARY KEY, parent INTEGER NOT "
                       "NULL REFERENCES parents DEFERRABLE INITIALLY DEFERRED)"));
    return base::ok();
}

Heard heard_in(const RestReply& reply) {
    if (reply.status == 200 && reply.text_at("outcome") == "aborted") return Heard::aborted;
    if (reply.status == 200 && reply.text_at("outcome") == "committed") return Heard::committed;
    if (reply.status == 202 && reply.text_at("decision") == "commit") return Heard::committed;
    bool is_abort = reply.status == 409 && reply.text_at("outcome") == "aborted";
    return is_abort ? Heard::aborted : Heard::unknown;
}

class CrashTraffic::Client {
public:
    Client(CrashTraffic& traffic, TrafficPath path, int number)
        : traffic_(traffic), path_(path), number_(number), rest_(cluster().coordinator_port()) {
        for (std::size_t index = 0; index < cluster().size(); ++index) {
            sidecars_.emplace_back(cluster().participant_port(index));
        }
    }

    void run() {
        for (int turn = 1; !traffic_.stopping_; ++turn) {
            Plan plan = plan_of(path_, turn);
            Deed deed;
            deed.reference = std::to_string(number_) + "-" + std::to_string(turn);
            // Each kind comes in both directions.
            deed.from = static_cast<std::size_t>(turn + turn / kKinds + number_) % 2;
            deed.to = plan == Plan::one_branch ? deed.from : 1 - deed.from;
            account_ = 1 + number_ * kAccountsOfClient + turn % kAccountsOfClient;
            bool was_sent =
                path_ == TrafficPath::one_shot ? submit(deed, plan) : converse(deed, plan);
            if (deed.heard == Heard::committed) ++traffic_.committed_;
            if (deed.heard == Heard::unknown) std::this_thread::sleep_for(kPauseWithoutAnswer);
            if (was_sent) deeds.push_back(std::move(deed));
        }
    }

    std::vector<Deed> deeds;

private:
    [[nodiscard]] const Cluster& cluster() const { return traffic_.cluster_; }

    [[nodiscard]] DatabaseKind kind(std::size_t index) const {
        bool is_sqlite = cluster().spec(index).postgres_dsn.empty();
        return is_sqlite ? DatabaseKind::sqlite : DatabaseKind::postgres;
    }

    [[nodiscard]] std::string move_money(std::size_t index, int amount, int account) const {
        return statement_json(kind(index),
                              "UPDATE accounts SET balance = balance + ? WHERE id = ?",
                              "[" + std::to_string(amount) + "," + std::to_string(account) + "]",
                              1);
    }
    // A row for each branch; together they are zero, as the money that moves.
    [[nodiscard]] static std::string write_down(const Deed& deed, int amount) {
        return R"({"statement":"record","params":{"ref":")" + deed.reference +
               "\",\"amount\":" + std::to_string(amount) + "}}";
    }

    [[nodiscard]] std::vector<std::string> work(const Deed& deed, std::size_t index, int amount) {
        if (deed.from == deed.to) {
            return {move_money(index, -amount, account_),
                    move_money(index, amount, account_ % kAccounts + 1),
                    write_down(deed, 0)};
        }
        int signed_amount = index == deed.from ? -amount : amount;
        return {move_money(index, signed_amount, account_), write_down(deed, signed_amount)};
    }

    void listen(Deed& deed, const RestReply& reply) {
        deed.heard = heard_in(reply);
        deed.last_words = reply.summary();
        std::string id = reply.text_at(reply.status == 409 ? "transaction_id" : "id");
        if (!id.empty()) deed.id = std::move(id);
    }

    // False: the server has certainly seen nothing of it.
    bool submit(Deed& deed, Plan plan) {
        int amount = plan == Plan::overdraft ? kTooMuch : 1;
        auto branch = [&](std::size_t index) {
            return branch_json(cluster().spec(index).name, work(deed, index, amount));
        };
        std::vector<std::string> branches{branch(deed.from)};
        if (deed.to != deed.from) branches.push_back(branch(deed.to));
        deed.body = transaction_json(branches, ",\"deadline_ms\":" + std::to_string(kDeadlineMs));
        RestReply reply = rest_.post(
            "/v1/transactions",
            deed.body,
            {.headers = {{"Idempotency-Key", deed.reference}}, .deadline = kClientDeadline});
        listen(deed, reply);
        return !reply.not_sent;
    }

    bool converse(Deed& deed, Plan plan) {
        RestReply begun = rest_.post("/v1/transactions",
                                     "{\"deadline_ms\":" + std::to_string(kDeadlineMs) + "}",
                                     {.headers = {{"Idempotency-Key", "begin-" + deed.reference}},
                                      .deadline = kClientDeadline});
        if (begun.status != 201) return false;  // without an id no work was done
        deed.id = begun.text_at("id");
        int amount = plan == Plan::overdraft ? kTooMuch : 1;
        std::vector<std::size_t> places{deed.to};
        if (deed.from != deed.to) places.push_back(deed.from);
        bool ran = true;
        for (std::size_t index : places) {
            for (const std::string& statement : work(deed, index, amount)) {
                ran = ran && execute(index, deed.id, statement);
            }
        }
        if (!ran || plan == Plan::given_up) {
            listen(deed, end(deed.id, "abort", "{}"));
            return true;
        }
        // One branch votes yes and is rolled back, the other one cannot be prepared.
        if (plan == Plan::orphan)
            execute(deed.from, deed.id, statement_json(kind(deed.from), kOrphan));
        listen(deed, end(deed.id, "commit", "{}"));
        return true;
    }

    bool execute(std::size_t index, const std::string& id, const std::string& statement) {
        RestReply reply = sidecars_[index].post("/v1/transactions/" + id + "/execute",
                                                "{\"work\":[" + statement + "]}",
                                                {.deadline = kClientDeadline});
        return reply.status == 200;
    }

    RestReply end(const std::string& id, const std::string& how, std::string body) {
        return rest_.post(
            "/v1/transactions/" + id + "/" + how, std::move(body), {.deadline = kClientDeadline});
    }

    CrashTraffic& traffic_;
    TrafficPath path_;
    int number_;
    int account_ = 1;
    RestClient rest_;
    std::vector<RestClient> sidecars_;
};

CrashTraffic::CrashTraffic(const Cluster& cluster, TrafficPath path, int clients)
    : cluster_(cluster) {
    for (int number = 0; number < clients; ++number) {
        clients_.push_back(std::make_unique<Client>(*this, path, number));
    }
    for (auto& client : clients_) threads_.emplace_back([&client] { client->run(); });
}

CrashTraffic::~CrashTraffic() { stop(); }

void CrashTraffic::stop() {
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
}

std::vector<Deed> CrashTraffic::take_deeds() {
    std::vector<Deed> all;
    for (auto& client : clients_) {
        std::ranges::move(client->deeds, std::back_inserter(all));
        client->deeds.clear();
    }
    return all;
}

}  // namespace twofold::integration
