#include "coordinator/core/small_world.h"

#include "base/assert.h"

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::BranchKey;
using protocol::ItemOp;
using protocol::ItemStatus;
using protocol::ParticipantNumber;
using protocol::TxnId;
namespace reason = protocol::reason;

const char* to_string(Fate fate) {
    switch (fate) {
        case Fate::arrives: return "arrives";
        case Fate::not_sent: return "not_sent";
        case Fate::request_lost: return "request_lost";
        case Fate::reply_lost: return "reply_lost";
        case Fate::request_late: return "request_late";
        case Fate::reply_late: return "reply_late";
        case Fate::request_twice: return "request_twice";
        case Fate::reply_twice: return "reply_twice";
        case Fate::answers_unknown: return "answers_unknown";
        case Fate::restarts_before: return "restarts_before";
        case Fate::restarts_after: return "restarts_after";
    }
    return "?";
}

protocol::JsonText json(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
}

protocol::ParticipantInfo participant_info(std::uint16_t number) {
    protocol::ParticipantInfo info;
    info.uuid.bytes[15] = static_cast<std::uint8_t>(number);
    info.name = "p" + std::to_string(number);
    info.identity = {"small", {std::to_string(number)}};
    info.epoch = 1;
    info.slots = 100;
    info.one_phase = false;
    return info;
}

protocol::EpochRecord epoch_record(protocol::Epoch epoch) {
    protocol::EpochRecord record;
    record.incarnation.bytes = {'s', 'm', 'a', 'l', 'l', ' ', 'l', 'o', 'g', ' '};
    record.epoch = epoch;
    record.key[0] = static_cast<std::uint8_t>(epoch);
    return record;
}

RecoveredState first_start(std::uint16_t participants) {
    RecoveredState state;
    protocol::EpochRecord epoch = epoch_record(1);
    state.incarnation = epoch.incarnation;
    state.epoch = 1;
    state.epochs[1] = epoch;
    for (std::uint16_t i = 1; i <= participants; ++i) {
        protocol::ParticipantInfo info = participant_info(i);
        state.participants[ParticipantNumber(i)] = {
            ParticipantNumber(i), info.uuid, info.name, info.identity, false};
    }
    return state;
}

// ---- the world ------------------------------------------------------------------------

SmallWorld::SmallWorld(std::uint16_t count, Config config)
    : machine(config, first_start(count)), config_(config) {
    for (const protocol::Record& record : checkpoint_records(first_start(count))) {
        log.push_back(record);
    }
    durable = log.size();
    for (std::uint16_t i = 1; i <= count; ++i) participants.emplace(i, SmallParticipant(i));
    Effects effects;
    machine.start(effects);
    for (Effect& effect : effects) perform(effect);
    for (std::uint16_t i = 1; i <= count; ++i) {
        step(ParticipantSeen{ParticipantNumber(i), participants.at(i).info});
    }
}

protocol::OfferReply accepted_by(const protocol::ParticipantInfo& info) {
    protocol::OfferReply reply;
    reply.participant = info.uuid;
    reply.identity = info.identity;
    reply.accepted = true;
    return reply;
}

Ticket SmallWorld::submit(const std::vector<std::uint16_t>& numbers, BeginOptions options) {
    Ticket ticket(next_ticket_++);
    open_tickets.insert(ticket);
    SubmitOneShot input;
    input.ticket = ticket;
    input.options = std::move(options);
    for (std::uint16_t number : numbers) {
        input.branches.push_back({ParticipantNumber(number), json("[]"), {}});
    }
    give(std::move(input));
    return ticket;
}

void SmallWorld::give(Input input) { inputs_.push_back(std::move(input)); }

void SmallWorld::step(Input input) {
    if (steps_left_) {
        if (*steps_left_ == 0) {
            stopped_ = true;
            return;
        }
        --*steps_left_;
    }
    Effects effects;
    machine.step(std::move(input), effects);
    for (Effect& effect : effects) perform(effect);
}

