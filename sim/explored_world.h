// A world whose every future can be looked at: one coordinator, a few participants, one
// transaction. Nothing is random and nothing happens by itself; whatever may happen next is a
// Choice, and the search takes each of them in a copy. The machines, recovery and the records are
// the server's own.
//
// Two histories that differ only in the order of things that do not touch each other end in the
// same state, and are recognised by their hash: a machine's state is a function of the inputs it
// has had, so the hash is one over each process's inputs, what is on its way, and the budgets.
#pragma once

#include "coordinator/core/machine.h"
#include "participant/core/machine.h"
#include "sim/explored_database.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace twofold::sim {

// How often each fault may happen in one history.
struct Budget {
    std::uint32_t coordinator_crashes = 0;
    std::uint32_t participant_crashes = 0;
    std::uint32_t duplicates = 0;    // a message is delivered, and comes again whenever it likes
    std::uint32_t losses = 0;        // a message never arrives; its sender gives up on it
    std::uint32_t early_timers = 0;  // a timer fires although something else is still on its way
};

struct Exploration {
    std::vector<protocol::WorkStatus> votes;  // one branch each: prepared, read_only or refused
    Budget budget;
    coordinator::Sabotage coordinator;
    participant::Sabotage participant;
};

struct Choice {
    enum class Kind : std::uint8_t {
        deliver,            // message `index`
        deliver_twice,      // the same, and a copy of it stays on its way
        lose,               // message `index`
        operate,            // the database of `index` does the oldest thing that it was asked for
        force,              // the log's force returns
        crash_coordinator,  // `index` records that were not forced survive; it starts again
        crash_participant,  // `index`; it starts again
        fire_coordinator,   // timer `index`
        fire_participant,   // the timer `index` of all participants' timers
        next_timer,         // nothing else can happen: the earliest one fires
    };
    Kind kind = Kind::deliver;
    std::uint32_t index = 0;
};

class ExploredWorld {
public:
    explicit ExploredWorld(const Exploration& exploration);

    // Everything that may happen now. Empty: the history is over.
    [[nodiscard]] std::vector<Choice> choices() const;
    [[nodiscard]] std::string describe(const Choice& choice) const;
    void take(const Choice& choice);
    [[nodiscard]] std::uint64_t hash() const;
    // What is wrong, or empty. At the end of a history it says what should have come about.
    [[nodiscard]] std::string wrong() const;

private:
    using Timers = std::map<std::uint64_t, std::int64_t>;  // id -> when

    struct Message {
        enum class Kind : std::uint8_t {
            item,  // to a participant
            offer,
            inquiry_reply,
            inquiry_failed,
            result,  // to the coordinator
            failed,
            offer_reply,
            inquiry,
            look,  // it looks at a participant, and sees it
        };
        using Body = std::variant<std::monostate,
                                  protocol::BatchRequest,
                                  protocol::ItemResult,
                                  protocol::OfferReply,
                                  protocol::InquiryRequest,
                                  protocol::InquiryReply>;
        Kind kind = Kind::look;
        std::uint16_t participant = 0;
        std::uint64_t call = 0;  // whose answer it is, or asks for
        std::uint32_t life = 0;  // of the process that it is for, where it dies with it
        bool is_copy = false;    // nobody waits for its answer
        std::shared_ptr<const Body> body;
        std::string text;
        std::uint64_t hash = 0;
    };
    struct Call {
        std::uint16_t participant = 0;
        protocol::BranchKey key;
        protocol::ItemOp op = protocol::ItemOp::abort;
        std::uint64_t offer = 0;  // not 0: it is an offer
    };
    struct CoordinatorProcess {
        explicit CoordinatorProcess(coordinator::Machine state) : machine(std::move(state)) {}
        CoordinatorProcess(const CoordinatorProcess& other);
        CoordinatorProcess& operator=(const CoordinatorProcess&) = delete;
        ~CoordinatorProcess() = default;

