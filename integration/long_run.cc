#include "integration/long_run.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <set>
#include <utility>

namespace twofold::integration {

namespace {

using base::Errc;
using base::fail;
using base::Result;

// Asking for every answer of an hour would take as long again; the log auditor looks at all of
// them.
constexpr std::size_t kAskedMax = 20'000;

constexpr std::chrono::seconds kResidueLimit{5};

std::atomic<bool> interrupted{false};

constexpr std::array kSabotages = {
    std::pair{std::string_view("none"), Sabotage::none},
    std::pair{std::string_view("balance"), Sabotage::balance},
    std::pair{std::string_view("forged_answer"), Sabotage::forged_answer},
    std::pair{std::string_view("lost_transfer"), Sabotage::lost_transfer},
    std::pair{std::string_view("lost_append"), Sabotage::lost_append},
    std::pair{std::string_view("swapped_appends"), Sabotage::swapped_appends},
    std::pair{std::string_view("prepared_left"), Sabotage::prepared_left},
    std::pair{std::string_view("log_cut"), Sabotage::log_cut},
};

std::string joined(const std::vector<std::uint64_t>& values) {
    std::string text;
    for (std::uint64_t value : values) text += std::to_string(value) + ",";
    return text;
}

Result<void> write_list(Database& database, int list, const std::vector<std::uint64_t>& values) {
    auto done = database.query("UPDATE lists SET items = '" + joined(values) +
                               "' WHERE id = " + std::to_string(list));
    if (!done.has_value()) return done.error();
    return base::ok();
}

Result<void> forge_answer(std::vector<Deed>& deeds) {
    for (Deed& deed : deeds) {
        if (deed.told != Verdict::aborted || deed.id.empty()) continue;
        deed.told = Verdict::committed;
        return base::ok();
    }
    return fail(Errc::not_found, "nothing was aborted");
}

// Balance and ledger of one database agree afterwards: only the comparison of both sides sees it.
Result<void> lose_transfer(MixedSystem& system) {
    Database& database = system.cluster().database(0);
    TWOFOLD_TRY(Rows rows, database.query("SELECT ref, amount FROM ledger LIMIT 1"));
    if (rows.empty()) return fail(Errc::not_found, "no transfer was committed");
    TWOFOLD_TRY(database.query("DELETE FROM ledger WHERE ref = '" + rows[0][0] + "'"));
    TWOFOLD_TRY(
        database.query("UPDATE accounts SET balance = balance - (" + rows[0][1] +
                       ") WHERE id = (SELECT id FROM accounts ORDER BY balance DESC LIMIT 1)"));
    return base::ok();
}

// Two databases must have two neighbours in common, or another order of them would be allowed.
Result<void> swap_appends(MixedSystem& system) {
    TWOFOLD_TRY(Books first, read_books(system.cluster().database(0)));
    TWOFOLD_TRY(Books second, read_books(system.cluster().database(1)));
    for (auto& [list, values] : first.lists) {
        const auto& others = second.lists[list];
        for (std::size_t at = 1; at < values.size(); ++at) {
            if (std::ranges::find(others, values[at]) == others.end()) continue;
            if (std::ranges::find(others, values[at - 1]) == others.end()) continue;
            std::swap(values[at - 1], values[at]);
            return write_list(system.cluster().database(0), list, values);
        }
    }
    return fail(Errc::not_found, "no two appends are neighbours");
}

Result<void> lose_append(MixedSystem& system) {
    TWOFOLD_TRY(Books books, read_books(system.cluster().database(0)));
    if (books.lists.empty()) return fail(Errc::not_found, "no append was committed");
    auto& [list, values] = *books.lists.begin();
    auto rest = values;
    rest.pop_back();
    return write_list(system.cluster().database(0), list, rest);
}

Result<void> leave_prepared(MixedSystem& system) {
    if (system.servers() == 0) return fail(Errc::not_found, "this needs a PostgreSQL server");
    std::size_t index = system.cluster().size() - 1;
    auto done = system.cluster().database(index).query(
        "BEGIN; INSERT INTO ledger VALUES ('0', 0); PREPARE TRANSACTION 'nobody knows it'");
    if (!done.has_value()) return done.error();
    return base::ok();
}

Result<void> add_money(MixedSystem& system) {
    TWOFOLD_TRY(system.cluster().database(0).query(
        "UPDATE accounts SET balance = balance + 7 WHERE id = 1"));
    return base::ok();
}

Result<void> plant(MixedSystem& system, std::vector<Deed>& deeds, Sabotage sabotage) {
    switch (sabotage) {
        case Sabotage::none:
        case Sabotage::log_cut: return base::ok();  // later
        case Sabotage::balance: return add_money(system);
        case Sabotage::forged_answer: return forge_answer(deeds);
        case Sabotage::lost_transfer: return lose_transfer(system);
        case Sabotage::lost_append: return lose_append(system);
        case Sabotage::swapped_appends: return swap_appends(system);
        case Sabotage::prepared_left: break;
    }
    return leave_prepared(system);
}

bool unfinished(Cluster& cluster) {
    RestReply reply = cluster.client().get("/v1/transactions?limit=1000");
    const auto* list = reply.at("transactions").if_array();
    if (reply.status != 200 || list == nullptr) return true;
    for (std::size_t place = 0; place < list->size(); ++place) {
        std::string state = reply.text_at("transactions." + std::to_string(place) + ".state");
        if (state != "committed" && state != "aborted") return true;
    }
    return false;
}

// What each id says now against what its client was told.
std::uint64_t ask_all(Cluster& cluster,
                      const std::vector<Deed>& deeds,
                      std::vector<std::string>& violations) {
    std::uint64_t asked = 0;
    std::size_t step = deeds.size() / kAskedMax + 1;
    for (std::size_t at = 0; at < deeds.size(); at += step) {
        const Deed& deed = deeds[at];
        if (deed.id.empty() || deed.told == Verdict::unknown) continue;
        RestReply now = cluster.client().get("/v1/transactions/" + deed.id);
        ++asked;
        const char* wanted = deed.told == Verdict::committed ? "committed" : "aborted";
        if (now.status == 200 && now.text_at("outcome") == wanted) continue;
        violations.push_back("request " + std::to_string(deed.number) + " was told " + wanted +
                             " and is now " + now.summary());
    }
    return asked;
}

// Sessions in a transaction and their locks. Idle sessions of a sidecar have none.
void look_for_residue(Database& database,
                      const std::string& name,
                      std::vector<std::string>& found) {
    auto expect_none = [&](const char* what, const std::string& sql) {
        auto count = database.number(sql);
        if (!count.has_value()) {
            found.push_back(name + ": " + count.error().text());
        } else if (count.value() != 0) {
            found.push_back(name + ": " + std::to_string(count.value()) + " " + what);
        }
    };
    if (database.kind() == DatabaseKind::sqlite) {
        expect_none("prepared branches", "SELECT count(*) FROM _tc_prepared");
        expect_none("locks", "SELECT count(*) FROM _tc_lock");
        expect_none("writes refused",
                    "BEGIN IMMEDIATE; UPDATE accounts SET balance = balance; "
                    "ROLLBACK; SELECT 0");
        return;
    }
    expect_none("prepared branches", "SELECT count(*) FROM pg_prepared_xacts");
    expect_none("sessions in a transaction",
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid() AND state <> 'idle'");
    expect_none("locks",
                "SELECT count(*) FROM pg_locks WHERE locktype <> 'advisory'"
                " AND pid IS DISTINCT FROM pg_backend_pid()");
}

std::vector<std::string> residue_of(MixedSystem& system) {
    std::vector<std::string> found;
    Cluster& cluster = system.cluster();
    for (std::size_t index = 0; index < cluster.size(); ++index) {
        look_for_residue(cluster.database(index), cluster.spec(index).name, found);
    }
    if (unfinished(cluster)) found.emplace_back("the coordinator has unfinished transactions");
    return found;
}

void cut(const std::string& log_directory) {
    std::set<std::string> segments;
    for (const auto& entry : std::filesystem::directory_iterator(log_directory)) {
        std::string path = entry.path().string();
        if (path.find("/segment-") != std::string::npos) segments.insert(path);
    }
    if (!segments.empty()) std::filesystem::remove(*segments.rbegin());
}

// A copy of a dead coordinator's log, by the auditor that shares no code with it.
Result<void> audit_log(Cluster& cluster,
                       const std::vector<Deed>& deeds,
                       LogAuditor& auditor,
                       Sabotage sabotage,
                       LongRunResult& result) {
    cluster.coordinator().kill();
    TWOFOLD_TRY(auditor.copy(cluster.log_directory()));
    if (sabotage == Sabotage::log_cut) cut(auditor.newest());
    auto looked = auditor.look(deeds);
    if (looked.has_value()) {
        result.log = looked.value();
    } else {
        result.books.violations.push_back("the log: " + looked.error().context);
    }
    return base::ok();
}

}  // namespace

void end_on_signals() {
    struct sigaction action {};
    action.sa_handler = [](int /*number*/) { interrupted = true; };
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

bool is_interrupted() { return interrupted; }

std::optional<Sabotage> sabotage_named(std::string_view name) {
    for (const auto& [known, sabotage] : kSabotages) {
        if (known == name) return sabotage;
    }
    return std::nullopt;
}

std::string sabotage_names() {
    std::string text;
    for (const auto& [known, sabotage] : kSabotages)
        text += (text.empty() ? "" : ", ") + std::string(known);
    return text;
}

Result<LongRunResult> settle(MixedSystem& system,
                             std::vector<Deed> deeds,
                             LogAuditor& auditor,
                             Sabotage sabotage) {
    Cluster& cluster = system.cluster();
    LongRunResult result;
    // What a slow machine needs is no residue; what is still there after so long is.
    std::ignore =
        wait_until([&] { return cluster.prepared_left() == 0 && residue_of(system).empty(); });
    TWOFOLD_TRY(plant(system, deeds, sabotage));
    // Sidecars list and ask all the time: a lock that is gone at the next look was theirs.
    std::ignore = wait_until(
        [&] {
            result.residue = residue_of(system);
            return result.residue.empty();
        },
        kResidueLimit);
    std::vector<Books> books;
    for (std::size_t index = 0; index < cluster.size(); ++index) {
        TWOFOLD_TRY(Books one, read_books(cluster.database(index)));
        books.push_back(std::move(one));
    }
    result.books = check_books(deeds, books);
    result.asked = ask_all(cluster, deeds, result.books.violations);
    TWOFOLD_TRY(audit_log(cluster, deeds, auditor, sabotage, result));
    return result;
}

std::int64_t percentile(std::vector<std::int64_t> values, int percent) {
    if (values.empty()) return 0;
    std::ranges::sort(values);
    return values[(values.size() - 1) * static_cast<std::size_t>(percent) / 100];
}

void print_findings(const char* what, const std::vector<std::string>& findings) {
    constexpr std::size_t kShown = 12;
    for (std::size_t at = 0; at < std::min(kShown, findings.size()); ++at) {
        std::printf("%s: %s\n", what, findings[at].c_str());
    }
    if (findings.size() > kShown) {
        std::printf("%s: … and %zu more\n", what, findings.size() - kShown);
    }
}

}  // namespace twofold::integration