void SmallWorld::perform(Effect& effect) {
    trace.push_back(describe(effect));
    if (auto* append = std::get_if<Append>(&effect)) {
        log.push_back(append->record);
    } else if (auto* forced = std::get_if<AppendForced>(&effect)) {
        log.push_back(forced->record);
        when_durable_.emplace_back(Durable{forced->token});
    } else if (auto* propose = std::get_if<Propose>(&effect)) {
        log.emplace_back(propose->record);
        when_durable_.emplace_back(Decided{propose->record.group, propose->record.decision});
    } else if (auto* seal = std::get_if<Seal>(&effect)) {
        sealed[seal->file] = seal->records;
    } else if (auto* send = std::get_if<Send>(&effect)) {
        deliver(*send);
    } else if (auto* offer = std::get_if<Offer>(&effect)) {
        const protocol::ParticipantInfo& info = participants.at(offer->participant.value).info;
        inputs_.push_front(OfferAnswered{offer->participant, offer->offer, accepted_by(info)});
    } else if (auto* timer = std::get_if<ArmTimer>(&effect)) {
        timers_.push_back({now_ + timer->delay_min, timer->timer});
    } else if (auto* cancelled = std::get_if<CancelTimer>(&effect)) {
        std::erase_if(timers_, [&](const Timer& t) { return t.id == cancelled->timer; });
    } else if (auto* answer = std::get_if<Answer>(&effect)) {
        bool told = answer->kind == AnswerKind::decided || answer->kind == AnswerKind::finished;
        bool committed = answer->report.outcome == protocol::Outcome::committed;
        bool two_phase = answer->report.recorded && answer->report.txn.participant().value == 0;
        if (told && committed && two_phase && !is_durable_commit(answer->report.txn)) {
            violations_.push_back("told committed before the decision was durable");
        }
        answers[answer->ticket].push_back(*answer);
    } else if (auto* inquiry = std::get_if<AnswerInquiry>(&effect)) {
        auto number = static_cast<std::uint16_t>(inquiry->ticket.value >> 32U);
        for (const auto& item : inquiry->reply.items) {
            participants.at(number).resolve(item.key, item.answer);
        }
    } else if (auto* alarm = std::get_if<RaiseAlarm>(&effect)) {
        alarms.push_back(*alarm);
    }
}

bool SmallWorld::is_durable_commit(const TxnId& group) const {
    for (std::size_t i = 0; i < durable; ++i) {
        auto* decision = std::get_if<protocol::DecisionRecord>(&log[i]);
        bool commit = decision != nullptr && decision->group == group &&
                      decision->decision == protocol::Decision::commit;
        if (commit) return true;
        // A checkpoint may hold only the end of it.
        auto* outcomes = std::get_if<protocol::OutcomesRecord>(&log[i]);
        if (outcomes != nullptr && outcomes->epoch == group.epoch()) return true;
        auto* file = std::get_if<protocol::SealedOutcomesRecord>(&log[i]);
        if (file != nullptr && group.position() <= file->newest) return true;
    }
    return false;
}

