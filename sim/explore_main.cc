// twofold-explore: every history of one transaction within the bounds, not a sample of them.
#include "sim/explore.h"
#include "sim/sabotage.h"

#include <charconv>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using twofold::protocol::WorkStatus;
using twofold::sim::Exploration;
using twofold::sim::ExploreLimits;
using twofold::sim::ExploreReport;

struct Arguments {
    std::uint64_t branches = 2;
    std::uint64_t crashes = 1;
    std::uint64_t participant_crashes = 0;
    std::uint64_t duplicates = 0;
    std::uint64_t losses = 0;
    std::uint64_t early_timers = 0;
    std::uint64_t states_max = 0;
    std::string sabotage;
    bool verbose = false;
};

constexpr std::string_view kUsage =
    "usage: twofold-explore [--branches N] [--crashes N] [--participant-crashes N]\n"
    "                       [--duplicates N] [--losses N] [--early-timers N]\n"
    "                       [--states-max N] [--sabotage NAME] [--verbose]\n"
    "  Goes through every order in which messages, forces and databases can answer, with so many\n"
    "  faults in one history, for every combination of votes.\n";

std::optional<Arguments> parse(const std::vector<std::string_view>& words) {
    Arguments out;
    struct Number {
        std::string_view name;
        std::uint64_t* value;
    };
    const Number numbers[] = {{"--branches", &out.branches},
                              {"--crashes", &out.crashes},
                              {"--participant-crashes", &out.participant_crashes},
                              {"--duplicates", &out.duplicates},
                              {"--losses", &out.losses},
                              {"--early-timers", &out.early_timers},
                              {"--states-max", &out.states_max}};
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (words[i] == "--verbose") {
            out.verbose = true;
            continue;
        }
        if (i + 1 == words.size()) return std::nullopt;
        std::string_view value = words[i + 1];
        bool known = words[i] == "--sabotage";
        if (known) out.sabotage = value;
        for (const Number& number : numbers) {
            if (number.name != words[i]) continue;
            auto [end, error] =
                std::from_chars(value.data(), value.data() + value.size(), *number.value);
            known = error == std::errc() && end == value.data() + value.size();
        }
        if (!known) return std::nullopt;
        ++i;
    }
    if (out.branches < 1 || out.branches > 4) return std::nullopt;
    return out;
}

// Votes of the branches; they are alike, so only how many vote in which way matters.
std::vector<std::vector<WorkStatus>> all_votes(std::size_t branches) {
    std::vector<std::vector<WorkStatus>> out;
    for (std::size_t refused = 0; refused <= 1; ++refused) {
        for (std::size_t read_only = 0; read_only + refused <= branches; ++read_only) {
            std::vector<WorkStatus> votes(branches - read_only - refused, WorkStatus::prepared);
            votes.insert(votes.end(), read_only, WorkStatus::read_only);
            votes.insert(votes.end(), refused, WorkStatus::refused);
            out.push_back(std::move(votes));
        }
    }
    return out;
}

std::string text_of(const std::vector<WorkStatus>& votes) {
    std::string text;
    for (WorkStatus vote : votes) {
        std::string_view name = vote == WorkStatus::prepared    ? "yes"
                                : vote == WorkStatus::read_only ? "read-only"
                                                                : "no";
        text += (text.empty() ? "" : ", ") + std::string(name);
    }
    return text;
}

Exploration make(const Arguments& arguments, const std::vector<WorkStatus>& votes) {
    Exploration out;
    out.votes = votes;
    out.budget.coordinator_crashes = static_cast<std::uint32_t>(arguments.crashes);
    out.budget.participant_crashes = static_cast<std::uint32_t>(arguments.participant_crashes);
    out.budget.duplicates = static_cast<std::uint32_t>(arguments.duplicates);
    out.budget.losses = static_cast<std::uint32_t>(arguments.losses);
    out.budget.early_timers = static_cast<std::uint32_t>(arguments.early_timers);
    return out;
}

int run(const Arguments& arguments) {
    twofold::sim::Sabotage sabotage;
    if (!arguments.sabotage.empty()) {
        auto known = twofold::sim::make_sabotage(arguments.sabotage);
        if (!known) {
            std::fprintf(stderr, "explore: no such bug: %s\n", arguments.sabotage.c_str());
            return 2;
        }
        sabotage = *known;
    }
    std::uint64_t states = 0;
    for (const auto& votes : all_votes(arguments.branches)) {
        Exploration exploration = make(arguments, votes);
        exploration.coordinator = sabotage.coordinator;
        exploration.participant = sabotage.participant;
        ExploreLimits limits;
        limits.states_max = arguments.states_max;
        if (arguments.verbose) {
            limits.progress = [](const ExploreReport& report) {
                std::fprintf(stderr,
                             "explore: depth %u, %llu states\n",
                             report.depth,
                             static_cast<unsigned long long>(report.states));
            };
        }
        ExploreReport report = explore(exploration, limits);
        states += report.states;
        std::printf("explore: votes %s: %llu states, %llu steps, depth %u\n",
                    text_of(votes).c_str(),
                    static_cast<unsigned long long>(report.states),
                    static_cast<unsigned long long>(report.transitions),
                    report.depth);
        if (!report.wrong.empty()) {
            for (const std::string& line : report.path) std::printf("  %s\n", line.c_str());
            std::printf("exhaustive: FAILED %s\n", report.wrong.c_str());
            return 1;
        }
        if (!report.complete) {
            std::printf("exhaustive: FAILED more than %llu states: not all were looked at\n",
                        static_cast<unsigned long long>(arguments.states_max));
            return 1;
        }
    }
    std::printf("exhaustive: ok states=%llu violations=0\n",
                static_cast<unsigned long long>(states));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    auto arguments = parse({argv + 1, argv + argc});
    if (!arguments) {
        std::fprintf(stderr, "%s", std::string(kUsage).c_str());
        return 2;
    }
    return run(*arguments);
}
