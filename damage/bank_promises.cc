#include "damage/bank_promises.h"

#include <algorithm>

namespace twofold::damage {

namespace {

struct Allowed {
    bool neither = false;
    bool listed = false;
    bool booked = false;
};

Allowed allowed_after(Step step) {
    switch (step) {
        case Step::prepare_begun: return {.neither = true, .listed = true};
        case Step::prepared: return {.listed = true};
        case Step::commit_begun: return {.listed = true, .booked = true};
        case Step::committed: return {.booked = true};
        case Step::rollback_begun: return {.neither = true, .listed = true};
        case Step::one_phase_begun: return {.neither = true, .booked = true};
        case Step::one_phase_committed: return {.booked = true};
        case Step::nothing:
        case Step::aborted:
        case Step::tombstone_begun:
        case Step::tombstoned:
        case Step::epoch:
        case Step::position:
        case Step::sender: break;
    }
    return {.neither = true};
}

}  // namespace

void Promises::take(const Event& event) {
    switch (event.step) {
        case Step::epoch: epoch = std::max(epoch, event.number); return;
        case Step::position: position = std::max(position, event.number); return;
        case Step::sender: sender = std::max(sender, event.number); return;
        default: branches[event.number] = event.step; return;
    }
}

Step Promises::of(std::uint64_t branch) const {
    auto at = branches.find(branch);
    return at == branches.end() ? Step::nothing : at->second;
}

std::string Promises::problem(const std::set<std::uint64_t>& listed,
                              const std::set<std::uint64_t>& booked) const {
    std::set<std::uint64_t> all = listed;
    all.insert(booked.begin(), booked.end());
    for (const auto& [branch, step] : branches) all.insert(branch);
    for (std::uint64_t branch : all) {
        Step step = of(branch);
        Allowed allowed = allowed_after(step);
        bool is_listed = listed.contains(branch);
        bool is_booked = booked.contains(branch);
        bool good = is_listed   ? allowed.listed && !is_booked
                    : is_booked ? allowed.booked
                                : allowed.neither;
        if (good) continue;
        return "branch " + std::to_string(branch) + ", at step " +
               std::to_string(static_cast<int>(step)) + ", is " + (is_listed ? "" : "not ") +
               "prepared and " + (is_booked ? "" : "not ") + "in the books";
    }
    return {};
}

}  // namespace twofold::damage
