#include "participant/core/machine_script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace twofold::participant::test {

using protocol::BranchKey;
using protocol::ItemOp;

namespace {

void write_big_endian(protocol::TxnId& id, std::size_t at, std::size_t size, std::uint64_t value) {
    for (std::size_t i = 0; i < size; ++i) {
        id.bytes.at(at + size - 1 - i) = static_cast<std::uint8_t>(value >> (8 * i));
    }
}

std::string name_of(const BranchKey& key) {
    std::string name = std::to_string(key.group.sequence());
    if (key.attempt > 1) name += "." + std::to_string(key.attempt);
    return name;
}

std::string execute_status(ExecuteStatus status) {
    switch (status) {
        case ExecuteStatus::executed: return "executed";
        case ExecuteStatus::failed: return "failed";
        case ExecuteStatus::refused: return "refused";
        case ExecuteStatus::unknown: return "unknown";
    }
    return "?";
}

std::string describe_reply(const SendReply& reply) {
    const protocol::ItemResult& result = reply.result;
    std::string line = "reply " + std::to_string(reply.ticket.value) + " ";
    if (reply.execute) {
        line += "execute#" + std::to_string(reply.execute->sequence) + " " +
                execute_status(reply.execute->status);
    } else {
        line += std::string(to_string(result.op)) + " " + std::string(to_string(result.status));
    }
    if (!result.reason.empty()) line += " " + result.reason.code;
    if (!result.executed) line += " not_executed";
    return line;
}

struct Describer {
    std::string operator()(const RunAndPrepare& e) { return "run " + name_of(e.work.key); }
    std::string operator()(const RunOnePhase& e) { return "run_one_phase " + name_of(e.work.key); }
    std::string operator()(const ExecuteWork& e) {
        return "execute " + name_of(e.work.key) + "#" + std::to_string(e.sequence);
    }
    std::string operator()(const PrepareExecuted& e) { return "prepare " + name_of(e.key); }
    std::string operator()(const CancelWork& e) { return "cancel " + name_of(e.key); }
    std::string operator()(const CommitPrepared& e) { return "commit " + name_of(e.request.key); }
    std::string operator()(const RollbackPrepared& e) {
        return "rollback " + name_of(e.request.key);
    }
    std::string operator()(const SettleOnePhase& e) { return "settle " + name_of(e.key); }
    std::string operator()(const PersistSender& e) {
        return "persist " + std::to_string(e.sender.epoch);
    }
    std::string operator()(const AnswerOffer& e) {
        std::string line = "offer " + std::to_string(e.ticket.value);
        return line + (e.reply.accepted ? " accepted" : " refused " + e.reply.reason.code);
    }
    std::string operator()(const ListPrepared&) { return "list"; }
    std::string operator()(const SendInquiry& e) {
        std::string line = "inquire";
        for (const auto& item : e.items) line += " " + name_of(item.key);
        return line;
    }
    std::string operator()(const SendReply& e) { return describe_reply(e); }
    std::string operator()(const AskCoordinators& e) {
        return "ask_coordinators " + name_of(e.item.key);
    }
    std::string operator()(const AnswerResolve& e) {
        return "resolve " + std::string(to_string(e.status));
    }
    std::string operator()(const ArmTimer& e) {
        return "timer " + std::to_string(e.delay_min.count()) + ".." +
               std::to_string(e.delay_max.count());
    }
    std::string operator()(const NoteMarks& e) {
        return "marks " + std::to_string(e.low_water.sequence) + " " +
               std::to_string(e.horizon.sequence);
    }
    std::string operator()(const RaiseAlarm& e) { return "alarm " + e.code + " " + name_of(e.key); }
};

}  // namespace

protocol::Incarnation incarnation(std::uint8_t number) {
    protocol::Incarnation value;
    value.bytes.fill(number);
    return value;
}

protocol::ParticipantUuid own_uuid() {
    protocol::ParticipantUuid uuid;
    uuid.bytes.fill(0xaa);
    return uuid;
}

protocol::Identity own_identity() { return {"model", {"one"}}; }

BranchKey key_of(std::uint64_t number, KeyOptions options) {
    BranchKey key;
    key.group.bytes[0] = protocol::kIdVersion;
    std::ranges::copy(incarnation(options.incarnation).bytes, key.group.bytes.begin() + 2);
    write_big_endian(key.group, 12, 4, options.epoch);
    write_big_endian(key.group, 16, 6, number);
    write_big_endian(key.group, 22, 2, options.one_phase_participant);
    key.branch = 1;
    key.attempt = options.attempt;
    return key;
}

protocol::SenderStamp stamp(protocol::Epoch epoch,
                            std::uint64_t position,
                            const protocol::Incarnation& whose) {
    return {whose, epoch, 100 + epoch, position, 0};
}

SenderSeen shown(const protocol::SenderStamp& sender) {
    return {sender, own_uuid(), own_identity(), {}, {}, ReplyTicket()};
}

ResourceStarted started(std::uint32_t slots, std::vector<protocol::PreparedBranch> listed) {
    ResourceStarted input;
    input.start.uuid = own_uuid();
    input.start.identity = own_identity();
    input.start.epoch = kOwnEpoch;
    input.start.slots = slots;
    input.start.senders = {{incarnation(), stamp(kCoordinatorEpoch)}};
    input.start.prepared = std::move(listed);
    return input;
}

protocol::PreparedBranch listed(std::uint64_t number, KeyOptions options) {
    BranchKey key = key_of(number, options);
    return {
        key, make_gid(key, own_uuid()), protocol::ProofToken{number, {1, number}, true}, 0, true};
}

