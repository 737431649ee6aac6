// twofold-soak: a bank and lists in two SQLite files and two PostgreSQL servers, under load, while
// one thing after the other breaks and is mended. `make soak MINUTES=N` runs it.
//
// Faults: a process is killed, or stands still for a while; the network between coordinator and
// participants lies (integration/failing_proxy.h), in both directions of calls; a database server
// is shut down, or crashes; the coordinator's disk is full. After each, everything is mended and
// every branch that was prepared then must be finished; how long that takes is counted.
//
// The last line is "soak: ok …" and the exit code 0 only when nothing was found wrong.
#include "base/crash_point.h"
#include "integration/failing_proxy.h"
#include "integration/long_run.h"

#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <thread>

namespace twofold::integration {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kFaultsPerLook = 10;  // at the log

struct SoakOptions {
    std::chrono::seconds length{60};
    milliseconds pause_min{5'000};
    milliseconds pause_max{60'000};
    std::uint64_t seed = 1;
    Sabotage sabotage = Sabotage::none;
};

class Soak {
public:
    explicit Soak(const SoakOptions& options) : options_(options), random_(options.seed) {}

    int run();

private:
    int failed(const std::string& why) const;
    [[nodiscard]] std::string set_up();
    [[nodiscard]] std::string strike();
    [[nodiscard]] std::string kill_process();
    [[nodiscard]] std::string freeze();
    [[nodiscard]] std::string break_network();
    [[nodiscard]] std::string restart_database();
    [[nodiscard]] std::string fill_disk();
    [[nodiscard]] std::string bring_back(const Part& part);
    [[nodiscard]] std::string wait_resolved();
    void look_at_log();
    void copy_log();
    int reckon(std::vector<Deed> deeds);

    [[nodiscard]] int up_to(int limit) {
        return std::uniform_int_distribution<int>(0, limit - 1)(random_);
    }
    [[nodiscard]] milliseconds between(int low, int high) {
        return milliseconds(low + up_to(high - low + 1));
    }
    [[nodiscard]] Part any_process();
    [[gnu::format(printf, 2, 3)]] void say(const char* format, ...) const;

    SoakOptions options_;
    std::mt19937_64 random_;
    std::vector<std::unique_ptr<FailingProxy>>
        proxies_;  // of participants, then of the coordinator
    std::unique_ptr<MixedSystem> system_;
    std::unique_ptr<Workload> load_;
    std::optional<LogAuditor> auditor_;
    bool copied_ = false;
    Clock::time_point begin_ = Clock::now();
    std::map<std::string, int> faults_;
    int count_ = 0;
    std::vector<std::int64_t> resolve_ms_;
    std::vector<std::string> violations_;
};

void Soak::say(const char* format, ...) const {
    std::printf("[%7.1f s] ", std::chrono::duration<double>(Clock::now() - begin_).count());
    va_list values;
    va_start(values, format);
    std::vprintf(format, values);
    va_end(values);
    std::printf("\n");
    std::fflush(stdout);
}

int Soak::failed(const std::string& why) const {
    std::printf("soak: FAILED %s (seed %llu)\n",
                why.c_str(),
                static_cast<unsigned long long>(options_.seed));
    return 1;
}

std::string Soak::set_up() {
    auto auditor = LogAuditor::create();
    if (!auditor.has_value()) return auditor.error().text();
    auditor_.emplace(std::move(auditor.value()));
    MixedSystemOptions wanted;
    for (std::size_t index = 0; index <= wanted.sqlite + wanted.postgres; ++index) {
        auto proxy = FailingProxy::create();
        if (!proxy.has_value()) return proxy.error().text();
        proxies_.push_back(std::move(proxy.value()));
    }
    for (const auto& proxy : proxies_) wanted.ports.push_back(proxy->port());
    wanted.spec.coordinator_seen_at = proxies_.back()->port();
    wanted.spec.log_yaml = kSmallestLog;
    wanted.created = [this](Cluster& cluster) {
        for (std::size_t index = 0; index < cluster.size(); ++index) {
            proxies_[index]->set_target(cluster.participant_port(index));
        }
        proxies_.back()->set_target(cluster.coordinator_port());
    };
    auto made = MixedSystem::create(std::move(wanted));
    if (!made.has_value()) return made.error().text();
    system_ = std::move(made.value());
    load_ = std::make_unique<Workload>(system_->cluster(), WorkloadOptions{.seed = options_.seed});
    return "";
}

Part Soak::any_process() {
    int chosen = up_to(static_cast<int>(system_->cluster().size()) + 2);
    // The coordinator twice as often as each of the others.
    if (chosen < 2) return {Part::Kind::coordinator, 0};
    return {Part::Kind::sidecar, static_cast<std::size_t>(chosen - 2)};
}

std::string Soak::bring_back(const Part& part) {
    std::string problem = system_->launch(part);
    if (!problem.empty()) return problem;
    if (system_->wait_ready(part)) return "";
    return system_->name(part) + " did not come back:\n" + system_->cluster().logs();
}

std::string Soak::kill_process() {
    Part part = any_process();
    say("kill: %s", system_->name(part).c_str());
    ++faults_["kill"];
    system_->kill(part);
    std::this_thread::sleep_for(between(0, 1500));
    copy_log();
    return bring_back(part);
}

std::string Soak::freeze() {
    Part part = any_process();
    milliseconds time = between(200, 4000);
    say("freeze: %s for %lld ms",
        system_->name(part).c_str(),
        static_cast<long long>(time.count()));
    ++faults_["freeze"];
    system_->signal(part, SIGSTOP);
    std::this_thread::sleep_for(time);
    system_->signal(part, SIGCONT);
    return "";
}

std::string Soak::break_network() {
    using Kind = NetworkFault::Kind;
    NetworkFault fault;
    fault.kind = static_cast<Kind>(1 + up_to(static_cast<int>(Kind::hold)));
    fault.delivered = up_to(2) == 0 || fault.kind == Kind::trickle || fault.kind == Kind::latency ||
                      fault.kind == Kind::hold || fault.kind == Kind::duplicate;
    fault.delay = fault.kind == Kind::trickle ? milliseconds(1 + up_to(5)) : between(20, 1500);
    fault.status = up_to(2) == 0 ? 200 : 404;
    fault.location = "http://127.0.0.1:1/";
    auto where = static_cast<std::size_t>(up_to(static_cast<int>(proxies_.size())));
    milliseconds time = between(300, 4000);
    std::string kind = network_fault_name(fault.kind) + (fault.delivered ? "" : ", not delivered");
    std::string whom = where + 1 == proxies_.size()
                           ? std::string("the coordinator, for its participants")
                           : system_->cluster().spec(where).name;
    say("network: %s, to %s for %lld ms",
        kind.c_str(),
        whom.c_str(),
        static_cast<long long>(time.count()));
    ++faults_["network " + network_fault_name(fault.kind)];
    proxies_[where]->set(fault);
    std::this_thread::sleep_for(time);
    proxies_[where]->heal();
    return "";
}

std::string Soak::restart_database() {
    Part part{Part::Kind::server,
              static_cast<std::size_t>(up_to(static_cast<int>(system_->servers())))};
    bool orderly = up_to(2) == 0;
    say("%s: %s", orderly ? "shutdown" : "crash", system_->name(part).c_str());
    ++faults_[orderly ? "database shutdown" : "database crash"];
    if (orderly) {
        system_->server(part.index).stop();
    } else {
        system_->kill(part);
    }
    std::this_thread::sleep_for(between(0, 1500));
    return bring_back(part);
}

// The system's own answer to a write is played by the program, so that no disk has to be filled:
// one of its next segments and ever after there is no space.
std::string Soak::fill_disk() {
    if (base::crash_points().empty()) return "";  // this build cannot play it
    Part part{Part::Kind::coordinator, 0};
    int turn = 2 + up_to(4);
    say("disk full: the coordinator, at its segment %d", turn);
    Cluster& cluster = system_->cluster();
    system_->kill(part);
    cluster.launch_coordinator(
        {{"TWOFOLD_FAULT_AT", "wal_spare_before_create:" + std::to_string(turn) + "=enospc+"}});
    std::this_thread::sleep_for(between(1000, 4000));
    bool reached = cluster.coordinator().output().find("crash point wal_spare_before_create") !=
                   std::string::npos;
    ++faults_[reached ? "disk full" : "disk full, but no segment was made in time"];
    system_->kill(part);
    return bring_back(part);
}

void Soak::copy_log() {
    bool wanted = count_ / kFaultsPerLook >= auditor_->looks();
    if (!wanted || system_->running({Part::Kind::coordinator, 0})) return;
    auto copied = auditor_->copy(system_->cluster().log_directory());
    copied_ = copied.has_value();
    if (!copied_) violations_.push_back(copied.error().text());
}

void Soak::look_at_log() {
    if (!std::exchange(copied_, false)) return;
    auto looked = auditor_->look();
    if (!looked.has_value()) violations_.push_back("the log: " + looked.error().context);
}

// Everything is mended: what is prepared now is finished soon.
std::string Soak::wait_resolved() {
    auto mended = Clock::now();
    bool resolved = system_->wait_finished(system_->prepared(system_->all_participants()).branches);
    resolve_ms_.push_back(std::chrono::duration_cast<milliseconds>(Clock::now() - mended).count());
    if (!resolved) return "branches are not finished after a fault:\n" + system_->cluster().logs();
    return "";
}

std::string Soak::strike() {
    ++count_;
    int chance = up_to(100);
    std::string problem;
    if (chance < 30) {
        problem = kill_process();
    } else if (chance < 45) {
        problem = freeze();
    } else if (chance < 80) {
        problem = break_network();
    } else if (chance < 92) {
        problem = restart_database();
    } else {
        problem = fill_disk();
    }
    if (problem.empty()) problem = wait_resolved();
    if (problem.empty()) look_at_log();
    for (const Part& part : system_->all_parts()) {
        if (problem.empty() && !system_->running(part)) {
            problem = system_->name(part) + " has ended by itself:\n" + system_->cluster().logs();
        }
    }
    return problem;
}

int Soak::reckon(std::vector<Deed> deeds) {
    std::uint64_t requests = deeds.size();
    auto settled = settle(*system_, std::move(deeds), *auditor_, options_.sabotage);
    if (!settled.has_value()) return failed(settled.error().text());
    LongRunResult& result = settled.value();
    for (std::string& one : result.books.violations) violations_.push_back(std::move(one));
    for (std::string& one : load_->complaints()) violations_.push_back(std::move(one));
    for (const auto& [name, count] : faults_) std::printf("%s: %d\n", name.c_str(), count);
    std::printf("committed %llu, answers asked again %llu; looked at the log %d times; at last %s",
                static_cast<unsigned long long>(result.books.committed),
                static_cast<unsigned long long>(result.asked),
                auditor_->looks(),
                result.log.c_str());
    print_findings("violation", violations_);
    print_findings("left over", result.residue);
    std::string figures = "transactions=" + std::to_string(requests) +
                          " faults=" + std::to_string(count_) +
                          " violations=" + std::to_string(violations_.size()) +
                          " residue=" + std::to_string(result.residue.size()) +
                          " resolve_p99_ms=" + std::to_string(percentile(resolve_ms_, 99));
    if (!violations_.empty() || !result.residue.empty()) return failed(figures);
    if (result.books.committed == 0 || count_ == 0) return failed("nothing was shown: " + figures);
    std::printf("soak: ok %s\n", figures.c_str());
    return 0;
}

int Soak::run() {
    std::string problem = set_up();
    if (!problem.empty()) return failed(problem);
    say("everything of this run lies in %s, seed %llu",
        system_->cluster().directory().c_str(),
        static_cast<unsigned long long>(options_.seed));
    auto end = Clock::now() + options_.length;
    while (problem.empty() && !is_interrupted()) {
        auto pause = between(static_cast<int>(options_.pause_min.count()),
                             static_cast<int>(options_.pause_max.count()));
        auto next = std::min(end, Clock::now() + pause);
        while (Clock::now() < next && !is_interrupted())
            std::this_thread::sleep_for(milliseconds(20));
        if (Clock::now() >= end) break;
        problem = strike();
    }
    if (!problem.empty()) return failed("after fault " + std::to_string(count_) + ": " + problem);
    return reckon(load_->stop());
}

int usage(std::FILE* out) {
    std::fprintf(out,
                 "Usage: twofold-soak [--minutes N | --seconds N] [--pause-min-ms N] "
                 "[--pause-max-ms N] [--seed N] [--sabotage NAME]\n"
                 "Load and faults on two SQLite files and two PostgreSQL servers, then an audit.\n"
                 "Ctrl-C ends it after the fault under way. Sabotages: %s\n",
                 sabotage_names().c_str());
    return out == stdout ? 0 : 2;
}

bool parse(int count, char** arguments, SoakOptions& options) {
    for (int at = 1; at + 1 < count; at += 2) {
        std::string_view name(arguments[at]);
        const char* value = arguments[at + 1];
        std::uint64_t number = std::strtoull(value, nullptr, 10);
        if (name == "--minutes") {
            options.length = std::chrono::minutes(number);
        } else if (name == "--seconds") {
            options.length = std::chrono::seconds(number);
        } else if (name == "--pause-min-ms") {
            options.pause_min = milliseconds(number);
        } else if (name == "--pause-max-ms") {
            options.pause_max = milliseconds(number);
        } else if (name == "--seed") {
            options.seed = number;
        } else if (auto known = sabotage_named(value); name == "--sabotage" && known) {
            options.sabotage = *known;
        } else {
            return false;
        }
    }
    return count % 2 == 1 && options.length.count() > 0 && options.pause_min <= options.pause_max;
}

int run_soak(int count, char** arguments) {
    SoakOptions options;
    if (count == 2 && std::string_view(arguments[1]) == "--help") return usage(stdout);
    if (!parse(count, arguments, options)) return usage(stderr);
    end_on_signals();
    return Soak(options).run();
}

}  // namespace
}  // namespace twofold::integration

int main(int count, char** arguments) { return twofold::integration::run_soak(count, arguments); }
