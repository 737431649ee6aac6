#include "damage/power_cuts.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace twofold::damage {

namespace {

using Call = DiskHistory::Call;
using Kind = DiskHistory::Kind;

constexpr std::uint64_t kSectorsPerBlock = 8;

struct Choice {
    std::string text;
    Survival survival;
};

// Whole calls, by their place.
Choice whole_calls(std::string text, const std::function<bool(std::size_t)>& survives) {
    return {.text = std::move(text),
            .survival = {
                .data = [survives](std::size_t place, std::uint64_t) { return survives(place); },
                .name = survives}};
}

// What may be left at one point.
class Choices {
public:
    Choices(const std::vector<const Call*>& pending, const CutOptions& options, std::uint64_t seed)
        : pending_(pending), options_(options), rng_(seed) {}

    std::vector<Choice> make() {
        all_.push_back(whole_calls("all lost", [](std::size_t) { return false; }));
        if (pending_.empty()) return std::move(all_);
        all_.push_back(whole_calls("all kept", [](std::size_t) { return true; }));
        sizes_only();
        prefixes();
        if (pending_.size() <= options_.exhaustive_max) {
            subsets();
        } else {
            one_side();
            single_calls();
        }
        tears();
        for (std::size_t i = 0; i < options_.random_per_point; ++i) by_seed(i);
        if (all_.size() > options_.per_point_max) thin_out();
        return std::move(all_);
    }

private:
    // The names and the sizes came through, the bytes did not.
    void sizes_only() {
        Choice choice{.text = "only names and sizes kept",
                      .survival = {.data = [](std::size_t, std::uint64_t) { return false; },
                                   .name = [](std::size_t) { return true; },
                                   .sizes = true}};
        all_.push_back(std::move(choice));
    }

    void prefixes() {
        for (std::size_t count = 1; count < pending_.size(); ++count) {
            all_.push_back(whole_calls("first " + std::to_string(count) + " kept",
                                       [count](std::size_t place) { return place < count; }));
        }
    }

    void subsets() {
        for (std::size_t bits = 1; bits + 1 < std::size_t{1} << pending_.size(); ++bits) {
            all_.push_back(whole_calls("subset " + std::to_string(bits), [bits](std::size_t place) {
                return (bits >> place & 1U) != 0;
            }));
        }
    }

    void one_side() {
        for (bool names : {true, false}) {
            Choice choice{
                .text = names ? "only names kept" : "only writes kept",
                .survival = {.data = [names](std::size_t, std::uint64_t) { return !names; },
                             .name = [names](std::size_t) { return names; }}};
            all_.push_back(std::move(choice));
        }
    }

    void single_calls() {
        for (std::size_t at = 0; at < pending_.size(); ++at) {
            std::string call = "call " + std::to_string(at);
            all_.push_back(
                whole_calls(call + " lost", [at](std::size_t place) { return place != at; }));
            all_.push_back(
                whole_calls(call + " kept", [at](std::size_t place) { return place == at; }));
        }
    }

    // A write torn at a sector or at a block, the first or the last part kept, with all other calls
    // or with none of them.
    void tears() {
        for (std::size_t torn = 0; torn < pending_.size(); ++torn) {
            const Call& call = *pending_[torn];
            if (call.kind != Kind::write) continue;
            std::uint64_t first = call.offset / kSectorBytes;
            std::uint64_t last = (call.offset + call.bytes.size() - 1) / kSectorBytes;
            if (first == last) continue;
            for (std::size_t i = 0; i < options_.tears_per_write; ++i) {
                std::uint64_t at = rng_.between(first + 1, last);
                if (i % 2 == 1) at = std::max(first + 1, at / kSectorsPerBlock * kSectorsPerBlock);
                bool first_part = rng_.below(3) != 0;
                bool others = rng_.below(2) == 0;
                auto data = [=](std::size_t place, std::uint64_t sector) {
                    if (place != torn) return others;
                    return first_part == (sector < at);
                };
                all_.push_back({.text = "call " + std::to_string(torn) + " torn at sector " +
                                        std::to_string(at),
                                .survival = {.data = data,
                                             .name = [others](std::size_t) { return others; },
                                             .sizes = rng_.below(4) == 0}});
            }
        }
    }

    // Each sector, or each block, of each write, and each name, with one chance.
    void by_seed(std::size_t number) {
        std::uint64_t seed = rng_.next();
        auto per_mille = static_cast<std::uint32_t>(rng_.between(50, 950));
        std::uint64_t grain = number % 2 == 0 ? 1 : kSectorsPerBlock;
        auto chance = [seed, per_mille](std::uint64_t a, std::uint64_t b) {
            return base::SeededRng(seed ^ (a * 1'000'003 + b)).chance_per_mille(per_mille);
        };
        all_.push_back(
            {.text = "random " + std::to_string(number),
             .survival = {
                 .data = [=](std::size_t place,
                             std::uint64_t sector) { return chance(place, sector / grain); },
                 .name = [=](std::size_t place) { return chance(place, ~0ULL); },
                 .sizes = rng_.below(4) == 0}});
    }

    // The first few stay: nothing, all, sizes.
    void thin_out() {
        while (all_.size() > options_.per_point_max) {
            std::uint64_t at = rng_.between(3, all_.size() - 1);
            std::swap(all_[at], all_.back());
            all_.pop_back();
        }
    }

    const std::vector<const Call*>& pending_;
    const CutOptions& options_;
    base::SeededRng rng_;
    std::vector<Choice> all_;
};

std::uint64_t hash_of(const Files& files, std::uint64_t note) {
    std::uint64_t hash = note;
    auto mix = [&](std::string_view text) {
        hash = hash * 0x9e3779b97f4a7c15ULL + std::hash<std::string_view>()(text) + 1;
    };
    for (const auto& [name, content] : files) {
        mix(name);
        mix({reinterpret_cast<const char*>(content.data()), content.size()});
    }
    return hash;
}

}  // namespace

std::uint64_t for_each_power_cut(const DiskHistory& history,
                                 const CutOptions& options,
                                 const std::function<bool(const PowerCut& cut)>& visit) {
    std::set<std::uint64_t> seen;
    DiskWalk walk(history);
    bool is_there = true;
    while (is_there) {
        if (walk.position() % options.every == 0) {
            Choices choices(walk.pending(), options, options.seed * 1'000'003 + walk.position());
            for (const Choice& choice : choices.make()) {
                PowerCut cut{.text = "cut after call " + std::to_string(walk.position()) + ", " +
                                     choice.text,
                             .note = walk.note(),
                             .files = walk.image(choice.survival)};
                if (!seen.insert(hash_of(cut.files, cut.note)).second) continue;
                if (!visit(cut)) return seen.size();
            }
        }
        is_there = walk.step();
    }
    return seen.size();
}

}  // namespace twofold::damage
