#include "sim/net.h"

#include <algorithm>
#include <utility>

namespace twofold::sim {

Time Net::delay() { return world_.between(options_.delay_min, options_.delay_max); }

void Net::send(Address from, Address to, ProcessId receiver, Action deliver) {
    if (world_.chance(options_.duplicate)) send_once(from, to, receiver, deliver);
    send_once(from, to, receiver, std::move(deliver));
}

void Net::send_once(Address from, Address to, ProcessId receiver, Action deliver) {
    bool is_lost = is_cut(from, to);
    world_.reached_if(is_lost && !is_cut(to, from), Situation::cut_in_one_direction);
    if (is_lost || world_.chance(options_.loss)) {
        ++lost_;
        return;
    }
    deliver_later(from, to, receiver, std::move(deliver));
}

void Net::deliver_later(Address from, Address to, ProcessId receiver, Action deliver) {
    if (!world_.chance(options_.slow)) {
        world_.after(delay(), receiver, std::move(deliver));
        return;
    }
    // Most slow messages are late by less than a timeout or two; some by orders of magnitude.
    Time limit = std::max<Time>(options_.slow_max >> world_.rng().below(12), ms(5));
    auto straggler = std::make_shared<Straggler>(Straggler{receiver, std::move(deliver)});
    stragglers_.push_back(straggler);
    if (world_.tracing()) {
        world_.say("net", "slow " + std::to_string(from) + " -> " + std::to_string(to));
    }
    world_.after(world_.between(ms(1), limit), receiver, [straggler] {
        if (!std::exchange(straggler->arrived, true)) straggler->deliver();
    });
}

void Net::calm() {
    options_.loss = 0;
    options_.duplicate = 0;
    options_.slow = 0;
    mend_all();
}

void Net::deliver_stragglers() {
    for (auto& straggler : std::exchange(stragglers_, {})) {
        if (straggler->arrived) continue;
        world_.after(delay(), straggler->receiver, [straggler] {
            if (!std::exchange(straggler->arrived, true)) straggler->deliver();
        });
    }
}

}  // namespace twofold::sim