void SmallWorld::deliver(const Send& send) {
    std::size_t number = sent++;
    Fate fate = plan_.contains(number) ? plan_.at(number) : Fate::arrives;
    if (send.item.op == ItemOp::commit && !is_durable_commit(send.item.key.group)) {
        violations_.push_back("commit was sent before the decision was durable");
    }
    SmallParticipant& peer = participants.at(send.participant.value);
    auto failed = [&](protocol::CallOutcome outcome) {
        give(CallFailed{send.participant, send.item.key, send.item.op, outcome, to_string(fate)});
    };
    auto seen = [&] { late_inputs_.emplace_back(ParticipantSeen{send.participant, peer.info}); };
    switch (fate) {
        case Fate::arrives: give(Reply{send.participant, peer.handle(send.item)}); return;
        case Fate::not_sent: failed(protocol::CallOutcome::not_sent); return;
        case Fate::request_lost: failed(protocol::CallOutcome::unknown); return;
        case Fate::reply_lost:
            (void)peer.handle(send.item);
            failed(protocol::CallOutcome::unknown);
            return;
        case Fate::request_late:
            late_requests_.push_back(send);
            failed(protocol::CallOutcome::unknown);
            return;
        case Fate::reply_late:
            late_inputs_.emplace_back(Reply{send.participant, peer.handle(send.item)});
            failed(protocol::CallOutcome::unknown);
            return;
        case Fate::request_twice:
            give(Reply{send.participant, peer.handle(send.item)});
            give(Reply{send.participant, peer.handle(send.item)});
            return;
        case Fate::reply_twice: {
            Reply reply{send.participant, peer.handle(send.item)};
            give(reply);
            give(reply);
            return;
        }
        case Fate::answers_unknown: {
            SmallParticipant scratch = peer;
            protocol::ItemResult result = scratch.handle(send.item);
            result.status = ItemStatus::unknown;
            result.reason.code = reason::kUnavailable;
            give(Reply{send.participant, std::move(result)});
            return;
        }
        case Fate::restarts_before:
            peer.restart();
            give(Reply{send.participant, peer.handle(send.item)});
            seen();
            return;
        case Fate::restarts_after:
            (void)peer.handle(send.item);
            peer.restart();
            failed(protocol::CallOutcome::unknown);
            seen();
            return;
    }
}

// Participants ask about what they hold.
void SmallWorld::ask() {
    for (auto& [number, peer] : participants) {
        Inquire inquire;
        inquire.ticket = Ticket((std::uint64_t{number} << 32U) | 1U);
        inquire.request.participant = peer.info.uuid;
        inquire.request.identity = peer.info.identity;
        inquire.request.participant_epoch = peer.info.epoch;
        for (const BranchKey& key : peer.in_doubt()) inquire.request.items.push_back({key, {}});
        if (!inquire.request.items.empty()) step(std::move(inquire));
    }
}

bool SmallWorld::fire_next_timer() {
    if (timers_.empty() || machine.counts().active == 0) return false;
    auto next = std::ranges::min_element(timers_, {}, &Timer::at);
    constexpr Milliseconds kNoTransactionWaitsLonger{3'600'000};
    if (next->at > now_ + kNoTransactionWaitsLonger) return false;
    now_ = std::max(now_, next->at);
    TimerId id = next->id;
    timers_.erase(next);
    step(TimerFired{id});
    return true;
}

