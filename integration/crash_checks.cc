#include "integration/crash_checks.h"

#include <csignal>
#include <utility>

namespace twofold::integration {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSettled{30'000};

const char* text_of(Heard heard) {
    switch (heard) {
        case Heard::committed: return "committed";
        case Heard::aborted: return "aborted";
        case Heard::unknown: break;
    }
    return "unknown";
}

}  // namespace

// ---- what is left
// --------------------------------------------------------------------------------

void CrashChecks::expect_nothing_left() {
    bool none = wait_until([this] { return cluster_.prepared_left() == 0; }, kSettled);
    if (!none) {
        complain("prepared branches are left: " +
                 std::to_string(cluster_.prepared_left().value_or(-1)));
    }
    for (std::size_t index = 0; index < cluster_.size(); ++index) {
        RestReply held;
        bool empty = wait_until(
            [&] {
                held = cluster_.participant_client(index).get("/v1/branches");
                return held.status == 200 && held.text_at("branches") == "[]";
            },
            kSettled);
        if (!empty) complain("a sidecar still holds branches: " + held.summary());
        expect_no_session(index);
        expect_no_lock(index);
    }
    bool idle = wait_until(
        [this] {
            return cluster_.client().metric("twofold_transactions_active") == 0 &&
                   cluster_.client().metric("twofold_indoubt_transactions") == 0;
        },
        kSettled);
    if (!idle) complain("the coordinator still has unfinished transactions");
    if (cluster_.client().metric("twofold_alarms_total") != 0) complain("the coordinator alarmed");
}

void CrashChecks::expect_no_session(std::size_t index) {
    Database& database = cluster_.database(index);
    if (database.kind() == DatabaseKind::sqlite) return;
    bool none = wait_until(
        [&database] {
            auto open = database.number(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
                " AND backend_type = 'client backend'");
            return open.has_value() && open.value() == 0;
        },
        kSettled);
    if (!none) complain("a session of a branch is still open in database " + std::to_string(index));
}

// Whoever wants all rows gets them.
void CrashChecks::expect_no_lock(std::size_t index) {
    Database& database = cluster_.database(index);
    bool is_sqlite = database.kind() == DatabaseKind::sqlite;
    std::string sql = is_sqlite
                          ? "BEGIN IMMEDIATE; UPDATE accounts SET balance = balance; ROLLBACK"
                          : "BEGIN; SET LOCAL lock_timeout = '5s'; LOCK TABLE accounts, ledger "
                            "IN ACCESS EXCLUSIVE MODE; ROLLBACK";
    auto taken = database.query(sql);
    if (!taken.has_value()) complain("a lock is left: " + taken.error().text());
}

// ---- outcomes
// ------------------------------------------------------------------------------------

void CrashChecks::ask_again() {
    for (Deed& deed : deeds_) {
        if (deed.heard == Heard::unknown && !deed.body.empty()) {
            ask_under_key(deed);
        } else {
            ask_about(deed);
        }
    }
}

// The same request under the same key: it has one outcome, whoever was running when it was sent.
void CrashChecks::ask_under_key(Deed& deed) {
    RestReply reply;
    auto ask = [&] {
        reply = cluster_.client().post(
            "/v1/transactions", deed.body, {.headers = {{"Idempotency-Key", deed.reference}}});
        return heard_in(reply);
    };
    Heard first = Heard::unknown;
    bool answered = wait_until([&] { return (first = ask()) != Heard::unknown; }, kSettled);
    if (!answered) return complain(deed.reference + " has no outcome: " + reply.summary());
    deed.last_words = reply.summary();
    deed.id = reply.text_at(first == Heard::aborted ? "transaction_id" : "id");
    deed.heard = first;
    // A key under which nothing was done is free again after an abort; what is committed is not.
    if (first != Heard::committed) return;
    if (ask() != Heard::committed || reply.text_at("id") != deed.id) {
        complain(deed.reference + " was told " + deed.last_words + ", then " + reply.summary());
    }
}

void CrashChecks::ask_about(Deed& deed) {
    if (deed.id.empty()) return;
    RestReply now;
    Heard heard = Heard::unknown;
    bool final = wait_until(
        [&] {
            now = cluster_.client().get("/v1/transactions/" + deed.id);
            heard = heard_in(now);
            return heard != Heard::unknown;
        },
        kSettled);
    if (!final) return complain(deed.id + " has no outcome: " + now.summary());
    if (deed.heard != Heard::unknown && deed.heard != heard) {
        complain(deed.reference + " was told " + deed.last_words + ", now it is " + now.summary());
    }
    deed.heard = heard;
}

// ---- the books
// -----------------------------------------------------------------------------------

void CrashChecks::expect_books() {
    std::vector<std::set<std::string>> ledgers;
    for (std::size_t index = 0; index < cluster_.size(); ++index) {
        auto ledger = bank_transfers(cluster_.database(index));
        if (!ledger.has_value()) return complain("no books: " + ledger.error().text());
        ledgers.push_back(std::move(ledger.value()));
        expect_balance(index);
    }
    if (cluster_.balance_sum() != cluster_.expected_sum()) complain("the sum of all has changed");
    for (const Deed& deed : deeds_) expect_told_the_truth(deed, ledgers);
}

// Each change of an account has its row in the ledger: what took effect twice would differ.
void CrashChecks::expect_balance(std::size_t index) {
    auto difference = cluster_.database(index).number(
        "SELECT (SELECT sum(balance) FROM accounts) - (SELECT coalesce(sum(amount), 0) FROM "
        "ledger)");
    if (!difference.has_value()) return complain("no books: " + difference.error().text());
    std::int64_t surplus = difference.value() - std::int64_t{kAccounts} * kBalance;
    if (surplus == 0) return;
    complain("accounts and ledger of database " + std::to_string(index) + " differ by " +
             std::to_string(surplus));
}

void CrashChecks::expect_told_the_truth(const Deed& deed,
                                        const std::vector<std::set<std::string>>& ledgers) {
    bool here = ledgers[deed.from].contains(deed.reference);
    bool there = ledgers[deed.to].contains(deed.reference);
    if (here != there) return complain("the databases disagree about " + deed.reference);
    bool should = deed.heard == Heard::committed;
    if (deed.heard == Heard::unknown || here == should) return;
    complain(deed.reference + " is " + (here ? "" : "not ") + "in the books, but was told " +
             text_of(deed.heard) + ": " + deed.last_words);
}

// ---- the log
// -------------------------------------------------------------------------------------

void CrashChecks::expect_log_readable() {
    cluster_.coordinator().signal(SIGTERM);
    auto ended = cluster_.coordinator().wait(kSettled);
    if (!ended || !ended->exited_with(0)) {
        return complain("the coordinator did not stop in order: " +
                        (ended ? ended->text() : "it still runs"));
    }
    auto verified = run_program(sibling_program("twofold"),
                                {"wal", "verify", "--dir", cluster_.log_directory()});
    if (!verified.has_value()) return complain(verified.error().text());
    if (!verified.value().status.exited_with(0)) {
        return complain("the log cannot be read: " + verified.value().output);
    }
    if (!cluster_.start_coordinator()) return complain("the coordinator does not start again");
    for (Deed& deed : deeds_) ask_about(deed);
}

}  // namespace twofold::integration
