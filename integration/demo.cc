// twofold-demo: money moves between two databases while the processes in between are killed, again
// and again. At the end the books are audited from outside. `make demo` runs it.
//
//   twofold-demo              two SQLite files
//   twofold-demo --postgres   two PostgreSQL servers that it starts for itself
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
#include <cstring>
#include <thread>

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

// Who is killed and where. Without a crash point: at a random moment, from outside.
struct Act {
    int victim = kCoordinator;  // or the participant's index
    const char* point = nullptr;
    int turn = 1;
    const char* meaning = "";
};

// Points of the same process are armed one after the other, each when the process is started again.
constexpr Act kPlot[] = {
    {kCoordinator,
     "coord_after_decision_forced",
     40,
     "a decision was just forced to its log, nobody knows it yet"},
    {1,
     "part_after_prepare_before_reply",
     25,
     "its branch is prepared and durable, its yes was never sent"},
    {kCoordinator,
     "coord_after_first_commit_ack",
     30,
     "one database has committed, the other has not"},
    {0, nullptr, 0, "at a random moment, from outside"},
    {kCoordinator, "coord_after_last_vote", 35, "all votes are yes, nothing is decided"},
    {1, "part_after_commit_before_reply", 30, "it has committed, its answer was never sent"},
    {kCoordinator, "wal_mid_batch", 30, "half of a log write is on the disk"},
    {kCoordinator, "coord_recovery_after_redrive", 1, "in its recovery from the kill before"},
    {kCoordinator, nullptr, 0, "at a random moment, from outside"},
};

class Demo {
public:
    explicit Demo(DemoDatabases& databases) : databases_(databases) {}

    int run();

private:
    [[nodiscard]] std::string set_the_stage();
    [[nodiscard]] std::string play(std::size_t act);
    [[nodiscard]] std::string wait_for_quiet();
    int reckon();

    [[nodiscard]] Process& process(int victim) {
        return victim == kCoordinator ? cluster_->coordinator()
                                      : cluster_->participant(static_cast<std::size_t>(victim));
    }
    [[nodiscard]] std::string name(int victim) const {
        return victim == kCoordinator
                   ? "the coordinator"
                   : "the sidecar of " + cluster_->spec(static_cast<std::size_t>(victim)).name;
    }
    [[nodiscard]] Environment arming(int victim, std::size_t from_act) const;
    [[nodiscard]] bool start(int victim, std::size_t next_act);
    [[nodiscard]] bool wait_for_death(const Act& act);
    void tell_progress(const char* what) const;
    void note_recovered();

    DemoDatabases& databases_;
    std::unique_ptr<Cluster> cluster_;
    std::unique_ptr<TransferLoad> load_;
    std::vector<Told> told_;
    int recovered_ = 0;
    int kills_ = 0;
    std::uint32_t random_ = static_cast<std::uint32_t>(getpid());
};

// The crash point that this process dies at next, if it has one in the rest of the plot.
Environment Demo::arming(int victim, std::size_t from_act) const {
    for (std::size_t act = from_act; act < std::size(kPlot); ++act) {
        if (kPlot[act].victim != victim) continue;
        if (kPlot[act].point == nullptr) return {};
        return {{"TWOFOLD_CRASH_AT",
                 std::string(kPlot[act].point) + ":" + std::to_string(kPlot[act].turn)}};
    }
    return {};
}

bool Demo::start(int victim, std::size_t next_act) {
    Environment environment = arming(victim, next_act);
    return victim == kCoordinator
               ? cluster_->start_coordinator(environment)
               : cluster_->start_participant(static_cast<std::size_t>(victim), environment);
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
    for (int victim : {0, 1, kCoordinator}) {
        if (!start(victim, 0)) return name(victim) + " did not start:\n" + cluster_->logs();
        say("Started %s (pid %d).", name(victim).c_str(), process(victim).pid());
    }
    if (!cluster_->wait_participants_up()) {
        return "the coordinator does not reach the sidecars:\n" + cluster_->logs();
    }
    return "";
}

// False when the process had to be killed from outside.
bool Demo::wait_for_death(const Act& act) {
    auto begin = Clock::now();
    auto told = begin;
    constexpr milliseconds kLongest{6000};
    random_ = random_ * 1664525U + 1013904223U;
    milliseconds limit = act.point != nullptr ? kLongest : milliseconds(600 + random_ % 700U);
    while (process(act.victim).running() && !interrupted && Clock::now() - begin < limit) {
        std::this_thread::sleep_for(milliseconds(10));
        if (Clock::now() - told > milliseconds(2000)) {
            told = Clock::now();
            tell_progress("money is moving");
        }
    }
    bool by_itself = !process(act.victim).running();
    process(act.victim).kill();
    return by_itself;
}

