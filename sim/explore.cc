#include "sim/explore.h"

#include <unordered_set>
#include <utility>

namespace twofold::sim {

namespace {

// How a state was reached first: by `choice` from `before`.
struct Origin {
    std::uint32_t before = 0;
    Choice choice;
};

struct Node {
    ExploredWorld world;
    std::uint32_t origin = 0;
};

class Search {
public:
    Search(const Exploration& exploration, const ExploreLimits& limits)
        : exploration_(exploration), limits_(limits) {}

    ExploreReport run();

private:
    // False: enough.
    bool expand(const Node& node, std::vector<Node>& next);
    void tell_path(std::uint32_t origin);

    const Exploration& exploration_;
    const ExploreLimits& limits_;
    std::unordered_set<std::uint64_t> seen_;
    std::vector<Origin> origins_;
    ExploreReport report_;
};

ExploreReport Search::run() {
    std::vector<Node> frontier;
    origins_.emplace_back();
    frontier.push_back({ExploredWorld(exploration_), 0});
    seen_.insert(frontier.front().world.hash());
    report_.states = 1;
    while (!frontier.empty()) {
        std::vector<Node> next;
        for (const Node& node : frontier) {
            if (!expand(node, next)) return report_;
        }
        frontier = std::move(next);
        ++report_.depth;
        if (limits_.progress) limits_.progress(report_);
    }
    return report_;
}

bool Search::expand(const Node& node, std::vector<Node>& next) {
    std::vector<Choice> choices = node.world.choices();
    if (choices.empty()) ++report_.ends;
    for (const Choice& choice : choices) {
        Node child{node.world, 0};
        child.world.take(choice);
        ++report_.transitions;
        if (!child.world.wrong().empty()) {
            report_.wrong = child.world.wrong();
            origins_.push_back({node.origin, choice});
            tell_path(static_cast<std::uint32_t>(origins_.size() - 1));
            return false;
        }
        if (!seen_.insert(child.world.hash()).second) continue;
        if (limits_.states_max > 0 && report_.states >= limits_.states_max) {
            report_.complete = false;
            return false;
        }
        ++report_.states;
        child.origin = static_cast<std::uint32_t>(origins_.size());
        origins_.push_back({node.origin, choice});
        next.push_back(std::move(child));
    }
    return true;
}

// Once more from the start, for people.
void Search::tell_path(std::uint32_t origin) {
    std::vector<Choice> choices;
    for (; origin != 0; origin = origins_[origin].before) {
        choices.push_back(origins_[origin].choice);
    }
    ExploredWorld world(exploration_);
    for (auto choice = choices.rbegin(); choice != choices.rend(); ++choice) {
        report_.path.push_back(world.describe(*choice));
        world.take(*choice);
    }
}

}  // namespace

ExploreReport explore(const Exploration& exploration, const ExploreLimits& limits) {
    return Search(exploration, limits).run();
}

}  // namespace twofold::sim