bool SmallWorld::run() {
    for (std::size_t turns = 0; !stopped_; ++turns) {
        TWOFOLD_ASSERT(turns < 100'000, "the world does not come to rest");
        if (!inputs_.empty()) {
            Input input = std::move(inputs_.front());
            inputs_.pop_front();
            step(std::move(input));
        } else if (!when_durable_.empty()) {
            durable = log.size();
            for (Input& input : std::exchange(when_durable_, {}))
                inputs_.push_back(std::move(input));
        } else if (fire_next_timer()) {
        } else if (!late_requests_.empty()) {
            Send send = std::move(late_requests_.front());
            late_requests_.pop_front();
            give(
                Reply{send.participant, participants.at(send.participant.value).handle(send.item)});
        } else if (!late_inputs_.empty()) {
            inputs_.push_back(std::move(late_inputs_.front()));
            late_inputs_.pop_front();
        } else {
            ask();
            return !stopped_;
        }
    }
    return false;
}

std::vector<protocol::Record> SmallWorld::surviving(std::size_t lazy) const {
    auto end = static_cast<std::ptrdiff_t>(std::min(durable + lazy, log.size()));
    return {log.begin(), log.begin() + end};
}

void SmallWorld::restart(RecoveredState state) {
    log = checkpoint_records(state);
    durable = log.size();
    machine = Machine(config_, std::move(state));
    inputs_.clear();
    late_inputs_.clear();
    timers_.clear();
    when_durable_.clear();
    open_tickets.clear();
    plan_.clear();
    steps_left_.reset();
    stopped_ = false;
    Effects effects;
    machine.start(effects);
    for (Effect& effect : effects) perform(effect);
    give(AddressesLookedAt{});
    for (auto& [number, peer] : participants) {
        give(ParticipantSeen{ParticipantNumber(number), peer.info});
    }
}

// ---- what must be true in the end -----------------------------------------------------

void SmallWorld::check_transactions(std::vector<std::string>& wrong) const {
    using State = SmallParticipant::State;
    std::map<TxnId, std::pair<bool, bool>> ends;  // committed somewhere, not committed somewhere
    for (const auto& [number, peer] : participants) {
        for (const auto& violation : peer.violations) wrong.push_back(violation);
        for (const auto& [id, times] : peer.committed_times) {
            if (times > 1) wrong.push_back(short_text(id) + " was committed twice in one database");
        }
        std::map<TxnId, bool> here;
        std::set<TxnId> read_only;  // these end as anything
        for (const auto& [key, state] : peer.branches) {
            if (state == State::prepared) wrong.push_back(describe(key) + " is still prepared");
            if (state == State::read_only) read_only.insert(key.group);
            bool& committed = here[key.group];
            committed = committed || state == State::committed;
        }
        for (const TxnId& id : read_only) here.erase(id);
        for (const auto& [id, committed] : here) {
            (committed ? ends[id].first : ends[id].second) = true;
        }
    }
    for (const auto& [id, end] : ends) {
        if (end.first && end.second) wrong.push_back(short_text(id) + " is half committed");
        Answer known = machine.query(id);
        bool told_committed = known.report.outcome == protocol::Outcome::committed;
        bool final = known.kind == AnswerKind::finished || known.kind == AnswerKind::decided;
        if (final && told_committed != end.first) {
            wrong.push_back(short_text(id) + " is told to be " +
                            std::string(to_string(known.report.outcome)));
        }
    }
    for (const auto& [ticket, given] : answers) {
        for (const Answer& answer : given) {
            bool committed = answer.report.outcome == protocol::Outcome::committed;
            bool aborted = answer.report.outcome == protocol::Outcome::aborted;
            for (const BranchReport& branch : answer.report.branches) {
                const SmallParticipant& peer = participants.at(branch.participant.value);
                bool wrote = peer.vote == ItemStatus::yes;
                if (committed && wrote && !peer.committed_times.contains(answer.report.txn)) {
                    wrong.push_back(short_text(answer.report.txn) + " lost the work of a branch");
                }
            }
            auto end = ends.find(answer.report.txn);
            if (end == ends.end()) continue;
            if ((committed && end->second.second) || (aborted && end->second.first)) {
                wrong.push_back("ticket " + std::to_string(ticket.value) + " was lied to");
            }
        }
    }
}

std::vector<std::string> SmallWorld::check() const {
    std::vector<std::string> wrong = violations_;
    check_transactions(wrong);
    for (Ticket ticket : open_tickets) {
        auto found = answers.find(ticket);
        std::size_t count = found == answers.end() ? 0 : found->second.size();
        if (count != 1) {
            wrong.push_back("ticket " + std::to_string(ticket.value) + " has " +
                            std::to_string(count) + " answers");
        }
    }
    if (machine.counts().active != 0) wrong.emplace_back("a transaction is not finished");
    for (const auto& [number, peer] : participants) {
        if (machine.low_water(ParticipantNumber(number)) !=
            machine.low_water(ParticipantNumber(999))) {
            wrong.push_back("low water at " + std::to_string(number) + " is held down");
        }
    }
    return wrong;
}

}  // namespace twofold::coordinator
