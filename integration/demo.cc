// twofold-demo: money moves between two databases while the processes in between are killed, again
// and again. At the end the books are audited from outside. `make demo` runs it.
//
//   twofold-demo              two SQLite files
//   twofold-demo --postgres   two PostgreSQL servers that it starts for itself
//   twofold-demo --brief      fewer deaths, and sooner: a few seconds, for `make test`
//
// Exit code 0 and a last line "demo: ok …" only when not a single unit of money was lost or made.
#include "integration/cluster.h"
#include "integration/demo_audit.h"
#include "integration/demo_databases.h"
#include "integration/load.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

namespace twofold::integration {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::atomic<bool> interrupted{false};

void on_interrupt(int /*number*/) { interrupted = true; }

// ---- telling
// ----------------------------------------------------------------------------------------

Clock::time_point begin_of_story;

double seconds_since(Clock::time_point moment) {
    return std::chrono::duration<double>(Clock::now() - moment).count();
}

[[gnu::format(printf, 1, 2)]] void say(const char* format, ...) {
    std::printf("[%5.1f s] ", seconds_since(begin_of_story));
    va_list values;
    va_start(values, format);
    std::vprintf(format, values);
    va_end(values);
    std::printf("\n");
    std::fflush(stdout);
}

int failed(const std::string& why) {
    std::printf("demo: FAILED %s\n", why.c_str());
    return 1;
}

// ---- the plot
// ---------------------------------------------------------------------------------------

constexpr int kCoordinator = -1;

// How a process dies: at its `turn`-th passage of a crash point, or without one at a moment that
// nobody chose.
struct Death {
    const char* point = nullptr;
    int turn = 1;
    const char* meaning = "at a moment that nobody chose, from outside";
};

// Each process has its own deaths, one after the other; the next is armed when it is started again.
struct Plot {
    int clients = 3;
    std::vector<Death> coordinator;
    std::vector<Death> sidecars[2];
    // On a slow machine a crash point may take too long to be reached: then it is killed anyway.
    milliseconds longest_life{9000};
    milliseconds last_calm{1000};  // after the last death
};

const Plot kWholePlot = {
    .coordinator = {{"coord_after_decision_forced",
                     150,
                     "a decision was just forced to its log; nobody knows it"},
                    {"coord_after_first_commit_ack",
                     150,
                     "one database has committed, the other has not"},
                    {"coord_after_last_vote", 150, "all votes are yes, nothing is decided"},
                    {"wal_mid_batch", 150, "half of a write to its log is on the disk"},
                    {"coord_recovery_after_redrive", 1, "in the recovery from the kill before"},
                    {},
                    {}},
    .sidecars =
        {{{}, {"part_before_commit", 250, "it was told to commit and has not yet"}},
         {{"part_after_prepare_before_reply",
           250,
           "its branch is prepared, its yes was never sent"},
          {"part_after_commit_before_reply", 250, "it has committed, its answer was never sent"}}},
};

// Every death waits for its moment, however slow the machine is.
const Plot kBriefPlot = {
    .clients = 2,
    .coordinator = {{"coord_after_decision_forced",
                     20,
                     "a decision was just forced to its log; nobody knows it"},
                    {"wal_mid_batch", 20, "half of a write to its log is on the disk"}},
    .sidecars = {{{"part_before_commit", 20, "it was told to commit and has not yet"}},
                 {{"part_after_prepare_before_reply",
                   20,
                   "its branch is prepared, its yes was never sent"}}},
    .longest_life = milliseconds(60'000),
    .last_calm = milliseconds(100),
};

struct Actor {
    int who = kCoordinator;  // or the participant's index
    std::size_t death = 0;
    Clock::time_point born;
    milliseconds life{0};  // killed from outside after this
};

class Demo {
public:
    Demo(DemoDatabases& databases, const Plot& plot) : databases_(databases), plot_(plot) {}

    int run();

private:
    [[nodiscard]] std::string set_the_stage();
    [[nodiscard]] std::string play();
    [[nodiscard]] std::string look_after(Actor& actor);
    [[nodiscard]] std::string wait_for_quiet();
    int reckon();

    [[nodiscard]] Process& process(int who) {
        return who == kCoordinator ? cluster_->coordinator()
                                   : cluster_->participant(static_cast<std::size_t>(who));
    }
    [[nodiscard]] std::string name(int who) const {
        return who == kCoordinator
                   ? "the coordinator"
                   : "the sidecar of " + cluster_->spec(static_cast<std::size_t>(who)).name;
    }
    [[nodiscard]] const std::vector<Death>& deaths(int who) const {
        return who == kCoordinator ? plot_.coordinator
                                   : plot_.sidecars[static_cast<std::size_t>(who)];
    }
    // False when it does not become ready, which is what some deaths are about.
    [[nodiscard]] bool start(Actor& actor);
    void tell_death(const Actor& actor, bool by_itself);
    void tell_progress(const char* what) const;
    void count_in_doubt(int who);

    DemoDatabases& databases_;
    const Plot& plot_;
    std::unique_ptr<Cluster> cluster_;
    std::unique_ptr<TransferLoad> load_;
    std::vector<Actor> actors_{{.who = 0}, {.who = 1}, {.who = kCoordinator}};
    std::vector<Told> told_;
    std::set<std::string> recovered_;  // were in doubt when somebody had died
    int kills_ = 0;
    std::uint32_t random_ = static_cast<std::uint32_t>(getpid());
};

bool Demo::start(Actor& actor) {
    Environment environment;
    actor.life = std::chrono::hours(1);
    if (actor.death < deaths(actor.who).size()) {
        const Death& next = deaths(actor.who)[actor.death];
        random_ = random_ * 1664525U + 1013904223U;
        actor.life = milliseconds(1200 + (random_ >> 16U) % 1500U);
        if (next.point != nullptr) {
            environment["TWOFOLD_CRASH_AT"] =
                std::string(next.point) + ":" + std::to_string(next.turn);
            actor.life = plot_.longest_life;
        }
    }
    actor.born = Clock::now();
    return actor.who == kCoordinator
               ? cluster_->start_coordinator(environment)
               : cluster_->start_participant(static_cast<std::size_t>(actor.who), environment);
}

void Demo::tell_progress(const char* what) const {
    say("   … %s: %d committed, %d aborted so far", what, load_->committed(), load_->aborted());
}

std::string Demo::set_the_stage() {
    say("Two databases of %s: orders and stock, %d accounts of %d in each.",
        databases_.kind().c_str(),
        kAccounts,
        kBalance);
    ClusterSpec spec;
    spec.participants = databases_.participants();
    spec.retry_max = "200ms";
    auto made = Cluster::create(std::move(spec));
    if (!made.has_value()) return made.error().text();
    cluster_ = std::move(made.value());
    say("Everything of this run lies in %s.", cluster_->directory().c_str());
    for (Actor& actor : actors_) {
        if (!start(actor)) return name(actor.who) + " did not start:\n" + cluster_->logs();
        say("Started %s (pid %d).", name(actor.who).c_str(), process(actor.who).pid());
    }
    if (!cluster_->wait_participants_up()) {
        return "the coordinator does not reach the sidecars:\n" + cluster_->logs();
    }
    return "";
}

// Looks from outside at what the dead one left behind: transactions that are prepared in a
// database, and that nobody can finish while it is away.
void Demo::count_in_doubt(int who) {
    std::set<std::string> found;
    for (std::size_t index = 0; index < cluster_->size(); ++index) {
        // The other database still has the coordinator to finish its branches.
        if (who != kCoordinator && index != static_cast<std::size_t>(who)) continue;
        auto prepared = cluster_->database(index).prepared_transactions();
        if (prepared.has_value()) found.merge(prepared.value());
    }
    if (found.empty()) {
        say("   No transaction is in doubt.");
    } else {
        say("   %zu transaction(s) in doubt: prepared in a database, to be finished when it is "
            "back.",
            found.size());
    }
    recovered_.merge(found);
}

void Demo::tell_death(const Actor& actor, bool by_itself) {
    const Death& death = deaths(actor.who)[actor.death];
    bool too_slow = !by_itself && death.point != nullptr;
    ++kills_;
    say("KILLED %s (SIGKILL): %s.",
        name(actor.who).c_str(),
        too_slow ? "from outside, because its crash point was not reached in time" : death.meaning);
    tell_progress("at this moment");
}

// Kills an actor whose time has come, tells of a dead one and starts it again.
std::string Demo::look_after(Actor& actor) {
    bool by_itself = !process(actor.who).running();
    if (!by_itself && Clock::now() - actor.born < actor.life) return "";
    process(actor.who).kill();
    bool expected = actor.death < deaths(actor.who).size() &&
                    process(actor.who).exit_status()->killed_by(SIGKILL);
    if (!expected) return name(actor.who) + " ended by itself:\n" + cluster_->logs();
    tell_death(actor, by_itself);
    ++actor.death;
    std::this_thread::sleep_for(milliseconds(300));  // clients notice that nobody is there
    count_in_doubt(actor.who);
    auto begin = Clock::now();
    bool ready = start(actor);
    if (!ready && !process(actor.who).running()) return "";  // its next death came before
    if (!ready) return name(actor.who) + " did not come back:\n" + cluster_->logs();
    say("   Started %s again: ready after %.2f s.", name(actor.who).c_str(), seconds_since(begin));
    return "";
}

// Until everybody has died all deaths.
std::string Demo::play() {
    auto told = Clock::now();
    bool more = true;
    while (more) {
        more = false;
        for (Actor& actor : actors_) {
            std::string problem = look_after(actor);
            if (!problem.empty()) return problem;
            more = more || actor.death < deaths(actor.who).size();
        }
        if (interrupted) return "interrupted";
        if (Clock::now() - told > milliseconds(2000)) {
            told = Clock::now();
            tell_progress("money is moving");
        }
        std::this_thread::sleep_for(milliseconds(5));
    }
    return "";
}

std::string Demo::wait_for_quiet() {
    say("The clients stop. Waiting until nothing is in doubt any more.");
    told_ = load_->stop();
    auto begin = Clock::now();
    bool quiet = wait_until([this] { return interrupted || cluster_->prepared_left() == 0; });
    if (interrupted) return "interrupted";
    if (!quiet) return "branches are still prepared after 90 s:\n" + cluster_->logs();
    say("Nothing is prepared any more (%.2f s).", seconds_since(begin));
    return "";
}

int Demo::reckon() {
    say("Auditing the books from outside:");
    auto audited = audit(databases_.audited(*cluster_), told_);
    if (!audited.has_value()) return failed(audited.error().text());
    const AuditResult& books = audited.value();
    long long imbalance = books.sum - cluster_->expected_sum();
    say("Killed %d times. %zu transactions were in doubt then, and all were finished by recovery.",
        kills_,
        recovered_.size());
    say("Sum over both databases: %lld, expected %lld. In one book only: %d. Answers that turned "
        "out "
        "wrong: %d of %zu.",
        static_cast<long long>(books.sum),
        static_cast<long long>(cluster_->expected_sum()),
        books.one_sided,
        books.broken_answers,
        told_.size());
    if (imbalance != 0) return failed("imbalance=" + std::to_string(imbalance));
    if (books.one_sided != 0) return failed("transfers in one database only");
    if (books.broken_answers != 0) return failed("answers that turned out wrong");
    if (books.prepared != 0) return failed("branches are left prepared");
    if (recovered_.empty())
        return failed("no transaction was in doubt at any kill: nothing was shown");
    std::printf("demo: ok transactions=%d committed=%d aborted=%d recovered=%zu imbalance=0\n",
                books.committed + books.aborted,
                books.committed,
                books.aborted,
                recovered_.size());
    return 0;
}

int Demo::run() {
    std::string problem = set_the_stage();
    if (!problem.empty()) return failed(problem);
    say("%d clients transfer money in both directions; every 12th asks for more than there is.",
        plot_.clients);
    load_ = std::make_unique<TransferLoad>(
        *cluster_, LoadOptions{.clients = plot_.clients, .prefix = "demo", .overdraft_every = 12});
    problem = play();
    if (!problem.empty()) return failed(problem);
    std::this_thread::sleep_for(plot_.last_calm);
    problem = wait_for_quiet();
    if (!problem.empty()) return failed(problem);
    return reckon();
}

int usage(std::FILE* out) {
    std::fprintf(out,
                 "Usage: twofold-demo [--postgres] [--brief]\n"
                 "Moves money between two databases while processes are killed, then audits the "
                 "books.\n"
                 "  --postgres   on two PostgreSQL servers that it starts for itself, instead of "
                 "two SQLite files\n"
                 "  --brief      fewer kills, and sooner: a few seconds\n");
    return out == stdout ? 0 : 2;
}

int run_demo(bool postgres, bool brief) {
    struct sigaction action {};
    action.sa_handler = &on_interrupt;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    begin_of_story = Clock::now();
    auto databases = postgres ? demo_postgres() : demo_sqlite();
    if (!databases.has_value()) return failed(databases.error().context);
    return Demo(*databases.value(), brief ? kBriefPlot : kWholePlot).run();
}

}  // namespace
}  // namespace twofold::integration

int main(int count, char** arguments) {
    bool postgres = false;
    bool brief = false;
    for (int i = 1; i < count; ++i) {
        std::string_view argument(arguments[i]);
        if (argument == "--help" || argument == "-h") return twofold::integration::usage(stdout);
        if (argument != "--postgres" && argument != "--brief") {
            return twofold::integration::usage(stderr);
        }
        postgres = postgres || argument == "--postgres";
        brief = brief || argument == "--brief";
    }
    return twofold::integration::run_demo(postgres, brief);
}
