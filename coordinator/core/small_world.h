// For tests: a coordinator's machine with a log, a clock and participants in the small. Messages
// are handled at once and in order, unless a plan says otherwise for the n-th one; the log is
// durable when asked to be. Everything that must hold in the end is checked by check(). The
// simulator is the big brother; this one is small enough to go through every case.
#pragma once

#include "coordinator/core/machine.h"

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace twofold::coordinator {

// What happens to one message from the coordinator.
enum class Fate : std::uint8_t {
    arrives,          // answered
    not_sent,         // certainly not
    request_lost,     // unknown; it never arrives
    reply_lost,       // unknown; it was handled
    request_late,     // unknown; it arrives when everything else is over
    reply_late,       // unknown; it was handled, and the answer comes when everything else is over
    request_twice,    // handled twice, answered twice
    reply_twice,      // answered twice
    answers_unknown,  // the participant cannot tell yet, and did nothing
    restarts_before,  // the participant restarts before it arrives
    restarts_after,   // the participant restarts after it was handled, the answer is lost
};
inline constexpr std::size_t kFates = 11;
[[nodiscard]] const char* to_string(Fate fate);

[[nodiscard]] protocol::ParticipantInfo participant_info(std::uint16_t number);
[[nodiscard]] protocol::OfferReply accepted_by(const protocol::ParticipantInfo& info);
[[nodiscard]] RecoveredState first_start(std::uint16_t participants);
[[nodiscard]] protocol::EpochRecord epoch_record(protocol::Epoch epoch);
[[nodiscard]] protocol::JsonText json(std::string text);
// One line, such as "send commit t.1/1.1 to 2": for expectations that read as sentences.
[[nodiscard]] std::string describe(const Effect& effect);
[[nodiscard]] std::string describe(const protocol::BranchKey& key);
[[nodiscard]] std::string short_text(const protocol::TxnId& id);  // "t<epoch>.<sequence>"

// A participant with its database.
class SmallParticipant {
public:
    enum class State : std::uint8_t { running, prepared, committed, aborted, refused, read_only };

    explicit SmallParticipant(std::uint16_t number) : info(participant_info(number)) {}

    protocol::ItemResult handle(const protocol::Item& item);
    // Sessions and what is only in memory are lost; prepared and finished branches stay.
    void restart();
    [[nodiscard]] std::vector<protocol::BranchKey> in_doubt() const;
    void resolve(const protocol::BranchKey& key, protocol::InquiryAnswer answer);

    protocol::ParticipantInfo info;
    protocol::ItemStatus vote = protocol::ItemStatus::yes;  // of new work
    std::map<protocol::BranchKey, State> branches;
    std::map<protocol::TxnId, int> committed_times;
    std::vector<std::string> violations;

private:
    protocol::ItemStatus work(const protocol::Item& item, protocol::Reason& reason, bool& executed);
    protocol::ItemStatus commit(const protocol::BranchKey& key, protocol::Reason& reason);
    protocol::ItemStatus abort(const protocol::BranchKey& key);
};

class SmallWorld {
public:
    explicit SmallWorld(std::uint16_t participants, Config config = {});

    // The n-th message sent from now on, from 0.
    void plan(std::size_t message, Fate fate) { plan_[message + sent] = fate; }
    // Stops everything after so many steps of the machine: a crash.
    void stop_after(std::size_t steps) { steps_left_ = steps; }

    Ticket submit(const std::vector<std::uint16_t>& participants, BeginOptions options = {});
    void give(Input input);
    // Until nothing is on its way and no timer would change anything. False: stopped by the plan.
    bool run();
    // The records that survive a crash now: up to the last force, and `lazy` more.
    [[nodiscard]] std::vector<protocol::Record> surviving(std::size_t lazy) const;
    [[nodiscard]] std::size_t unforced() const { return log.size() - durable; }
    // The next life: sees what `state` says; the participants live on.
    void restart(RecoveredState state);
    // Everything that must be true when run() is over. Empty: all is well.
    [[nodiscard]] std::vector<std::string> check() const;

    Machine machine;
    std::map<std::uint16_t, SmallParticipant> participants;
    std::vector<protocol::Record> log;
    std::size_t durable = 0;
    std::map<std::uint64_t, std::vector<protocol::Record>> sealed;  // durable at once
    std::map<Ticket, std::vector<Answer>> answers;
    std::set<Ticket> open_tickets;
    std::vector<RaiseAlarm> alarms;
    std::vector<std::string> trace;
    std::size_t sent = 0;

private:
    void step(Input input);
    void perform(Effect& effect);
    void deliver(const Send& send);
    void ask();
    bool fire_next_timer();
    [[nodiscard]] bool is_durable_commit(const protocol::TxnId& group) const;
    void check_transactions(std::vector<std::string>& wrong) const;

    struct Timer {
        Milliseconds at{};
        TimerId id;
    };
    Config config_;
    std::deque<Input> inputs_;
    std::deque<Input> late_inputs_;
    std::deque<Send> late_requests_;
    std::vector<Timer> timers_;
    Milliseconds now_{0};
    std::map<std::size_t, Fate> plan_;
    std::optional<std::size_t> steps_left_;
    std::uint64_t next_ticket_ = 1;
    bool stopped_ = false;
    std::deque<Input> when_durable_;
    std::vector<std::string> violations_;
};

}  // namespace twofold::coordinator
