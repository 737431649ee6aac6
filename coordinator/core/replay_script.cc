#include "coordinator/core/replay_script.h"

#include <gtest/gtest.h>

namespace twofold::coordinator {

using protocol::ItemResult;

BeginOptions keyed(std::uint8_t fingerprint) {
    BeginOptions options;
    options.idempotency.emplace();
    options.idempotency->key_hash.fill(7);
    options.idempotency->fingerprint.fill(fingerprint);
    return options;
}

RecoveredState second_start() {
    RecoveredState state = first_start(2);
    state.epochs[2] = epoch_record(2);
    state.epoch = 2;
    return state;
}

protocol::TxnId id_of_first_start() {
    Script s;
    s.infos[1].one_phase = true;
    s.when("it can do one-phase", s.seen(1));
    s.when("work comes", s.submit({1}, keyed()));
    return s.txn;
}

Script restarted() {
    Script s(second_start(), {});
    s.infos[1].one_phase = true;
    s.when("one is seen", s.seen(1));
    s.when("two is seen", s.seen(2));
    return s;
}

Script submitted() {
    Script s = restarted();
    s.when("the client repeats", s.submit({1}, keyed())).expect({"send one_phase t2.1/1.1 to 1"});
    EXPECT_TRUE(s.all_sent.back().item.idempotency.has_value());
    return s;
}

Script::Edit by(const protocol::TxnId& original) {
    return [original](ItemResult& result) { result.original = original; };
}

const Answer& last_answer(const Script& s) {
    const Answer* found = nullptr;
    for (const Effect& effect : s.effects) {
        if (auto* answer = std::get_if<Answer>(&effect)) found = answer;
    }
    EXPECT_NE(found, nullptr);
    return *found;
}

}  // namespace twofold::coordinator