        coordinator::Machine machine;
        std::vector<protocol::Record> log;
        std::uint64_t first_lsn = 0;  // of the log's first record, from 0
        std::size_t durable = 0;
        std::size_t forcing = 0;                  // so many records are being forced; 0: nothing is
        std::vector<coordinator::Input> waiting;  // for the next force
        std::vector<coordinator::Input> forced;   // inputs when this force returns
        Timers timers;
        std::map<std::uint64_t, Call> calls;
        std::map<std::uint64_t, Message> inquiries;  // by ticket, those that wait
        std::uint64_t next_call = 1;
        std::uint64_t next_ticket = 2;
        std::int64_t next_look = 0;
        std::uint32_t life = 1;
        std::uint64_t history = 0;
    };
    struct ParticipantProcess {
        explicit ParticipantProcess(std::uint16_t number);
        ParticipantProcess(const ParticipantProcess& other);
        ParticipantProcess& operator=(const ParticipantProcess&) = delete;
        ~ParticipantProcess() = default;

        participant::Machine machine;
        ExploredDatabase database;
        std::vector<participant::Effect> asked;  // of the database, in order
        Timers timers;
        std::map<std::uint64_t, Message> waiting;  // ticket -> the request that it answers
        std::set<protocol::BranchKey> aborted;     // as somebody was told
        std::uint64_t next_ticket = 1;
        std::uint32_t life = 1;
        std::uint64_t history = 0;
    };

    // A process is shared with other copies of the world until it changes.
    [[nodiscard]] CoordinatorProcess& coordinator();
    [[nodiscard]] ParticipantProcess& participant(std::uint16_t number);
    [[nodiscard]] const ParticipantProcess& at(std::uint16_t number) const {
        return *participants_[number - 1U];
    }
    [[nodiscard]] std::uint16_t count() const {
        return static_cast<std::uint16_t>(participants_.size());
    }

    // ---- explored_coordinator.cc
    void step_coordinator(coordinator::Input input, const std::string& text);
    void perform(CoordinatorProcess& me, coordinator::Effect&& effect);
    void send(CoordinatorProcess& me, const coordinator::Send& effect);
    void offer(CoordinatorProcess& me, const coordinator::Offer& effect);
    void note_answer(const CoordinatorProcess& me, const coordinator::Answer& answer);
    [[nodiscard]] protocol::BatchRequest new_batch(const CoordinatorProcess& me,
                                                   std::uint16_t to) const;
    void begin_force(CoordinatorProcess& me);
    void finish_force();
    void crash_coordinator(std::size_t lazy);
    void look_at_all(CoordinatorProcess& me);
    void settle_down();
    void deliver_to_coordinator(const Message& message);
    [[nodiscard]] bool is_durable_commit(const CoordinatorProcess& me,
                                         const protocol::TxnId& group) const;

    // ---- explored_participant.cc
    void step_participant(std::uint16_t number, participant::Input input, const std::string& text);
    void perform(std::uint16_t number, ParticipantProcess& me, participant::Effect&& effect);
    void reply(std::uint16_t number, ParticipantProcess& me, std::uint64_t ticket, Message answer);
    void operate(std::uint16_t number);
    [[nodiscard]] participant::Input operate(std::uint16_t number,
                                             ParticipantProcess& me,
                                             const participant::Effect& effect);
    void crash_participant(std::uint16_t number);
    void start_participant(std::uint16_t number);
    void deliver_to_participant(const Message& message);

    // ---- explored_world.cc
    void post(Message message);
    void lose(const Message& message);
    void look_now();
    void answer_offers_now();
    void fire(std::uint16_t process, std::uint64_t timer);
    void fire_next();
    [[nodiscard]] bool is_settled() const;
    void add_fault_choices(std::vector<Choice>& out) const;
    void complain(const std::string& what);
    void check_agreement();
    void check_end();
    // The timer `index` of all participants' timers: whose, and which.
    [[nodiscard]] std::pair<std::uint16_t, std::uint64_t> participant_timer(
        std::uint32_t index) const;

    std::shared_ptr<const Exploration> exploration_;
    Budget left_;
    std::shared_ptr<CoordinatorProcess> coordinator_;
    std::vector<std::shared_ptr<ParticipantProcess>> participants_;
    std::vector<Message> messages_;  // on their way
    std::int64_t now_ = 0;           // milliseconds; passes only when nothing else can happen
    std::uint32_t idle_steps_ = 0;   // timers that have fired by themselves
    protocol::TxnId txn_;            // the client's
    std::optional<protocol::Outcome> told_;  // the client, finally
    bool client_waits_ = false;
    std::string wrong_;
};

}  // namespace twofold::sim