ItemReceived item(ItemOp op, const BranchKey& key) {
    ItemReceived input;
    input.sender = stamp(kCoordinatorEpoch, 1, key.group.incarnation());
    input.addressed_uuid = own_uuid();
    input.addressed_identity = own_identity();
    input.item.op = op;
    input.item.key = key;
    input.item.participant_epoch = kOwnEpoch;
    return input;
}

ItemReceived work(std::uint64_t number, std::uint32_t deadline_ms) {
    ItemReceived input = item(ItemOp::execute_prepare, key_of(number));
    input.item.deadline_ms = deadline_ms;
    return input;
}
ItemReceived one_phase(std::uint64_t number) { return item(ItemOp::one_phase, key_of(number)); }
ItemReceived prepare(std::uint64_t number) { return item(ItemOp::prepare, key_of(number)); }
ItemReceived commit(std::uint64_t number) {
    ItemReceived input = item(ItemOp::commit, key_of(number));
    input.item.proof = protocol::ProofToken{number, {1, number}, true};
    return input;
}
ItemReceived abort_of(std::uint64_t number) { return item(ItemOp::abort, key_of(number)); }
ItemReceived settle(std::uint64_t number) { return item(ItemOp::settle_one_phase, key_of(number)); }

ExecuteReceived execute(std::uint64_t number, std::uint32_t sequence) {
    ExecuteReceived input;
    input.key = key_of(number);
    input.participant_epoch = kOwnEpoch;
    input.sequence = sequence;
    input.sender = stamp(kCoordinatorEpoch);
    return input;
}

protocol::WorkResult result(protocol::WorkStatus status) {
    protocol::WorkResult result;
    result.status = status;
    return result;
}

protocol::WorkResult prepared() {
    protocol::WorkResult prepared = result(protocol::WorkStatus::prepared);
    prepared.proof = protocol::ProofToken{42, {1, 42}, true};
    prepared.results = std::make_shared<const std::string>("[1]");
    return prepared;
}

protocol::WorkResult refused(std::string_view reason) {
    protocol::WorkResult refused = result(protocol::WorkStatus::refused);
    refused.reason.code = reason;
    return refused;
}

WorkDone work_done(std::uint64_t number, protocol::WorkResult result) {
    return {key_of(number), std::move(result)};
}

ExecuteDone execute_done(std::uint64_t number,
                         std::uint32_t sequence,
                         protocol::WorkStatus status) {
    return {key_of(number), sequence, result(status)};
}

CancelDone cancelled(std::uint64_t number, bool confirmed) { return {key_of(number), confirmed}; }

FinishDone finish_done(std::uint64_t number, protocol::FinishStatus status) {
    FinishDone input;
    input.key = key_of(number);
    input.result.status = status;
    return input;
}

SenderPersisted persisted(protocol::Epoch epoch) { return {stamp(epoch), true}; }

SenderPersisted persisted_other() { return {stamp(kCoordinatorEpoch, 1, incarnation(2)), true}; }

Listed listing(std::vector<protocol::PreparedBranch> prepared) {
    return {true, std::move(prepared)};
}

InquiryAnswered answered(std::uint64_t number, protocol::InquiryAnswer answer) {
    InquiryAnswered input;
    input.reply.sender = stamp(kCoordinatorEpoch);
    input.reply.items.push_back({key_of(number), answer, std::nullopt});
    return input;
}

std::string describe(const Effect& effect) { return std::visit(Describer{}, effect); }

// ---- Script
// --------------------------------------------------------------------------------------

Script::Script(Config config) : machine_(config) {}

Script& Script::when(Input input) {
    if (auto* received = std::get_if<ItemReceived>(&input)) {
        received->ticket = ReplyTicket(++last_ticket_);
    }
    if (auto* received = std::get_if<ExecuteReceived>(&input)) {
        received->ticket = ReplyTicket(++last_ticket_);
    }
    if (auto* received = std::get_if<SenderSeen>(&input)) {
        received->ticket = ReplyTicket(++last_ticket_);
    }
    if (auto* received = std::get_if<ResolveReceived>(&input)) {
        received->ticket = ReplyTicket(++last_ticket_);
    }
    effects_.clear();
    lines_.clear();
    machine_.step(std::move(input), effects_);
    for (const Effect& effect : effects_) {
        lines_.push_back(describe(effect));
        if (const auto* timer = std::get_if<ArmTimer>(&effect)) timers_.push_back(*timer);
    }
    return *this;
}

Script& Script::given(Input input) { return when(std::move(input)); }

Script& Script::expect(std::initializer_list<std::string> lines) {
    EXPECT_EQ(lines_, std::vector<std::string>(lines));
    return *this;
}

Script& Script::when_timer(std::chrono::milliseconds delay_max) {
    auto found = std::find_if(timers_.rbegin(), timers_.rend(), [&](const ArmTimer& timer) {
        return timer.delay_max == delay_max;
    });
    if (found == timers_.rend()) {
        ADD_FAILURE() << "no timer of " << delay_max.count() << " ms is armed";
        return *this;
    }
    TimerId timer = found->timer;
    timers_.erase(std::next(found).base());
    return when(TimerFired{timer});
}

std::string Script::state(std::uint64_t number) const {
    for (const auto& report : machine_.unfinished()) {
        if (report.key.group.sequence() == number) return report.state;
    }
    return "finished";
}

}  // namespace twofold::participant::test
