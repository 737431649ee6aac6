// Effects and records as sentences, for expectations that can be read.
#include "coordinator/core/small_world.h"

#include <string>

namespace twofold::coordinator {

using protocol::BranchKey;
using protocol::TxnId;

std::string short_text(const TxnId& id) {
    return "t" + std::to_string(id.epoch()) + "." + std::to_string(id.sequence());
}

namespace {

std::string_view kind_name(AnswerKind kind) {
    switch (kind) {
        case AnswerKind::begun: return "begun";
        case AnswerKind::enlisted: return "enlisted";
        case AnswerKind::finished: return "finished";
        case AnswerKind::decided: return "decided";
        case AnswerKind::undecided: return "undecided";
        case AnswerKind::opposite: return "opposite";
        case AnswerKind::not_found: return "not_found";
        case AnswerKind::expired: return "expired";
        case AnswerKind::cannot_tell: return "cannot_tell";
        case AnswerKind::wrong_state: return "wrong_state";
        case AnswerKind::doomed: return "doomed";
        case AnswerKind::overloaded: return "overloaded";
        case AnswerKind::keys_exhausted: return "keys_exhausted";
        case AnswerKind::draining: return "draining";
        case AnswerKind::unsettled: return "unsettled";
        case AnswerKind::invalid: return "invalid";
        case AnswerKind::done: return "done";
        case AnswerKind::changed: return "changed";
    }
    return "?";
}

std::string describe_log(const protocol::Record& record) {
    using namespace protocol;
    if (auto* r = std::get_if<PreparingRecord>(&record)) return "preparing " + short_text(r->group);
    if (auto* r = std::get_if<DecisionRecord>(&record)) {
        std::string text = std::string(to_string(r->decision)) + " " + short_text(r->group);
        for (const BranchRecord& branch : r->branches) {
            text += " " + std::to_string(branch.branch) + "." + std::to_string(branch.attempt);
        }
        return text;
    }
    if (auto* r = std::get_if<EndRecord>(&record)) {
        return "end " + short_text(r->group) + " " + std::string(to_string(r->outcome));
    }
    if (auto* r = std::get_if<BranchOutcomeRecord>(&record)) {
        return "outcome " + describe(r->key) + " " + std::string(to_string(r->outcome));
    }
    if (auto* r = std::get_if<HorizonRecord>(&record)) {
        return "horizon " + std::to_string(r->horizon.epoch) + "." +
               std::to_string(r->horizon.sequence);
    }
    if (auto* r = std::get_if<GivenUpRecord>(&record)) {
        return "given up " + std::to_string(r->participant.value) + " " +
               std::to_string(r->newest.epoch) + "." + std::to_string(r->newest.sequence);
    }
    if (auto* r = std::get_if<PositionRecord>(&record)) {
        return "position " + std::to_string(r->participant.value) +
               (r->position == Position{} ? " none" : "");
    }
    if (auto* r = std::get_if<IdempotentAbortRecord>(&record)) {
        return "idempotent abort " + short_text(r->txn);
    }
    if (auto* r = std::get_if<ParticipantRecord>(&record)) {
        return "participant " + std::to_string(r->number.value) + " " + r->name +
               (r->retired ? " retired" : "");
    }
    if (auto* r = std::get_if<AcknowledgedRecord>(&record)) {
        return "acknowledged " + short_text(r->txn);
    }
    if (auto* r = std::get_if<protocol::KeyTurnRecord>(&record)) {
        return "key turn " + std::to_string(r->generation);
    }
    if (auto* r = std::get_if<protocol::OutcomeTurnRecord>(&record)) {
        return "outcome turn " + std::to_string(r->number) + " at " +
               std::to_string(r->next.epoch) + "." + std::to_string(r->next.sequence);
    }
    if (auto* r = std::get_if<protocol::RestoreRecord>(&record)) {
        return std::string("restore ") + (r->accepted ? "accepted" : "refused") + " above epoch " +
               std::to_string(r->epoch);
    }
    return "record";
}

struct Describe {
    std::string operator()(const Append& e) const { return "append " + describe_log(e.record); }
    std::string operator()(const AppendForced& e) const {
        return "force " + describe_log(e.record);
    }
    std::string operator()(const Propose& e) const { return "propose " + describe_log(e.record); }
    std::string operator()(const Seal& e) const {
        return "seal " + std::to_string(e.records.size()) + " records";
    }
    std::string operator()(const Send& e) const {
        return "send " + std::string(to_string(e.item.op)) + " " + describe(e.item.key) + " to " +
               std::to_string(e.participant.value);
    }
    std::string operator()(const Offer& e) const {
        return "offer to " + std::to_string(e.participant.value);
    }
    std::string operator()(const ArmTimer& e) const {
        return "arm timer " + std::to_string(e.delay_min.count()) + ".." +
               std::to_string(e.delay_max.count());
    }
    std::string operator()(const CancelTimer&) const { return "cancel timer"; }
    std::string operator()(const Answer& e) const {
        std::string text =
            "answer " + std::to_string(e.ticket.value) + " " + std::string(kind_name(e.kind));
        if (e.report.outcome != protocol::Outcome::unknown) {
            text += " " + std::string(to_string(e.report.outcome));
        }
        const protocol::Reason& why = e.reason.empty() ? e.report.reason : e.reason;
        if (!why.empty()) text += " (" + why.code + ")";
        if (!e.report.recorded) text += " unrecorded";
        if (e.report.key_open) text += " key_open";
        return text;
    }
    std::string operator()(const AnswerInquiry& e) const {
        std::string text = "inquiry";
        for (const auto& item : e.reply.items) {
            text += " " + describe(item.key) + " " + std::string(to_string(item.answer));
            if (item.proof) text += " with proof";
        }
        return text;
    }
    std::string operator()(const Changed& e) const { return "changed " + short_text(e.txn); }
    std::string operator()(const Finished& e) const {
        return "finished " + short_text(e.txn) + " " + std::string(to_string(e.outcome));
    }
    std::string operator()(const ParticipantRegistered& e) const {
        return "registered " + std::to_string(e.number.value);
    }
    std::string operator()(const RaiseAlarm& e) const {
        return "alarm " + e.code + " at " + std::to_string(e.participant.value);
    }
};

}  // namespace

std::string describe(const BranchKey& key) {
    return short_text(key.group) + "/" + std::to_string(key.branch) + "." +
           std::to_string(key.attempt);
}

std::string describe(const Effect& effect) { return std::visit(Describe{}, effect); }

}  // namespace twofold::coordinator
