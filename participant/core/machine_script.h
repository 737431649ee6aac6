// Test support: scripts of inputs for one machine, and effects as short lines of text.
//
//   Script script;
//   script.given(started()).given(work(1));
//   script.when(work_done(1, prepared())).expect({"reply 1 execute_prepare yes"});
//
// Branches are named by the sequence number of their transaction; the coordinator's epoch is 3, the
// participant's is 7. Tickets count from 1 in the order of the items.
#pragma once

#include "participant/core/machine.h"

#include <initializer_list>
#include <string>
#include <vector>

namespace twofold::participant::test {

inline constexpr protocol::Epoch kCoordinatorEpoch = 3;
inline constexpr std::uint32_t kOwnEpoch = 7;

[[nodiscard]] protocol::Incarnation incarnation(std::uint8_t number = 1);
[[nodiscard]] protocol::ParticipantUuid own_uuid();
[[nodiscard]] protocol::Identity own_identity();

struct KeyOptions {
    protocol::Epoch epoch = kCoordinatorEpoch;
    std::uint8_t incarnation = 1;
    std::uint16_t attempt = 1;
    std::uint16_t one_phase_participant = 0;
};
[[nodiscard]] protocol::BranchKey key_of(std::uint64_t number, KeyOptions options = {});

// Each epoch has a nonce of its own.
[[nodiscard]] protocol::SenderStamp stamp(protocol::Epoch epoch,
                                          std::uint64_t position = 1,
                                          const protocol::Incarnation& whose = incarnation());
// A coordinator shows itself; when() gives the ticket.
[[nodiscard]] SenderSeen shown(const protocol::SenderStamp& sender);
[[nodiscard]] ResourceStarted started(std::uint32_t slots = 4,
                                      std::vector<protocol::PreparedBranch> listed = {});
[[nodiscard]] protocol::PreparedBranch listed(std::uint64_t number, KeyOptions options = {});

// Items; the ticket is given by Script.
[[nodiscard]] ItemReceived item(protocol::ItemOp op, const protocol::BranchKey& key);
[[nodiscard]] ItemReceived work(std::uint64_t number, std::uint32_t deadline_ms = 0);
[[nodiscard]] ItemReceived one_phase(std::uint64_t number);
[[nodiscard]] ItemReceived prepare(std::uint64_t number);
[[nodiscard]] ItemReceived commit(std::uint64_t number);
[[nodiscard]] ItemReceived abort_of(std::uint64_t number);
[[nodiscard]] ItemReceived settle(std::uint64_t number);
[[nodiscard]] ExecuteReceived execute(std::uint64_t number, std::uint32_t sequence);

// Results of the resource.
[[nodiscard]] protocol::WorkResult prepared();
[[nodiscard]] protocol::WorkResult result(protocol::WorkStatus status);
[[nodiscard]] protocol::WorkResult refused(std::string_view reason);
[[nodiscard]] WorkDone work_done(std::uint64_t number, protocol::WorkResult result);
[[nodiscard]] ExecuteDone execute_done(std::uint64_t number,
                                       std::uint32_t sequence,
                                       protocol::WorkStatus status);
[[nodiscard]] CancelDone cancelled(std::uint64_t number, bool confirmed = true);
[[nodiscard]] FinishDone finish_done(std::uint64_t number, protocol::FinishStatus status);
[[nodiscard]] SenderPersisted persisted(protocol::Epoch epoch = kCoordinatorEpoch);
[[nodiscard]] SenderPersisted persisted_other();  // of incarnation(2)
[[nodiscard]] Listed listing(std::vector<protocol::PreparedBranch> prepared);
[[nodiscard]] InquiryAnswered answered(std::uint64_t number, protocol::InquiryAnswer answer);

// "reply 1 commit refused protocol_violation", "commit 1", "alarm hazard 1", "timer 20..40".
[[nodiscard]] std::string describe(const Effect& effect);

class Script {
public:
    explicit Script(Config config = {});

    // A step whose effects are not looked at.
    Script& given(Input input);
    // A step whose effects must be exactly those of the expect() that follows.
    Script& when(Input input);
    Script& expect(std::initializer_list<std::string> lines);
    [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }
    [[nodiscard]] const Effects& effects() const { return effects_; }

    // Fires the newest timer that the machine has armed and that is of this delay.
    Script& when_timer(std::chrono::milliseconds delay_max);
    Script& when_tick() { return when_timer(Config{}.inquiry_interval); }

    [[nodiscard]] std::string state(std::uint64_t number) const;
    [[nodiscard]] Machine& machine() { return machine_; }
    [[nodiscard]] const Machine& machine() const { return machine_; }

private:
    Machine machine_;
    Effects effects_;
    std::vector<std::string> lines_;
    std::vector<ArmTimer> timers_;
    std::uint64_t last_ticket_ = 0;
};

}  // namespace twofold::participant::test
