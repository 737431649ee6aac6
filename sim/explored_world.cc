#include "sim/explored_world.h"

#include "base/assert.h"
#include "sim/mix.h"

#include <algorithm>
#include <array>
#include <utility>

namespace twofold::sim {

using protocol::Outcome;

namespace {
// Timers that fire by themselves in one history: more, and it does not settle.
constexpr std::uint32_t kIdleStepsMax = 400;
}  // namespace

ExploredWorld::CoordinatorProcess::CoordinatorProcess(const CoordinatorProcess& other)
    : machine(other.machine.clone()),
      log(other.log),
      first_lsn(other.first_lsn),
      durable(other.durable),
      forcing(other.forcing),
      waiting(other.waiting),
      forced(other.forced),
      timers(other.timers),
      calls(other.calls),
      inquiries(other.inquiries),
      next_call(other.next_call),
      next_ticket(other.next_ticket),
      next_look(other.next_look),
      life(other.life),
      history(other.history) {}

ExploredWorld::ParticipantProcess::ParticipantProcess(const ParticipantProcess& other)
    : machine(other.machine.clone()),
      database(other.database),
      asked(other.asked),
      timers(other.timers),
      waiting(other.waiting),
      aborted(other.aborted),
      next_ticket(other.next_ticket),
      life(other.life),
      history(other.history) {}

ExploredWorld::CoordinatorProcess& ExploredWorld::coordinator() {
    if (coordinator_.use_count() > 1) {
        coordinator_ = std::make_shared<CoordinatorProcess>(*coordinator_);
    }
    return *coordinator_;
}

ExploredWorld::ParticipantProcess& ExploredWorld::participant(std::uint16_t number) {
    std::shared_ptr<ParticipantProcess>& mine = participants_[number - 1U];
    if (mine.use_count() > 1) mine = std::make_shared<ParticipantProcess>(*mine);
    return *mine;
}

void ExploredWorld::complain(const std::string& what) {
    if (wrong_.empty()) wrong_ = what;
}

std::string ExploredWorld::wrong() const { return wrong_; }

void ExploredWorld::post(Message message) {
    message.hash = mix(mix_text(static_cast<std::uint64_t>(message.kind), message.text),
                       mix(message.participant, mix(message.life, message.is_copy ? 2 : 1)));
    messages_.push_back(std::move(message));
}

// ---- what may happen ------------------------------------------------------------------

std::vector<Choice> ExploredWorld::choices() const {
    std::vector<Choice> out;
    if (!wrong_.empty()) return out;
    std::vector<std::uint64_t> seen;
    for (std::uint32_t i = 0; i < messages_.size(); ++i) {
        if (std::ranges::find(seen, messages_[i].hash) != seen.end()) continue;
        seen.push_back(messages_[i].hash);
        out.push_back({Choice::Kind::deliver, i});
    }
    for (std::uint32_t number = 1; number <= count(); ++number) {
        bool idle = at(static_cast<std::uint16_t>(number)).asked.empty();
        if (!idle) out.push_back({Choice::Kind::operate, number});
    }
    if (coordinator_->forcing > 0) out.push_back({Choice::Kind::force, 0});
    bool quiet = out.empty();
    add_fault_choices(out);
    if (quiet && !is_settled()) out.push_back({Choice::Kind::next_timer, 0});
    return out;
}

void ExploredWorld::add_fault_choices(std::vector<Choice>& out) const {
    using Kind = Message::Kind;
    bool quiet = out.empty();
    if (left_.coordinator_crashes > 0) {
        std::size_t unforced = coordinator_->log.size() - coordinator_->durable;
        for (std::uint32_t lazy = 0; lazy <= unforced; ++lazy) {
            out.push_back({Choice::Kind::crash_coordinator, lazy});
        }
    }
    if (left_.participant_crashes > 0 && !(quiet && is_settled())) {
        for (std::uint32_t i = 1; i <= count(); ++i) {
            out.push_back({Choice::Kind::crash_participant, i});
        }
    }
    for (std::uint32_t i = 0; i < messages_.size(); ++i) {
        Kind kind = messages_[i].kind;
        bool is_request = kind == Kind::item || kind == Kind::offer;
        if (left_.duplicates > 0 && is_request && !messages_[i].is_copy) {
            out.push_back({Choice::Kind::deliver_twice, i});
        }
        bool is_local = kind == Kind::failed || kind == Kind::inquiry_failed || kind == Kind::look;
        if (left_.losses > 0 && !is_local) out.push_back({Choice::Kind::lose, i});
    }
    if (left_.early_timers == 0 || quiet) return;
    for (const auto& [timer, when] : coordinator_->timers) {
        out.push_back({Choice::Kind::fire_coordinator, static_cast<std::uint32_t>(timer)});
    }
    std::size_t timers = 0;
    for (const auto& process : participants_) timers += process->timers.size();
    for (std::uint32_t i = 0; i < timers; ++i) {
        out.push_back({Choice::Kind::fire_participant, i});
    }
}

std::pair<std::uint16_t, std::uint64_t> ExploredWorld::participant_timer(
    std::uint32_t index) const {
    for (std::uint16_t number = 1; number <= count(); ++number) {
        const Timers& timers = at(number).timers;
        if (index < timers.size()) return {number, std::next(timers.begin(), index)->first};
        index -= static_cast<std::uint32_t>(timers.size());
    }
    TWOFOLD_ASSERT(false, "no such timer");
    return {};
}

std::string ExploredWorld::describe(const Choice& choice) const {
    static constexpr std::array kNames{"deliver",
                                       "deliver twice",
                                       "lose",
                                       "database",
                                       "force",
                                       "crash coordinator",
                                       "crash participant",
                                       "coordinator timer",
                                       "participant timer",
                                       "next timer"};
    std::string text = kNames.at(static_cast<std::size_t>(choice.kind));
    if (choice.kind <= Choice::Kind::lose) {
        const Message& message = messages_[choice.index];
        return text + " " + message.text + (message.is_copy ? " (the copy)" : "");
    }
    if (choice.kind == Choice::Kind::force || choice.kind == Choice::Kind::next_timer) return text;
    return text + " " + std::to_string(choice.index);
}

// ---- it happens -----------------------------------------------------------------------

void ExploredWorld::take(const Choice& choice) {
    using Kind = Choice::Kind;
    switch (choice.kind) {
        case Kind::deliver:
        case Kind::deliver_twice: {
            Message message = messages_[choice.index];
            messages_.erase(messages_.begin() + choice.index);
            if (choice.kind == Kind::deliver_twice) {
                --left_.duplicates;
                Message copy = message;
                copy.is_copy = true;
                post(std::move(copy));
            }
            bool to_participant = message.kind <= Message::Kind::inquiry_failed;
            to_participant ? deliver_to_participant(message) : deliver_to_coordinator(message);
            break;
        }
        case Kind::lose: {
            Message message = messages_[choice.index];
            messages_.erase(messages_.begin() + choice.index);
            --left_.losses;
            lose(message);
            break;
        }
        case Kind::operate: operate(static_cast<std::uint16_t>(choice.index)); break;
        case Kind::force: finish_force(); break;
        case Kind::crash_coordinator:
            --left_.coordinator_crashes;
            crash_coordinator(choice.index);
            break;
        case Kind::crash_participant:
            --left_.participant_crashes;
            crash_participant(static_cast<std::uint16_t>(choice.index));
            break;
        case Kind::fire_coordinator:
            --left_.early_timers;
            fire(0, choice.index);
            break;
        case Kind::fire_participant: {
            --left_.early_timers;
            auto [number, timer] = participant_timer(choice.index);
            fire(number, timer);
            break;
        }
        case Kind::next_timer: fire_next(); break;
    }
    answer_offers_now();
    check_agreement();
    bool is_over = messages_.empty() && coordinator_->forcing == 0 && is_settled();
    if (is_over) check_end();
}

// Looks change nothing at participants: nothing is lost by letting each be one step with what has
// caused it. (A participant that looks different later is looked at again.)
void ExploredWorld::look_now() {
    std::vector<Message> looks;
    for (Message& message : std::exchange(messages_, {})) {
        bool is_look = message.kind == Message::Kind::look;
        (is_look ? looks : messages_).push_back(std::move(message));
    }
    for (const Message& look : looks) deliver_to_coordinator(look);
}

// An offer and its answer are one step: what may come between is a death, and that is the same as
// one before the offer, or an answer that is lost.
void ExploredWorld::answer_offers_now() {
    for (std::size_t i = 0; i < messages_.size(); ++i) {
        bool is_answer = messages_[i].kind == Message::Kind::offer_reply &&
                         std::holds_alternative<protocol::OfferReply>(*messages_[i].body);
        if (!is_answer) continue;
        Message answer = messages_[i];
        messages_.erase(messages_.begin() + static_cast<std::ptrdiff_t>(i));
        deliver_to_coordinator(answer);
        i = 0;
        --i;
    }
}

// Who waits for an answer gives up on it.
void ExploredWorld::lose(const Message& message) {
    using Kind = Message::Kind;
    Message told;
    told.participant = message.participant;
    told.call = message.call;
    told.life = message.life;
    told.text = "no answer to " + message.text;
    switch (message.kind) {
        case Kind::item:
        case Kind::result: told.kind = Kind::failed; break;
        case Kind::offer:
        case Kind::offer_reply: told.kind = Kind::offer_reply; break;
        case Kind::inquiry:
        case Kind::inquiry_reply: told.kind = Kind::inquiry_failed; break;
        case Kind::failed:
        case Kind::inquiry_failed:
        case Kind::look: return;
    }
    told.body = std::make_shared<const Message::Body>();
    if (!message.is_copy) post(std::move(told));
}

void ExploredWorld::fire(std::uint16_t process, std::uint64_t timer) {
    std::string text = "timer " + std::to_string(timer);
    if (process == 0) {
        coordinator().timers.erase(timer);
        step_coordinator(coordinator::TimerFired{coordinator::TimerId(timer)}, text);
    } else {
        participant(process).timers.erase(timer);
        step_participant(process, participant::TimerFired{participant::TimerId(timer)}, text);
    }
}

// Time passes only when nothing else can happen.
void ExploredWorld::fire_next() {
    if (++idle_steps_ > kIdleStepsMax) return complain("it does not settle");
    std::uint16_t process = 0;
    std::uint64_t timer = 0;  // 0: the coordinator looks at everybody
    std::int64_t when = coordinator_->next_look;
    auto consider = [&](std::uint16_t whose, const Timers& timers) {
        for (const auto& [id, at] : timers) {
            if (at >= when) continue;
            process = whose;
            timer = id;
            when = at;
        }
    };
    consider(0, coordinator_->timers);
    for (std::uint16_t number = 1; number <= count(); ++number) consider(number, at(number).timers);
    now_ = std::max(now_, when);
    if (process == 0 && timer == 0) return look_at_all(coordinator());
    fire(process, timer);
}

// ---- what must be true ----------------------------------------------------------------

bool ExploredWorld::is_settled() const {
    if (client_waits_ || coordinator_->machine.counts().active > 0) return false;
    return std::ranges::all_of(participants_, [](const auto& process) {
        participant::Machine::Counts counts = process->machine.counts();
        std::size_t open = counts.waiting + counts.running + counts.prepared + counts.finishing;
        return open == 0 && process->database.prepared() == 0 && process->asked.empty() &&
               process->machine.ready();
    });
}

void ExploredWorld::check_agreement() {
    bool committed = false;
    bool broken = false;
    for (const auto& process : participants_) {
        committed = committed || process->database.has_committed(txn_);
        broken = broken || process->database.has_broken(txn_);
    }
    if (committed && broken) complain("one branch is committed, another was rolled back");
    if (committed && told_ == Outcome::aborted) {
        complain("the client was told aborted, and a branch is committed");
    }
    if (broken && told_ == Outcome::committed) {
        complain("the client was told committed, and a branch was rolled back");
    }
}

void ExploredWorld::check_end() {
    bool committed = false;
    bool missing = false;
    for (std::uint16_t number = 1; number <= count(); ++number) {
        if (exploration_->votes[number - 1U] != protocol::WorkStatus::prepared) continue;
        bool here = at(number).database.has_committed(txn_);
        (here ? committed : missing) = true;
    }
    if (committed && missing) complain("it is committed at some, and not at all");
    if (told_ == Outcome::committed && missing) complain("told committed, and not done");
    for (std::uint16_t number = 1; number <= count(); ++number) {
        if (at(number).machine.counts().parked > 0) complain("a branch is parked for ever");
    }
    coordinator::Answer known = coordinator_->machine.query(txn_);
    if (known.kind != coordinator::AnswerKind::finished) return;
    bool says_committed = known.report.outcome == Outcome::committed;
    if (says_committed && missing) complain("the coordinator calls committed what is not");
    if (!says_committed && committed) complain("the coordinator does not call it committed");
}

// ---- states that are the same ---------------------------------------------------------

std::uint64_t ExploredWorld::hash() const {
    const CoordinatorProcess& c = *coordinator_;
    std::uint64_t hash = mix(c.history, c.durable);
    hash = mix(hash, c.forcing);
    hash = mix(hash, static_cast<std::uint64_t>(c.next_look - now_));
    auto add_timers = [&](const Timers& timers) {
        for (const auto& [id, at] : timers) {
            hash = mix(hash, mix(id, static_cast<std::uint64_t>(at - now_)));
        }
    };
    add_timers(c.timers);
    for (const auto& process : participants_) {
        hash = mix(hash, process->history);
        add_timers(process->timers);
    }
    std::uint64_t sum = 0;  // whatever their order
    for (const Message& message : messages_) sum += mix(message.hash, 7);
    hash = mix(hash, sum);
    for (std::uint32_t left : {left_.coordinator_crashes,
                               left_.participant_crashes,
                               left_.duplicates,
                               left_.losses,
                               left_.early_timers}) {
        hash = mix(hash, left);
    }
    std::uint64_t told = told_ ? static_cast<std::uint64_t>(*told_) + 1 : 0;
    return mix(hash, mix(told, client_waits_ ? 1 : 0));
}

}  // namespace twofold::sim
