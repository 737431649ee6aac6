#include "coordinator/core/script.h"

#include "coordinator/core/state.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace twofold::coordinator {

using protocol::ItemResult;
using protocol::ParticipantNumber;

Script::Script(std::uint16_t participants, Config config)
    : machine(config, first_start(participants)) {
    machine.start(effects);
    for (std::uint16_t i = 1; i <= participants; ++i) {
        infos[i] = participant_info(i);
        machine.step(seen(i), effects);
    }
    note_effects();
}

Script::Script(RecoveredState state, Config config, bool accept_offers, bool addresses_looked_at)
    : machine(config, std::move(state)) {
    for (const auto& [number, record] : machine.participants()) {
        infos[number.value] = participant_info(number.value);
    }
    what_ = "the machine starts";
    machine.start(effects);
    if (addresses_looked_at) machine.step(AddressesLookedAt{}, effects);
    for (const auto& [number, info] : infos) {
        if (!accept_offers) break;
        machine.step(OfferAnswered{ParticipantNumber(number), 0, accepted_by(info)}, effects);
    }
    note_effects();
}

Script& Script::when(const std::string& what, Input input) {
    what_ = what;
    effects.clear();
    machine.step(std::move(input), effects);
    note_effects();
    return *this;
}

void Script::note_effects() {
    for (const Effect& effect : effects) {
        if (auto* send = std::get_if<Send>(&effect)) {
            sent_[send->item.key.branch] = {send->participant.value, send->item};
            txn = send->item.key.group;
            all_sent.push_back(*send);
        } else if (auto* timer = std::get_if<ArmTimer>(&effect)) {
            timers.push_back(timer->timer);
        } else if (auto* cancelled = std::get_if<CancelTimer>(&effect)) {
            std::erase(timers, cancelled->timer);
        } else if (auto* forced = std::get_if<AppendForced>(&effect)) {
            forced_ = forced->token;
        } else if (auto* answer = std::get_if<Answer>(&effect)) {
            if (answer->report.txn != protocol::TxnId{}) txn = answer->report.txn;
        } else if (auto* changed = std::get_if<Changed>(&effect)) {
            if (changed->version % kVersionsPerStart == 1) txn = changed->txn;
        }
    }
}

std::vector<std::string> Script::sentences() const {
    std::vector<std::string> out;
    for (const Effect& effect : effects) {
        bool noise = std::holds_alternative<ArmTimer>(effect) ||
                     std::holds_alternative<CancelTimer>(effect) ||
                     std::holds_alternative<Changed>(effect) ||
                     std::holds_alternative<Offer>(effect);
        if (!noise) out.push_back(describe(effect));
    }
    return out;
}

Script& Script::expect(const std::vector<std::string>& wanted) {
    EXPECT_EQ(sentences(), wanted) << "when " << what_;
    return *this;
}

Script& Script::expect_one(const std::string& sentence) {
    std::vector<std::string> all = sentences();
    EXPECT_NE(std::ranges::find(all, sentence), all.end())
        << "when " << what_ << ": no \"" << sentence << "\" among "
        << ::testing::PrintToString(all);
    return *this;
}

Script& Script::expect_none(const std::string& beginning) {
    for (const std::string& sentence : sentences()) {
        EXPECT_FALSE(sentence.starts_with(beginning)) << "when " << what_ << ": " << sentence;
    }
    return *this;
}

// ---- inputs ---------------------------------------------------------------------------

Input Script::submit(const std::vector<std::uint16_t>& participants, BeginOptions options) {
    SubmitOneShot input;
    input.ticket = Ticket(next_ticket++);
    input.options = std::move(options);
    for (std::uint16_t number : participants) {
        input.branches.push_back({ParticipantNumber(number), json("[]"), {}});
    }
    return input;
}

Input Script::begin(BeginOptions options) {
    return Begin{Ticket(next_ticket++), std::move(options)};
}

Input Script::enlist(std::uint16_t participant, std::uint64_t session, std::uint32_t epoch) {
    Enlist input;
    input.ticket = Ticket(next_ticket++);
    input.txn = txn;
    input.participant = ParticipantNumber(participant);
    input.participant_epoch = epoch;
    input.session = session;
    return input;
}

Input Script::commit(WaitFor wait, std::map<ParticipantNumber, std::uint32_t> executes) {
    CommitRequest input;
    input.ticket = Ticket(next_ticket++);
    input.txn = txn;
    input.wait = wait;
    input.expected_executes = std::move(executes);
    return input;
}

Input Script::abort() { return AbortRequest{Ticket(next_ticket++), txn}; }

Input Script::outcome() { return OutcomeRequest{Ticket(next_ticket++), txn, Milliseconds{0}}; }

Input Script::reply_to(protocol::ItemOp op,
                       const protocol::BranchKey& key,
                       std::uint16_t participant,
                       protocol::ItemStatus status,
                       std::string_view reason,
                       const Edit& edit) const {
    const protocol::ParticipantInfo& info = infos.at(participant);
    ItemResult result;
    result.op = op;
    result.key = key;
    result.participant = info.uuid;
    result.identity = info.identity;
    result.participant_epoch = info.epoch;
    result.status = status;
    result.reason.code = reason;
    if (status == protocol::ItemStatus::yes) {
        result.proof = protocol::ProofToken{key.branch, {1, 1}, false};
    }
    if (edit) edit(result);
    return Reply{ParticipantNumber(participant), std::move(result)};
}

Input Script::reply(std::uint16_t branch,
                    protocol::ItemStatus status,
                    std::string_view reason,
                    const Edit& edit) {
    const Sent& sent = sent_.at(branch);
    return reply_to(sent.item.op, sent.item.key, sent.participant, status, reason, edit);
}

Input Script::failed(std::uint16_t branch, protocol::CallOutcome outcome) {
    const Sent& sent = sent_.at(branch);
    return CallFailed{
        ParticipantNumber(sent.participant), sent.item.key, sent.item.op, outcome, "no answer"};
}

Input Script::decided(protocol::Decision decision) const { return Decided{txn, decision}; }
Input Script::durable() const { return Durable{forced_}; }

Input Script::timer() {
    TimerId timer = timers.back();
    timers.pop_back();
    return TimerFired{timer};
}

Input Script::deadline() {
    TimerId timer = timers.front();
    timers.erase(timers.begin());
    return TimerFired{timer};
}

Input Script::seen(std::uint16_t participant) const {
    return ParticipantSeen{ParticipantNumber(participant), infos.at(participant)};
}

Input Script::lost(std::uint16_t participant) const {
    return ParticipantLost{ParticipantNumber(participant), "connection refused"};
}

Input Script::offer_answered(std::uint16_t participant, std::string_view refusal) const {
    OfferAnswered input;
    input.participant = ParticipantNumber(participant);
    for (const Effect& effect : effects) {
        const auto* offer = std::get_if<Offer>(&effect);
        if (offer != nullptr && offer->participant == input.participant) input.offer = offer->offer;
    }
    input.reply = accepted_by(infos.at(participant));
    input.reply->accepted = refusal.empty();
    if (!refusal.empty()) input.reply->reason = {std::string(refusal), "because", -1, {}};
    return input;
}

Input Script::inquire(std::uint16_t participant, const protocol::BranchKey& key) const {
    Inquire input;
    input.ticket = Ticket(1000);
    input.request.participant = infos.at(participant).uuid;
    input.request.identity = infos.at(participant).identity;
    input.request.items.push_back({key, {}});
    return input;
}

protocol::BranchKey Script::key(std::uint16_t branch, std::uint16_t attempt) const {
    return {txn, branch, attempt};
}

}  // namespace twofold::coordinator
