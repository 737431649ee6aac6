// twofold-kill: processes are killed with SIGKILL at moments that nobody chose, while clients move
// money and append to lists. `make kill CYCLES=N` runs it.
//
// A cycle is one kill and the recovery of what was killed: the coordinator, a sidecar, now and then
// a PostgreSQL server, or two of them at once; every fourth time the recovery is killed too. It
// ends when everything is back and every branch that was in doubt has been finished. At the end the
// books, the answers, the log and what is left over are looked at from outside; the log also every
// twenty cycles, while its coordinator is dead.
//
// The last line is "kill: ok …" and the exit code 0 only when nothing was found wrong.
#include "integration/long_run.h"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

namespace twofold::integration {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kCyclesPerLook = 20;

struct KillOptions {
    int cycles = 100;
    std::uint64_t seed = 1;
    std::size_t sqlite = 2;
    std::size_t postgres = 2;
    Sabotage sabotage = Sabotage::none;
};

class KillRun {
public:
    explicit KillRun(const KillOptions& options) : options_(options), random_(options.seed) {}

    int run();

private:
    int failed(const std::string& why) const;
    [[nodiscard]] std::string cycle();
    [[nodiscard]] std::vector<Part> choose();
    [[nodiscard]] Part choose_one(bool with_server);
    [[nodiscard]] std::string bring_back(const std::vector<Part>& victims);
    [[nodiscard]] std::string copy_log();
    [[nodiscard]] std::string look_at_log();
    void note_doubtful(const std::vector<Part>& victims, std::set<PreparedBranch>& doubtful);
    void tell_progress(int done) const;
    int reckon(std::vector<Deed> deeds);

    [[nodiscard]] int up_to(int limit) {
        return std::uniform_int_distribution<int>(0, limit - 1)(random_);
    }

