// For tests: a conversation with the machine, step by step. Effects are compared as sentences,
// without timers and change notices unless asked for.
//
//   Script script(2);
//   script.when("work comes", script.submit({1, 2}))
//       .expect({"append preparing t1.1", "send execute_prepare t1.1/1.1 to 1", …});
#pragma once

#include "coordinator/core/small_world.h"

#include <functional>
#include <string>
#include <vector>

namespace twofold::coordinator {

class Script {
public:
    // With participants 1, 2, … that have all been seen.
    explicit Script(std::uint16_t participants = 2, Config config = {});
    // What a start finds; its offers are accepted, unless they are to be answered one by one.
    Script(RecoveredState state,
           Config config,
           bool accept_offers = true,
           bool addresses_looked_at = true);

    Script& when(const std::string& what, Input input);
    // Of the last step, exactly.
    Script& expect(const std::vector<std::string>& sentences);
    // Of the last step, among others.
    Script& expect_one(const std::string& sentence);
    Script& expect_none(const std::string& beginning);
    Script& quiet() { return expect({}); }

    // ---- inputs; `txn` is the last one that appeared
    [[nodiscard]] Input submit(const std::vector<std::uint16_t>& participants,
                               BeginOptions options = {});
    [[nodiscard]] Input begin(BeginOptions options = {});
    [[nodiscard]] Input enlist(std::uint16_t participant,
                               std::uint64_t session = 7,
                               std::uint32_t epoch = 1);
    [[nodiscard]] Input commit(WaitFor wait = WaitFor::applied,
                               std::map<protocol::ParticipantNumber, std::uint32_t> executes = {});
    [[nodiscard]] Input abort();
    [[nodiscard]] Input outcome();
    using Edit = std::function<void(protocol::ItemResult&)>;
    // The answer to the operation that was last sent for this branch.
    [[nodiscard]] Input reply(std::uint16_t branch,
                              protocol::ItemStatus status,
                              std::string_view reason = {},
                              const Edit& edit = {});
    [[nodiscard]] Input reply_to(protocol::ItemOp op,
                                 const protocol::BranchKey& key,
                                 std::uint16_t participant,
                                 protocol::ItemStatus status,
                                 std::string_view reason = {},
                                 const Edit& edit = {}) const;
    [[nodiscard]] Input failed(std::uint16_t branch, protocol::CallOutcome outcome);
    [[nodiscard]] Input decided(protocol::Decision decision = protocol::Decision::commit) const;
    [[nodiscard]] Input durable() const;  // the last forced record
    [[nodiscard]] Input timer();          // the newest armed timer
    [[nodiscard]] Input deadline();       // the oldest armed timer
    [[nodiscard]] Input seen(std::uint16_t participant) const;
    [[nodiscard]] Input lost(std::uint16_t participant) const;
    // To the offer of the last step; refused when a code is given.
    [[nodiscard]] Input offer_answered(std::uint16_t participant,
                                       std::string_view refusal = {}) const;
    [[nodiscard]] Input inquire(std::uint16_t participant, const protocol::BranchKey& key) const;
    [[nodiscard]] protocol::BranchKey key(std::uint16_t branch, std::uint16_t attempt = 1) const;

    Machine machine;
    std::map<std::uint16_t, protocol::ParticipantInfo> infos;
    protocol::TxnId txn;
    Effects effects;              // of the last step
    std::vector<TimerId> timers;  // armed, oldest first
    std::vector<Send> all_sent;
    std::uint64_t next_ticket = 1;

private:
    void note_effects();
    [[nodiscard]] std::vector<std::string> sentences() const;

    struct Sent {
        std::uint16_t participant = 0;
        protocol::Item item;
    };
    std::map<std::uint16_t, Sent> sent_;  // by branch
    ForceToken forced_;
    std::string what_;
};

}  // namespace twofold::coordinator
