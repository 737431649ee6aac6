// Every deliberate bug really breaks its rule: the same script, without and with it. (The simulator
// must find each of them from the outside; docs/testing.md says which check does.)
#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

#include <functional>

namespace twofold::participant::test {
namespace {

using protocol::InquiryAnswer;

using Lines = std::vector<std::string>;

struct Bug {
    std::string name;
    bool Sabotage::*flag;
    // Returns the lines of the step that matters.
    std::function<Lines(Script&)> script;
    Lines sound;
    Lines broken;
};

Lines step(Script& script, Input input) { return script.when(std::move(input)).lines(); }

ItemReceived with(ItemReceived input, const std::function<void(ItemReceived&)>& change) {
    change(input);
    return input;
}

// The work item that must not start.
std::function<Lines(Script&)> hears(const Input& input) {
    return [input](Script& s) {
        s.given(started());
        return step(s, input);
    };
}

std::function<Lines(Script&)> in_doubt_hears(InquiryAnswer answer) {
    return [answer](Script& s) {
        s.given(started(4, {listed(1)}));
        return step(s, answered(1, answer));
    };
}

std::vector<Bug> bugs_of_work() {
    ItemReceived old_epoch =
        with(work(1), [](ItemReceived& i) { i.item.participant_epoch = kOwnEpoch - 1; });
    ItemReceived old_sender =
        with(work(1), [](ItemReceived& i) { i.sender.epoch = kCoordinatorEpoch - 1; });
    ItemReceived of_copied_log = with(work(1), [](ItemReceived& i) { i.sender.start_nonce = 7; });
    ItemReceived other_database =
        with(work(1), [](ItemReceived& i) { i.addressed_identity.fields = {"two"}; });
    ExecuteReceived of_unknown_start = execute(1, 1);
    of_unknown_start.key = key_of(1, {.epoch = kCoordinatorEpoch + 1});
    ItemReceived late = with(work(1), [](ItemReceived& i) {
        i.low_water = {kCoordinatorEpoch, 5};
    });
    return {
        {"vote_yes_before_durable",
         &Sabotage::vote_yes_before_durable,
         hears(work(1)),
         {"run 1"},
         {"run 1", "reply 1 execute_prepare yes"}},
        {"forget_tombstone",
         &Sabotage::forget_tombstone,
         [](Script& s) {
             s.given(started()).given(abort_of(1));
             return step(s, work(1));
         },
         {"reply 2 execute_prepare refused after_abort not_executed"},
         {"run 1"}},
        {"accept_any_participant_epoch",
         &Sabotage::accept_any_participant_epoch,
         hears(old_epoch),
         {"reply 1 execute_prepare refused stale_participant_epoch not_executed"},
         {"run 1"}},
        {"accept_stale_sender",
         &Sabotage::accept_stale_sender,
         hears(old_sender),
         {"reply 1 execute_prepare refused stale_sender not_executed"},
         {"run 1"}},
        {"accept_copied_log",
         &Sabotage::accept_copied_log,
         hears(of_copied_log),
         {"alarm sender_conflict 0",
          "reply 1 execute_prepare refused sender_conflict not_executed"},
         {"run 1"}},
        {"execute_raises_fence",
         &Sabotage::execute_raises_fence,
         hears(of_unknown_start),
         {"reply 1 execute#1 refused not_ready not_executed"},
         {"persist 4"}},
        {"skip_identity_check",
         &Sabotage::skip_identity_check,
         hears(other_database),
         {"reply 1 execute_prepare refused identity_mismatch not_executed"},
         {"run 1"}},
        {"ignore_low_water",
         &Sabotage::ignore_low_water,
         hears(late),
         {"marks 5 0", "reply 1 execute_prepare refused below_low_water not_executed"},
         {"marks 5 0", "run 1"}},
        {"abort_without_cancelling",
         &Sabotage::abort_without_cancelling,
         [](Script& s) {
             s.given(started()).given(work(1)).given(abort_of(1));
             return step(s, work_done(1, prepared()));
         },
         {},
         {"reply 1 execute_prepare yes"}},
    };
}

std::vector<Bug> bugs_of_finishing() {
    return {
        {"commit_unknown_is_success",
         &Sabotage::commit_unknown_is_success,
         hears(commit(1)),
         {"commit 1"},
         {"reply 1 commit committed"}},
        {"rollback_without_proof",
         &Sabotage::rollback_without_proof,
         hears(with(abort_of(1), [](ItemReceived& i) { i.item.proof = prepared().proof; })),
         {"rollback 1"},
         {"reply 1 abort aborted not_executed"}},
        {"resolve_alone_after_restart",
         &Sabotage::resolve_alone_after_restart,
         [](Script& s) { return step(s, started(4, {listed(1)})); },
         {"inquire 1", "timer 4000..5000"},
         {"rollback 1", "timer 4000..5000"}},
        {"abort_on_cannot_tell",
         &Sabotage::abort_on_cannot_tell,
         in_doubt_hears(InquiryAnswer::cannot_tell),
         {},
         {"rollback 1"}},
        {"abort_on_still_active",
         &Sabotage::abort_on_still_active,
         in_doubt_hears(InquiryAnswer::still_active),
         {},
         {"rollback 1"}},
        {"failed_listing_is_empty",
         &Sabotage::failed_listing_is_empty,
         [](Script& s) {
             s.given(started(4, {listed(1)})).when_tick();
             return step(s, Listed{});
         },
         {},
         {"rollback 1"}},
    };
}

std::vector<Bug> bugs() {
    std::vector<Bug> all = bugs_of_work();
    std::vector<Bug> more = bugs_of_finishing();
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

class SabotageSwitch : public testing::TestWithParam<Bug> {};

TEST_P(SabotageSwitch, BreaksItsRule) {
    const Bug& bug = GetParam();
    Script sound;
    EXPECT_EQ(bug.script(sound), bug.sound);
    Config config;
    config.sabotage.*bug.flag = true;
    Script broken(config);
    EXPECT_EQ(bug.script(broken), bug.broken);
}

INSTANTIATE_TEST_SUITE_P(All,
                         SabotageSwitch,
                         testing::ValuesIn(bugs()),
                         [](const testing::TestParamInfo<Bug>& info) { return info.param.name; });

}  // namespace
}  // namespace twofold::participant::test
