#include "integration/crash_cell_run.h"

#include "integration/cluster.h"
#include "integration/crash_checks.h"
#include "integration/crash_traffic.h"

#include <csignal>
#include <mutex>
#include <thread>
#include <utility>

namespace twofold::integration {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The longest timeout that a cell configures is a second; a pause takes three of them.
constexpr const char* kLongestTimeout = "1s";
constexpr const char* kInterval = "200ms";
constexpr milliseconds kPause{3000};
constexpr milliseconds kReach{30'000};  // until the point is passed
constexpr milliseconds kEnd{30'000};    // until a process that must end has ended
constexpr milliseconds kLook{5};
// A process that an error ends does so at once; one that lives on is not waited for for longer.
constexpr milliseconds kAfterError{300};
constexpr int kCommitsBefore = 4;
constexpr int kCommitsAfter = 4;

// The smallest log, so that a few dozen transactions begin segments and checkpoints.
ClusterSpec spec_of(const CrashCell& cell, const std::vector<std::string>& databases) {
    ClusterSpec spec;
    std::string limits = std::string("lock_timeout: 500ms\nstatement_timeout: ") + kLongestTimeout +
                         "\ndrain_limit: " + kLongestTimeout + "\n";
    spec.participants = {{.name = "orders", .extra_yaml = limits},
                         {.name = "stock", .extra_yaml = limits}};
    if (cell.store == DatabaseKind::postgres) {
        for (std::size_t index = 0; index < databases.size(); ++index) {
            spec.participants[index].postgres_dsn = databases[index];
        }
    }
    // Spares are made while the log grows, and segments are removed when a checkpoint frees more of
    // them than are kept as spares.
    bool is_long =
        cell.point.name == "wal_recycle_before_remove" || cell.point.name.starts_with("wal_spare_");
    spec.log_yaml = std::string("{ segment_size_bytes: 65536, checkpoint_bytes: ") +
                    (is_long ? "720896" : "65536") + " }";
    spec.inquiry = kInterval;
    spec.retry_max = kInterval;
    spec.info_interval = kInterval;
    spec.deadline_default = kLongestTimeout;
    spec.coordinator_yaml = std::string("drain_limit: ") + kLongestTimeout + "\n";
    return spec;
}

class CellRun {
public:
    CellRun(const CrashCell& cell, std::vector<std::string> databases)
        : cell_(cell), databases_(std::move(databases)) {}

    CellResult run();

private:
    void arrange();
    void start_armed();
    void begin_traffic();
    void die_before_and_start_armed();
    void let_a_participant_ask();
    void reach();
    void suffer();
    void expect_end(int signal);
    void mend();
    void check();

    void complain(std::string text) { result_.complaints.push_back(std::move(text)); }
    [[nodiscard]] bool is_well() const { return result_.complaints.empty(); }
    [[nodiscard]] bool strikes_coordinator() const { return cell_.point.owner == "coordinator"; }
    [[nodiscard]] std::size_t index() const { return static_cast<std::size_t>(cell_.turn) % 2; }
    [[nodiscard]] Process& victim() {
        return strikes_coordinator() ? cluster_->coordinator() : cluster_->participant(index());
    }
    void launch_victim(const Environment& environment) {
        if (strikes_coordinator()) return cluster_->launch_coordinator(environment);
        cluster_->launch_participant(index(), environment);
    }
    [[nodiscard]] Environment armed(bool from_the_start) const;
    [[nodiscard]] std::string trigger() const { return cluster_->directory() + "/armed"; }
    [[nodiscard]] std::string mark() const {
        return "crash point " + cell_.point.name + ": " + cell_.action;
    }
    [[nodiscard]] bool wait_ready(Process& process) {
        return process.wait_for_output(": ready on ", kPatience);
    }
    // Passed by what is prepared only, not by what is refused.
    [[nodiscard]] std::string after_prepare() const {
        return cell_.store == DatabaseKind::sqlite ? "sqlite_after_prepare" : "pg_after_prepare";
    }
    [[nodiscard]] bool must_die_by_error() const;

    const CrashCell& cell_;
    std::vector<std::string> databases_;
    std::unique_ptr<Cluster> cluster_;
    std::unique_ptr<CrashTraffic> traffic_;
    CellResult result_;
};

Environment CellRun::armed(bool from_the_start) const {
    std::string action = cell_.action;
    if (action == "stall") action += "/" + std::to_string(kPause.count());
    std::string text = cell_.point.name + ":" + std::to_string(cell_.turn) + "=" + action;
    if (!from_the_start) text += "@" + trigger();
    return {{"TWOFOLD_FAULT_AT", text}};
}

// ---- before
// --------------------------------------------------------------------------------------

void CellRun::arrange() {
    {
        // Ports are given out one after the other.
        static std::mutex mutex;
        std::lock_guard lock(mutex);
        auto made = Cluster::create(spec_of(cell_, databases_));
        if (!made.has_value()) return complain("no cluster: " + made.error().text());
        cluster_ = std::move(made.value());
    }
    for (std::size_t one = 0; one < cluster_->size(); ++one) {
        auto created = create_family(cluster_->database(one));
        if (!created.has_value()) return complain("no tables: " + created.error().text());
    }
    start_armed();
    if (!is_well() || cell_.point.moment == "first") return;
    if (cell_.point.moment == "start" || cell_.point.moment == "settle") {
        return die_before_and_start_armed();
    }
    if (cell_.point.moment == "inquiry") return let_a_participant_ask();
    write_file(trigger(), "");
    if (cell_.point.moment == "idle") traffic_->stop();
    if (cell_.point.moment == "stop") victim().signal(SIGTERM);
}

void CellRun::start_armed() {
    bool is_first = cell_.point.moment == "first";
    for (std::size_t one = 0; one < cluster_->size(); ++one) {
        bool struck = !strikes_coordinator() && one == index();
        cluster_->launch_participant(one, struck ? armed(is_first) : Environment());
    }
    cluster_->launch_coordinator(strikes_coordinator() ? armed(is_first) : Environment());
    if (!is_first) {
        bool up = wait_ready(cluster_->participant(0)) && wait_ready(cluster_->participant(1)) &&
                  wait_ready(cluster_->coordinator()) && cluster_->wait_participants_up();
        if (!up) return complain("the cluster does not start");
    }
    begin_traffic();
}

// One interactive branch at a time holds a SQLite file: a second client would only be in its way.
void CellRun::begin_traffic() {
    bool is_exclusive =
        cell_.store == DatabaseKind::sqlite && cell_.path == TrafficPath::interactive;
    traffic_ = std::make_unique<CrashTraffic>(*cluster_, cell_.path, is_exclusive ? 1 : 2);
    if (cell_.point.moment == "first") return;
    bool going = wait_until([this] { return traffic_->committed() >= kCommitsBefore; });
    if (!going) complain("nothing is committed before the fault");
}

// What this start finds: work that the one before has left unfinished.
void CellRun::die_before_and_start_armed() {
    std::string before = after_prepare();
    // SQLite writes nothing when it finds the witness: there the work must not have been done.
    bool needs_tombstone = cell_.point.owner == "sqlite";
    if (cell_.point.moment == "settle") {
        before = needs_tombstone ? "part_before_one_phase" : "part_after_one_phase_before_reply";
    }
    if (strikes_coordinator()) before = "coord_after_decision_forced";
    launch_victim({{"TWOFOLD_CRASH_AT", before}});
    auto died = victim().wait(kReach);
    if (!died || !died->killed_by(SIGKILL)) return complain("it did not die before");
    launch_victim(armed(true));
}

void CellRun::let_a_participant_ask() {
    std::size_t asking = strikes_coordinator() ? 1 : index();
    cluster_->launch_participant(asking, {{"TWOFOLD_CRASH_AT", after_prepare()}});
    auto died = cluster_->participant(asking).wait(kReach);
    if (!died || !died->killed_by(SIGKILL)) return complain("the participant did not die before");
    write_file(trigger(), "");
    cluster_->launch_participant(asking, strikes_coordinator() ? Environment() : armed(true));
}

// ---- the fault
// -----------------------------------------------------------------------------------

void CellRun::reach() {
    if (!victim().wait_for_output(mark(), kReach)) {
        auto status = victim().exit_status();
        complain("the point was never passed; the process " +
                 (status ? "ended with " + status->text() : std::string("still runs")));
    }
}

// After a failed force nothing can be known about the log in that process. The mark only sharpens
// the reader's judgement, and at the end of a process nothing is left to be wrong.
bool CellRun::must_die_by_error() const {
    return cell_.action == "eio" && strikes_coordinator() && cell_.point.moment != "stop" &&
           cell_.point.name != "wal_before_mark" && !cell_.point.name.starts_with("wal_mark_");
}

void CellRun::suffer() {
    if (cell_.action == "kill") return expect_end(SIGKILL);
    if (cell_.action == "abort") return expect_end(SIGABRT);
    bool stays = cell_.action == "pause" || cell_.action == "stall";
    if (stays) std::this_thread::sleep_for(kPause);
    if (cell_.action == "pause") victim().signal(SIGCONT);
    if (cell_.point.moment == "stop" || must_die_by_error()) return expect_end(0);
    auto ended = victim().wait(kAfterError);
    bool must_live = stays || cell_.action == "short";
    if (ended && must_live) complain("the process ended: " + ended->text());
}

void CellRun::expect_end(int signal) {
    auto ended = victim().wait(kEnd);
    if (!ended) return complain("the process did not end");
    bool as_expected = signal != 0 ? ended->killed_by(signal) : !ended->signalled;
    if (must_die_by_error()) as_expected = ended->exited_with(1);
    if (!as_expected) complain("the process ended in another way: " + ended->text());
}

// ---- after
// ---------------------------------------------------------------------------------------

// What has ended is started again, the others must not have.
void CellRun::mend() {
    int before = traffic_->committed();
    bool has_clients = cell_.point.moment != "idle";
    auto give_up = steady_clock::now() + kPatience;
    while (steady_clock::now() < give_up) {
        if (!victim().running()) launch_victim({});
        if (traffic_->committed() >= before + kCommitsAfter) return;
        if (!has_clients && cluster_->transfer({.amount = 1}).status == 200) return;
        std::this_thread::sleep_for(kLook);
    }
    complain("nothing is committed after the fault");
}

void CellRun::check() {
    traffic_->stop();
    std::vector<Deed> deeds = traffic_->take_deeds();
    if (!victim().running()) launch_victim({});
    if (!wait_ready(victim()) || !cluster_->wait_participants_up()) {
        return complain("not everything is up again");
    }
    CrashChecks checks(*cluster_, std::move(deeds));
    checks.ask_again();
    checks.expect_nothing_left();
    checks.expect_books();
    checks.expect_log_readable();
    for (const std::string& text : checks.complaints()) complain(text);
    for (std::size_t one = 0; one < cluster_->size(); ++one) {
        if (!cluster_->participant(one).running()) complain("a sidecar has died by itself");
    }
}

CellResult CellRun::run() {
    arrange();
    if (is_well()) reach();
    if (is_well()) suffer();
    if (is_well()) mend();
    if (is_well()) check();
    if (!is_well() && cluster_) result_.logs = cluster_->logs(12);
    if (cluster_) cluster_->stop_all();
    traffic_ = nullptr;  // its clients have nobody to wait for any more
    return std::move(result_);
}

}  // namespace

CellResult run_cell(const CrashCell& cell, const std::vector<std::string>& databases) {
    return CellRun(cell, databases).run();
}

}  // namespace twofold::integration
