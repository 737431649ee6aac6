// The command line of `twofold txn` and `twofold indoubt`.
#include "app/command_line.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <string>

namespace twofold::app {

namespace {

std::string check_pair(const std::string& text) {
    std::size_t equals = text.find('=');
    bool fits = equals != std::string::npos && equals != 0;
    return fits ? std::string() : "must be name=value, found \"" + text + "\"";
}

std::string check_count(const std::string& text) {
    std::string problem = check_pair(text);
    if (!problem.empty()) return problem;
    std::string number = text.substr(text.find('=') + 1);
    bool digits = !number.empty() && number.size() < 10 &&
                  std::ranges::all_of(number, [](unsigned char c) { return std::isdigit(c) != 0; });
    return digits ? std::string() : "must be participant=number, found \"" + text + "\"";
}

void add_id(CLI::App& command, std::string& id) {
    command.add_option("id", id, "The transaction's id")->required();
}

void add_key(CLI::App& command, std::string& key) {
    command.add_option(
        "--idempotency-key", key, "The same key and request again: the same answer, done once");
}

void add_labels(CLI::App& command, std::vector<std::string>& labels, const char* help) {
    command.add_option("--label", labels, help)
        ->check(check_pair)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->type_name("NAME=VALUE");
}

void add_begin(CLI::App& txn, Choice& choice) {
    auto* begin = txn.add_subcommand(
        "begin", "Begin an interactive transaction; prints its id, and nothing else, on stdout");
    TxnBeginOptions& options = choice.begin;
    begin->add_option("--deadline-ms", options.deadline_ms, "Aborted when not committed by then");
    begin->add_option(
        "--idle-deadline-ms", options.idle_deadline_ms, "Aborted when nobody calls for so long");
    add_labels(*begin, options.labels, "For people to find it by; may be given several times");
    add_key(*begin, options.idempotency_key);
    add_client(*begin, options.client);
    begin->footer("Example: ID=$(twofold txn begin --label order=17)");
    begin->callback(choose(choice, options, &begin_txn));
}

void add_run(CLI::App& txn, Choice& choice) {
    auto* run = txn.add_subcommand("run", "Run a one-shot transaction from a JSON file");
    run->add_option("file", choice.run.file, "The body of POST /v1/transactions; - = stdin")
        ->required();
    add_key(*run, choice.run.idempotency_key);
    add_client(*run, choice.run.client);
    run->footer("Example: twofold txn run transfer.json --idempotency-key order-17");
    run->callback(choose(choice, choice.run, &run_txn));
}

void add_get(CLI::App& txn, Choice& choice) {
    auto* get = txn.add_subcommand("get", "The state of one transaction; exit code by its outcome");
    add_id(*get, choice.get.id);
    get->add_option("--wait-ms", choice.get.wait_ms, "Wait this long for a change");
    add_client(*get, choice.get.client);
    get->footer("Example: twofold txn get ID --wait-ms 5000");
    get->callback(choose(choice, choice.get, &get_txn));
}

void add_list(CLI::App& txn, Choice& choice) {
    auto* list = txn.add_subcommand("list", "Transactions that the coordinator has in memory");
    TxnListOptions& options = choice.list;
    list->add_option("--state", options.state, "Only these: active, preparing, committing, …");
    list->add_option("--participant", options.participant, "Only with a branch there");
    add_labels(*list, options.labels, "Only with this label; several: with all of them");
    list->add_option("--limit", options.limit, "At most this many")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    list->add_option("--cursor", options.cursor, "Go on where the page before ended");
    add_client(*list, options.client);
    list->footer("Example: twofold txn list --label order=17 -o json");
    list->callback(choose(choice, options, &list_txns));
}

void add_watch(CLI::App& txn, Choice& choice) {
    auto* watch = txn.add_subcommand(
        "watch", "Follow one transaction until it has ended, a line for each change");
    add_id(*watch, choice.watch.id);
    watch
        ->add_option("--patience",
                     choice.watch.patience_seconds,
                     "Seconds without an answer, while the coordinator restarts for example")
        ->capture_default_str();
    add_client(*watch, choice.watch.client);
    watch->footer("Example: twofold txn watch ID");
    watch->callback(choose(choice, choice.watch, &watch_txn));
}

void add_commit_and_abort(CLI::App& txn, Choice& choice) {
    auto* commit = txn.add_subcommand("commit", "Commit an interactive transaction");
    add_id(*commit, choice.commit.id);
    commit
        ->add_option("--wait",
                     choice.commit.wait,
                     "applied (default): answered when every participant has applied it; decided: "
                     "when it is durable")
        ->check(CLI::IsMember({"applied", "decided"}));
    commit
        ->add_option("--executes",
                     choice.commit.executes,
                     "Commit only if this participant has run so many executes")
        ->check(check_count)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->type_name("PARTICIPANT=NUMBER");
    add_key(*commit, choice.commit.idempotency_key);
    add_client(*commit, choice.commit.client);
    commit->footer("Example: twofold txn commit ID --executes north=2");
    commit->callback(choose(choice, choice.commit, &commit_txn));
    auto* abort = txn.add_subcommand("abort", "Abort an interactive transaction");
    add_id(*abort, choice.abort.id);
    add_key(*abort, choice.abort.idempotency_key);
    add_client(*abort, choice.abort.client);
    abort->footer("Example: twofold txn abort ID");
    abort->callback(choose(choice, choice.abort, &abort_txn));
}

void add_why_and_forget(CLI::App& txn, Choice& choice) {
    auto* why = txn.add_subcommand(
        "why",
        "Why a transaction is as it is: branches, proofs, log records, what happens next and what "
        "is safe to do");
    add_id(*why, choice.one.id);
    add_client(*why, choice.one.client);
    why->footer("Example: twofold txn why ID");
    why->callback(choose(choice, choice.one, &explain_txn));
    auto* forget = txn.add_subcommand(
        "forget", "Acknowledge a heuristic outcome, after the data was corrected by hand");
    add_id(*forget, choice.reason.name);
    add_reason(*forget, choice.reason, false);
    add_client(*forget, choice.reason.client);
    forget->footer("Example: twofold txn forget ID --reason 'booked by hand, ticket 4711'");
    forget->callback(choose(choice, choice.reason, &forget_txn));
}

// Two ways to name a branch: of a transaction that the coordinator knows, or as its participant
// holds it.
void choose_resolve(Choice& choice) {
    ResolveOptions& known = choice.resolve;
    ResolveHeldOptions& held = choice.resolve_held;
    bool is_held = !held.gid.empty() || !held.participant.empty();
    if (is_held ? held.gid.empty() || held.participant.empty() || !known.base.name.empty()
                : known.base.name.empty() || known.branch == 0) {
        throw CLI::ValidationError("resolve", "give ID and --branch, or --participant and --gid");
    }
    if (is_held != (known.outcome == "commit" || known.outcome == "abort")) {
        throw CLI::ValidationError("--outcome",
                                   is_held ? "commit or abort: what is to become of it"
                                           : "committed or aborted: what was found");
    }
    if (held.coordinator_is_gone && !is_held) {
        throw CLI::ValidationError("--force-coordinator-is-gone", "only with --participant");
    }
    held.base = known.base;
    held.outcome = known.outcome;
    choice.action = [&choice, is_held] {
        return is_held ? resolve_held(choice.resolve_held) : resolve_in_doubt(choice.resolve);
    };
}

void add_resolve(CLI::App& in_doubt, Choice& choice) {
    auto* resolve = in_doubt.add_subcommand(
        "resolve",
        "Record what a person has found in the database about a branch that cannot end by itself; "
        "or, with --participant and --gid, decide a prepared branch whose coordinator has lost its "
        "log. Shows the evidence first; refused when it has changed since");
    ResolveOptions& options = choice.resolve;
    ResolveHeldOptions& held = choice.resolve_held;
    resolve->add_option("id", options.base.name, "The transaction");
    resolve->add_option("--branch", options.branch, "Its number")->check(CLI::Range(1, 65535));
    resolve->add_option("--attempt", options.attempt, "Its attempt, when there are several")
        ->check(CLI::Range(1, 65535));
    resolve->add_option(
        "--participant", held.participant, "Who holds it: a name, or an address http://HOST:PORT");
    resolve->add_option("--gid", held.gid, "Its gid there, from GET /v1/branches");
    resolve
        ->add_option("--outcome",
                     options.outcome,
                     "committed or aborted: what was found; with --gid commit or abort: what is to "
                     "be done")
        ->required()
        ->check(CLI::IsMember({"committed", "aborted", "commit", "abort"}));
    resolve->add_flag("--force-coordinator-is-gone",
                      held.coordinator_is_gone,
                      "With --gid: a coordinator that does not answer, or cannot tell, never will");
    add_reason(*resolve, options.base, true);
    add_client(*resolve, options.base.client);
    resolve->footer(
        "Examples: twofold indoubt resolve ID --branch 2 --outcome committed "
        "--reason 'row 17 is there' --dry-run\n"
        "          twofold indoubt resolve --participant south --gid GID --outcome abort "
        "--reason 'north has nothing'");
    resolve->callback([&choice] { choose_resolve(choice); });
}

}  // namespace

void add_txn(CLI::App& app, Choice& choice) {
    auto* txn = app.add_subcommand("txn", "Run, follow and end transactions");
    txn->require_subcommand(1);
    add_begin(*txn, choice);
    add_run(*txn, choice);
    add_get(*txn, choice);
    add_list(*txn, choice);
    add_watch(*txn, choice);
    add_commit_and_abort(*txn, choice);
    add_why_and_forget(*txn, choice);
}

void add_in_doubt(CLI::App& app, Choice& choice) {
    auto* in_doubt =
        app.add_subcommand("indoubt", "Transactions that are decided but not ended everywhere");
    in_doubt->require_subcommand(1);
    auto* list = in_doubt->add_subcommand(
        "list", "A line for each open branch: waiting for its participant, or for a person");
    list->add_option("--participant", choice.in_doubt.participant, "Only with a branch there");
    add_client(*list, choice.in_doubt.client);
    list->footer("Example: twofold indoubt list --participant south");
    list->callback(choose(choice, choice.in_doubt, &list_in_doubt));

    add_resolve(*in_doubt, choice);
}

}  // namespace twofold::app