    KillOptions options_;
    std::mt19937_64 random_;
    std::unique_ptr<MixedSystem> system_;
    std::unique_ptr<Workload> load_;
    std::optional<LogAuditor> auditor_;
    bool copied_ = false;  // the log, while its coordinator was dead: not looked at yet
    Clock::time_point begin_ = Clock::now();
    int cycles_ = 0;
    std::map<std::string, int> kills_;
    std::uint64_t in_doubt_ = 0;
    std::uint64_t unresolved_ = 0;
    std::vector<std::int64_t> recovery_ms_;
};

int KillRun::failed(const std::string& why) const {
    std::printf("kill: FAILED %s (seed %llu)\n",
                why.c_str(),
                static_cast<unsigned long long>(options_.seed));
    return 1;
}

Part KillRun::choose_one(bool with_server) {
    int chance = up_to(100);
    if (with_server && options_.postgres > 0 && chance < 8) {
        return {Part::Kind::server,
                static_cast<std::size_t>(up_to(static_cast<int>(options_.postgres)))};
    }
    if (chance < 55) return {Part::Kind::coordinator, 0};
    return {Part::Kind::sidecar,
            static_cast<std::size_t>(up_to(static_cast<int>(system_->cluster().size())))};
}

std::vector<Part> KillRun::choose() {
    std::vector<Part> victims{choose_one(true)};
    if (up_to(7) == 0) {
        Part second = choose_one(true);
        if (second != victims.front()) victims.push_back(second);
    }
    return victims;
}

// Looks from outside at what the dead have left behind. What a dead server holds is seen when it is
// back.
void KillRun::note_doubtful(const std::vector<Part>& victims, std::set<PreparedBranch>& doubtful) {
    for (const Part& victim : victims) {
        doubtful.merge(system_->prepared(system_->held_up_by(victim)).branches);
    }
}

std::string KillRun::bring_back(const std::vector<Part>& victims) {
    bool again = up_to(4) == 0;
    for (const Part& victim : victims) {
        std::string problem = system_->launch(victim);
        if (!problem.empty()) return problem;
    }
    if (again) {
        std::this_thread::sleep_for(milliseconds(up_to(60)));
        for (const Part& victim : victims) {
            system_->kill(victim);
            ++kills_["again, in the recovery"];
        }
        for (const Part& victim : victims) {
            std::string problem = system_->launch(victim);
            if (!problem.empty()) return problem;
        }
    }
    for (const Part& victim : victims) {
        if (!system_->wait_ready(victim)) {
            return system_->name(victim) + " did not come back:\n" + system_->cluster().logs();
        }
    }
    return "";
}

std::string KillRun::cycle() {
    std::this_thread::sleep_for(milliseconds(10 + up_to(150)));
    std::vector<Part> victims = choose();
    for (const Part& victim : victims) {
        if (!system_->running(victim)) {
            return system_->name(victim) + " has ended by itself:\n" + system_->cluster().logs();
        }
        system_->kill(victim);
        ++kills_[system_->name(victim)];
    }
    auto killed = Clock::now();
    std::set<PreparedBranch> doubtful;
    note_doubtful(victims, doubtful);
    std::string problem = copy_log();
    if (problem.empty()) problem = bring_back(victims);
    if (!problem.empty()) return problem;
    note_doubtful(victims, doubtful);
    in_doubt_ += doubtful.size();
    if (!system_->wait_finished(doubtful)) {
        ++unresolved_;
        return "branches are still in doubt:\n" + system_->cluster().logs();
    }
    recovery_ms_.push_back(std::chrono::duration_cast<milliseconds>(Clock::now() - killed).count());
    return look_at_log();
}

// Now and then, while nobody writes to it.
std::string KillRun::copy_log() {
    bool wanted = cycles_ / kCyclesPerLook >= auditor_->looks();
    if (!wanted || system_->running({Part::Kind::coordinator, 0})) return "";
    auto copied = auditor_->copy(system_->cluster().log_directory());
    copied_ = copied.has_value();
    return copied_ ? "" : copied.error().text();
}

std::string KillRun::look_at_log() {
    if (!std::exchange(copied_, false)) return "";
    auto looked = auditor_->look();
    return looked.has_value() ? "" : "the log: " + looked.error().context;
}

void KillRun::tell_progress(int done) const {
    double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    std::printf(
        "[%7.1f s] %d cycles, in doubt %llu; committed %llu, aborted %llu, unanswered %llu\n",
        seconds,
        done,
        static_cast<unsigned long long>(in_doubt_),
        static_cast<unsigned long long>(load_->committed()),
        static_cast<unsigned long long>(load_->aborted()),
        static_cast<unsigned long long>(load_->unanswered()));
    std::fflush(stdout);
}

int KillRun::reckon(std::vector<Deed> deeds) {
    std::uint64_t requests = deeds.size();
    auto settled = settle(*system_, std::move(deeds), *auditor_, options_.sabotage);
    if (!settled.has_value()) return failed(settled.error().text());
    LongRunResult& result = settled.value();
    for (std::string& complaint : load_->complaints()) {
        result.books.violations.push_back(std::move(complaint));
    }
    for (const auto& [name, count] : kills_) std::printf("killed %s: %d\n", name.c_str(), count);
    std::printf(
        "requests %llu, committed %llu, answers asked again %llu; "
        "from kill to resolved: p50 %lld ms, p99 %lld ms, longest %lld ms\n",
        static_cast<unsigned long long>(requests),
        static_cast<unsigned long long>(result.books.committed),
        static_cast<unsigned long long>(result.asked),
        static_cast<long long>(percentile(recovery_ms_, 50)),
        static_cast<long long>(percentile(recovery_ms_, 99)),
        static_cast<long long>(percentile(recovery_ms_, 100)));
    std::printf("looked at the log %d times; at last %s", auditor_->looks(), result.log.c_str());
    print_findings("violation", result.books.violations);
    print_findings("left over", result.residue);
    std::string sums = " unresolved=" + std::to_string(unresolved_) +
                       " imbalance=" + std::to_string(result.books.imbalance);
    if (!result.books.violations.empty() || !result.residue.empty()) {
        return failed("violations=" + std::to_string(result.books.violations.size()) +
                      " residue=" + std::to_string(result.residue.size()) + sums);
    }
    if (result.books.committed == 0) return failed("nothing was committed: nothing was shown");
    std::printf("kill: ok cycles=%d in_doubt=%llu%s\n",
                cycles_,
                static_cast<unsigned long long>(in_doubt_),
                sums.c_str());
    return 0;
}

int KillRun::run() {
    auto auditor = LogAuditor::create();
    if (!auditor.has_value()) return failed(auditor.error().text());
    auditor_.emplace(std::move(auditor.value()));
    MixedSystemOptions wanted{.sqlite = options_.sqlite, .postgres = options_.postgres};
    wanted.spec.log_yaml = kSmallestLog;
    auto made = MixedSystem::create(std::move(wanted));
    if (!made.has_value()) return failed(made.error().text());
    system_ = std::move(made.value());
    std::printf(
        "kill: %d cycles on %zu SQLite files and %zu PostgreSQL servers, seed %llu, in %s\n",
        options_.cycles,
        options_.sqlite,
        options_.postgres,
        static_cast<unsigned long long>(options_.seed),
        system_->cluster().directory().c_str());
    std::fflush(stdout);
    load_ = std::make_unique<Workload>(system_->cluster(), WorkloadOptions{.seed = options_.seed});
    std::string problem;
    while (cycles_ < options_.cycles && problem.empty() && !is_interrupted()) {
        problem = cycle();
        if (problem.empty() && ++cycles_ % 25 == 0) tell_progress(cycles_);
    }
    if (!problem.empty()) {
        return failed("unresolved=" + std::to_string(unresolved_) + " in cycle " +
                      std::to_string(cycles_ + 1) + ": " + problem);
    }
    return reckon(load_->stop());
}

int usage(std::FILE* out) {
    std::fprintf(out,
                 "Usage: twofold-kill [--cycles N] [--seed N] [--sqlite N] [--postgres N] "
                 "[--sabotage NAME]\n"
                 "Kills processes under load, cycle by cycle, then audits the books.\n"
                 "Ctrl-C ends it after the cycle under way. Sabotages: %s\n",
                 sabotage_names().c_str());
    return out == stdout ? 0 : 2;
}

bool parse(int count, char** arguments, KillOptions& options) {
    for (int at = 1; at + 1 < count; at += 2) {
        std::string_view name(arguments[at]);
        const char* value = arguments[at + 1];
        std::uint64_t number = std::strtoull(value, nullptr, 10);
        if (name == "--cycles") {
            options.cycles = static_cast<int>(number);
        } else if (name == "--seed") {
            options.seed = number;
        } else if (name == "--sqlite") {
            options.sqlite = number;
        } else if (name == "--postgres") {
            options.postgres = number;
        } else if (auto known = sabotage_named(value); name == "--sabotage" && known) {
            options.sabotage = *known;
        } else {
            return false;
        }
    }
    return count % 2 == 1 && options.cycles > 0 && options.sqlite + options.postgres >= 2;
}

int run_kill(int count, char** arguments) {
    KillOptions options;
    if (count == 2 && std::string_view(arguments[1]) == "--help") return usage(stdout);
    if (!parse(count, arguments, options)) return usage(stderr);
    end_on_signals();
    return KillRun(options).run();
}

}  // namespace
}  // namespace twofold::integration

int main(int count, char** arguments) { return twofold::integration::run_kill(count, arguments); }