void Demo::note_recovered() {
    auto found = static_cast<int>(cluster_->client().metric("twofold_recovery_transactions_total"));
    recovered_ += found;
    if (found > 0)
        say("   It found %d unfinished transaction(s) in its log and took them up.", found);
}

std::string Demo::play(std::size_t number) {
    const Act& act = kPlot[number];
    bool by_itself = wait_for_death(act);
    if (interrupted) return "interrupted";
    ++kills_;
    bool planned = by_itself || act.point == nullptr;
    say("KILLED %s (SIGKILL): %s.",
        name(act.victim).c_str(),
        planned ? act.meaning : "from outside; its crash point was not reached in time");
    tell_progress("at this moment");
    // In the recovery: it dies before it is ready, so there is nothing to wait for.
    std::this_thread::sleep_for(milliseconds(250));  // clients notice that nobody is there
    bool dies_in_start = number + 1 < std::size(kPlot) && kPlot[number + 1].point != nullptr &&
                         std::string_view(kPlot[number + 1].point).starts_with("coord_recovery_");
    auto begin = Clock::now();
    if (dies_in_start) {
        cluster_->launch_coordinator(arming(kCoordinator, number + 1));
        return "";
    }
    if (!start(act.victim, number + 1)) {
        return name(act.victim) + " did not come back:\n" + cluster_->logs();
    }
    say("   Started %s again: ready after %.2f s.", name(act.victim).c_str(), seconds_since(begin));
    if (act.victim == kCoordinator) note_recovered();
    return "";
}

std::string Demo::wait_for_quiet() {
    say("The clients stop. Waiting until nothing is in doubt any more.");
    told_ = load_->stop();
    auto begin = Clock::now();
    bool quiet = wait_until([this] { return interrupted || cluster_->prepared_left() == 0; });
    if (interrupted) return "interrupted";
    if (!quiet) return "branches are still prepared after 30 s:\n" + cluster_->logs();
    say("Nothing is prepared any more (%.2f s).", seconds_since(begin));
    return "";
}

int Demo::reckon() {
    say("Auditing the books from outside:");
    auto audited = audit(databases_.audited(*cluster_), told_);
    if (!audited.has_value()) return failed(audited.error().text());
    const AuditResult& books = audited.value();
    long long imbalance = books.sum - cluster_->expected_sum();
    say("%d processes were killed; %d transactions were found in doubt and finished by recovery.",
        kills_,
        recovered_);
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
    if (recovered_ < 1) return failed("no transaction was in doubt at any kill: nothing was shown");
    std::printf("demo: ok transactions=%d committed=%d aborted=%d recovered=%d imbalance=0\n",
                books.committed + books.aborted,
                books.committed,
                books.aborted,
                recovered_);
    return 0;
}

int Demo::run() {
    std::string problem = set_the_stage();
    if (!problem.empty()) return failed(problem);
    say("Three clients transfer money in both directions; every 12th asks for more than there is.");
    load_ = std::make_unique<TransferLoad>(
        *cluster_, LoadOptions{.clients = 3, .prefix = "demo", .overdraft_every = 12});
    for (std::size_t act = 0; act < std::size(kPlot); ++act) {
        problem = play(act);
        if (!problem.empty()) return failed(problem);
    }
    std::this_thread::sleep_for(milliseconds(700));
    problem = wait_for_quiet();
    if (!problem.empty()) return failed(problem);
    return reckon();
}

int usage(std::FILE* out) {
    std::fprintf(out,
                 "Usage: twofold-demo [--postgres]\n"
                 "Moves money between two databases while processes are killed, then audits the "
                 "books.\n"
                 "  --postgres   on two PostgreSQL servers that it starts for itself, instead of "
                 "two SQLite files\n");
    return out == stdout ? 0 : 2;
}

int run_demo(bool postgres) {
    struct sigaction action {};
    action.sa_handler = &on_interrupt;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    begin_of_story = Clock::now();
    auto databases = postgres ? demo_postgres() : demo_sqlite();
    if (!databases.has_value()) return failed(databases.error().context);
    return Demo(*databases.value()).run();
}

}  // namespace
}  // namespace twofold::integration

int main(int count, char** arguments) {
    bool postgres = false;
    for (int i = 1; i < count; ++i) {
        std::string_view argument(arguments[i]);
        if (argument == "--help" || argument == "-h") return twofold::integration::usage(stdout);
        if (argument != "--postgres") return twofold::integration::usage(stderr);
        postgres = true;
    }
    return twofold::integration::run_demo(postgres);
}
