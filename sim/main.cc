// twofold-sim: runs seeds, replays one, or plants a bug and looks for the seed that shows it.
#include "base/assert.h"
#include "sim/run.h"
#include "sim/sabotage.h"
#include "sim/shrink.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using twofold::sim::RunReport;
using twofold::sim::Sabotage;

struct Arguments {
    std::uint64_t first = 1;
    std::uint64_t last = 1000;
    bool trace = false;
    bool list = false;
    bool keep_going = false;
    bool situations = false;
    bool shrink = false;
    std::string sabotage;
};

constexpr std::string_view kUsage =
    "usage: twofold-sim [--seeds A..B | --seed S] [--trace] [--keep-going] [--sabotage NAME]\n"
    "                   [--situations] [--list-sabotage] [--shrink S]\n"
    "  --seeds A..B     run all seeds from A to B (default 1..1000)\n"
    "  --seed S         run one seed\n"
    "  --trace          print what happens, line by line\n"
    "  --keep-going     one line for each failing seed, instead of stopping at the first\n"
    "  --situations     say how often each situation was reached; exits 1 when one was not, if\n"
    "                   there were enough seeds\n"
    "  --shrink S       make the run of a failing seed as short as it gets, and print it\n"
    "  --sabotage NAME  plant a bug; exits 1 with the seed at which a check notices it\n"
    "  --list-sabotage  print the names of the bugs\n";

bool parse_number(std::string_view text, std::uint64_t& out) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size();
}

bool parse_range(std::string_view text, Arguments& out) {
    std::size_t dots = text.find("..");
    if (dots == std::string_view::npos) return false;
    return parse_number(text.substr(0, dots), out.first) &&
           parse_number(text.substr(dots + 2), out.last) && out.first <= out.last;
}

std::optional<Arguments> parse(const std::vector<std::string_view>& words) {
    Arguments out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        std::string_view word = words[i];
        bool has_value = i + 1 < words.size();
        if (word == "--trace") {
            out.trace = true;
        } else if (word == "--keep-going") {
            out.keep_going = true;
        } else if (word == "--situations") {
            out.situations = true;
        } else if (word == "--list-sabotage") {
            out.list = true;
        } else if (word == "--seeds" && has_value && parse_range(words[i + 1], out)) {
            ++i;
        } else if (word == "--seed" && has_value && parse_number(words[i + 1], out.first)) {
            out.last = out.first;
            ++i;
        } else if (word == "--shrink" && has_value && parse_number(words[i + 1], out.first)) {
            out.shrink = true;
            ++i;
        } else if (word == "--sabotage" && has_value) {
            out.sabotage = words[++i];
        } else {
            return std::nullopt;
        }
    }
    return out;
}

void print_failure(std::uint64_t seed, const twofold::sim::Violation& violation) {
    std::printf(
        "sim: FAILED seed=%llu at %llu.%03llu ms\n  %s: %s\n%s\n  replay: twofold-sim --seed "
        "%llu --trace\n",
        static_cast<unsigned long long>(seed),
        static_cast<unsigned long long>(violation.at / 1000),
        static_cast<unsigned long long>(violation.at % 1000),
        violation.checker.c_str(),
        violation.text.c_str(),
        twofold::sim::options_from_seed(seed).text().c_str(),
        static_cast<unsigned long long>(seed));
}

struct Sum {
    std::uint64_t seeds = 0;
    std::uint64_t events = 0;
    std::uint64_t crashes = 0;
    std::uint64_t committed = 0;
    std::uint64_t aborted = 0;
    std::uint64_t hash = 0;
    twofold::sim::SituationHits hits{};

    void add(const RunReport& report) {
        ++seeds;
        events += report.events;
        crashes += report.crashes;
        committed += report.committed;
        aborted += report.aborted;
        hash = hash * 0x9e3779b97f4a7c15ULL + report.hash;
        for (std::size_t i = 0; i < hits.size(); ++i) hits[i] += report.hits[i];
    }
};

// So many seeds reach every situation, whichever they are: the rarest one is hit 7 times in 6,000
// seeds, and 10,000 miss it with a chance of 1 in 100,000 if no seed has it twice.
constexpr std::uint64_t kSeedsForAll = 10'000;

void print_situations(const Sum& sum) {
    for (std::size_t i = 0; i < sum.hits.size(); ++i) {
        const auto& situation = twofold::sim::kSituations[i];
        std::printf("%12llu  %-50s %s\n",
                    static_cast<unsigned long long>(sum.hits[i]),
                    std::string(situation.name).c_str(),
                    std::string(situation.what).c_str());
    }
}

int report_situations(const Arguments& arguments, const Sum& sum) {
    if (arguments.situations) print_situations(sum);
    std::size_t all = sum.hits.size();
    std::size_t reached =
        all - static_cast<std::size_t>(std::count(sum.hits.begin(), sum.hits.end(), 0));
    bool is_missed = reached < all && sum.seeds >= kSeedsForAll;
    for (std::size_t i = 0; i < all && is_missed; ++i) {
        if (sum.hits[i] > 0) continue;
        std::printf("sim: NOT REACHED %s\n",
                    std::string(twofold::sim::kSituations[i].name).c_str());
    }
    std::printf("sim: %s seeds=%llu events=%llu violations=0 rows=%llu/%llu\n",
                is_missed ? "FAILED" : "ok",
                static_cast<unsigned long long>(sum.seeds),
                static_cast<unsigned long long>(sum.events),
                static_cast<unsigned long long>(reached),
                static_cast<unsigned long long>(all));
    return is_missed ? 1 : 0;
}

// The processor's time, for the progress line only; nothing simulated depends on it.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

int run_seeds(const Arguments& arguments, const Sabotage& bugs) {
    Sum sum;
    std::uint64_t failed = 0;
    double said = processor_seconds();
    std::function<void(const std::string&)> listener;
    if (arguments.trace) {
        listener = [](const std::string& line) { std::printf("%s\n", line.c_str()); };
    }
    for (std::uint64_t seed = arguments.first; seed <= arguments.last; ++seed) {
        std::string context = "seed " + std::to_string(seed);
        twofold::base::set_assertion_context(context.c_str());
        RunReport report = twofold::sim::run_seed(seed, bugs, listener);
        sum.add(report);
        if (report.violation.has_value()) {
            ++failed;
            if (!arguments.keep_going) {
                print_failure(seed, *report.violation);
                return 1;
            }
            std::printf("sim: seed=%llu %s: %s\n",
                        static_cast<unsigned long long>(seed),
                        report.violation->checker.c_str(),
                        report.violation->text.c_str());
        }
        if (processor_seconds() - said < 3.0) continue;
        said = processor_seconds();
        std::fprintf(stderr, "sim: %llu seeds\n", static_cast<unsigned long long>(sum.seeds));
    }
    std::printf("sim: crashes=%llu committed=%llu aborted=%llu hash=%016llx\n",
                static_cast<unsigned long long>(sum.crashes),
                static_cast<unsigned long long>(sum.committed),
                static_cast<unsigned long long>(sum.aborted),
                static_cast<unsigned long long>(sum.hash));
    if (failed == 0) return report_situations(arguments, sum);
    if (arguments.situations) print_situations(sum);
    std::printf("sim: FAILED seeds=%llu violations=%llu\n",
                static_cast<unsigned long long>(sum.seeds),
                static_cast<unsigned long long>(failed));
    return 1;
}

int shrink_seed(std::uint64_t seed, const Sabotage& bugs) {
    auto shrunk = twofold::sim::shrink(seed, bugs);
    if (!shrunk.has_value()) {
        std::printf("sim: seed %llu does not fail\n", static_cast<unsigned long long>(seed));
        return 2;
    }
    std::printf("%s%s\nsim: shrunk seed=%llu events=%llu of %llu runs=%llu\n",
                shrunk->transcript.c_str(),
                shrunk->options.text().c_str(),
                static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(shrunk->events),
                static_cast<unsigned long long>(shrunk->events_before),
                static_cast<unsigned long long>(shrunk->runs));
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    auto arguments = parse({argv + 1, argv + argc});
    if (!arguments.has_value()) {
        std::fputs(kUsage.data(), stderr);
        return 2;
    }
    if (arguments->list) {
        for (const auto& bug : twofold::sim::all_sabotage()) {
            std::printf("%-30s %s\n", std::string(bug.name).c_str(), std::string(bug.what).c_str());
        }
        return 0;
    }
    Sabotage bugs;
    if (!arguments->sabotage.empty()) {
        auto chosen = twofold::sim::make_sabotage(arguments->sabotage);
        if (!chosen.has_value()) {
            std::fprintf(stderr, "sim: no bug is called %s\n", arguments->sabotage.c_str());
            return 2;
        }
        bugs = *chosen;
    }
    if (arguments->shrink) return shrink_seed(arguments->first, bugs);
    return run_seeds(*arguments, bugs);
}
