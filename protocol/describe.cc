// The readable forms of log records, for `twofold wal dump`, tests and transcripts.
#include "base/base64.h"
#include "base/log.h"
#include "protocol/records.h"

#include <string_view>
#include <utility>

namespace twofold::protocol {

namespace {

// Collects (name, value) pairs; a value is either text or a ready JSON value.
class Description {
public:
    explicit Description(std::string_view type) : text_(type) {
        json_ = "{\"type\":";
        base::append_json_string(json_, type);
    }

    Description& field(std::string_view name, std::string_view value) {
        text_.append(" ").append(name).append("=").append(value);
        key(name);
        base::append_json_string(json_, value);
        return *this;
    }
    Description& number(std::string_view name, std::uint64_t value) {
        std::string digits = std::to_string(value);
        text_.append(" ").append(name).append("=").append(digits);
        key(name);
        json_ += digits;
        return *this;
    }
    Description& flag(std::string_view name, bool value) {
        text_.append(" ").append(name).append(value ? "=true" : "=false");
        key(name);
        json_ += value ? "true" : "false";
        return *this;
    }
    // `text` for the line, `json` for the object.
    Description& raw(std::string_view name, std::string_view text, std::string_view json) {
        text_.append(" ").append(name).append("=").append(text);
        key(name);
        json_ += json;
        return *this;
    }

    [[nodiscard]] std::string text() const { return text_; }
    [[nodiscard]] std::string json() const { return json_ + "}"; }

private:
    void key(std::string_view name) {
        json_.push_back(',');
        base::append_json_string(json_, name);
        json_.push_back(':');
    }

    std::string text_;
    std::string json_;
};

std::string position_text(const IdPosition& position) {
    return std::to_string(position.epoch) + "." + std::to_string(position.sequence);
}

Description describe_branch(const BranchRecord& branch) {
    Description out("branch");
    out.number("branch", branch.branch)
        .number("attempt", branch.attempt)
        .number("participant", branch.participant.value)
        .field("uuid", branch.uuid.text())
        .field("identity", branch.identity.text())
        .number("participant_epoch", branch.participant_epoch)
        .field("vote", to_string(branch.vote));
    if (branch.proof) {
        out.number("xid", branch.proof->xid)
            .number("timeline", branch.proof->position.timeline)
            .number("position", branch.proof->position.value)
            .flag("witness", branch.proof->witness);
    }
    return out;
}

void add_branches(Description& out, const std::vector<BranchRecord>& branches) {
    std::string text = "[";
    std::string json = "[";
    for (std::size_t i = 0; i < branches.size(); ++i) {
        Description branch = describe_branch(branches[i]);
        text.append(i == 0 ? "" : "; ").append(branch.text());
        json.append(i == 0 ? "" : ",").append(branch.json());
    }
    out.raw("branches", text + "]", json + "]");
}

void add_members(Description& out, const std::vector<MemberRecord>& members) {
    std::string text = "[";
    std::string json = "[";
    for (std::size_t i = 0; i < members.size(); ++i) {
        Description member("member");
        member.field("txn", members[i].txn.text());
        member.flag("idempotency_key", members[i].idempotency.has_value());
        for (const auto& [name, value] : members[i].labels) member.field("label." + name, value);
        text.append(i == 0 ? "" : "; ").append(member.text());
        json.append(i == 0 ? "" : ",").append(member.json());
    }
    out.raw("members", text + "]", json + "]");
}

Description describe(const EpochRecord& record) {
    // The key makes ids unguessable: it is never printed.
    Description out("epoch");
    out.field("incarnation", record.incarnation.text()).number("epoch", record.epoch);
    out.field("key", "…");
    bool is_noted = record.last_participant != EpochRecord{}.last_participant;
    if (is_noted) out.number("last_participant", record.last_participant.value);
    return out;
}

Description describe(const ParticipantRecord& record) {
    Description out("participant");
    out.number("number", record.number.value)
        .field("uuid", record.uuid.text())
        .field("name", record.name)
        .field("identity", record.identity.text())
        .flag("retired", record.retired);
    for (std::size_t i = 0; i < record.decisions.size(); ++i) {
        out.field("decision." + std::to_string(i + 1), record.decisions[i]);
    }
    return out;
}

Description describe(const PreparingRecord& record) {
    Description out("preparing");
    out.field("group", record.group.text());
    add_members(out, record.members);
    add_branches(out, record.branches);
    return out;
}

Description describe(const DecisionRecord& record) {
    Description out("decision");
    out.field("group", record.group.text()).field("decision", to_string(record.decision));
    if (!record.reason.empty()) out.field("reason", record.reason);
    add_members(out, record.members);
    add_branches(out, record.branches);
    return out;
}

Description describe(const EndRecord& record) {
    Description out("end");
    out.field("group", record.group.text()).field("outcome", to_string(record.outcome));
    return out;
}

Description describe(const OutcomesRecord& record) {
    Description out("outcomes");
    out.number("epoch", record.epoch)
        .number("first_sequence", record.first_sequence)
        .field("committed_bits", base::hex_encode(record.committed_bits));
    return out;
}

Description describe(const HorizonRecord& record) {
    Description out("horizon");
    out.field("position", position_text(record.horizon));
    return out;
}

Description describe(const BranchOutcomeRecord& record) {
    Description out("branch_outcome");
    out.field("branch", record.key.text())
        .number("participant", record.participant.value)
        .field("outcome", to_string(record.outcome))
        .field("evidence", record.evidence)
        .flag("by_operator", record.by_operator);
    return out;
}

Description describe(const GivenUpRecord& record) {
    Description out("given_up");
    out.number("participant", record.participant.value)
        .field("newest", position_text(record.newest));
    return out;
}

Description describe(const PositionRecord& record) {
    Description out("position");
    out.number("participant", record.participant.value)
        .number("timeline", record.position.timeline)
        .number("value", record.position.value);
    return out;
}

Description describe(const IdempotentAbortRecord& record) {
    Description out("idempotent_abort");
    out.field("txn", record.txn.text()).field("reason", record.reason);
    return out;
}

Description describe(const AcknowledgedRecord& record) {
    Description out("acknowledged");
    out.field("txn", record.txn.text()).field("reason", record.reason);
    return out;
}

Description describe(const KeysRecord& record) {
    Description out("keys");
    out.number("generation", record.generation).number("count", record.keys.size());
    std::string text;
    std::string json;
    for (std::size_t i = 0; i < record.keys.size(); ++i) {
        const SettledKey& key = record.keys[i];
        Description one("key");
        one.field("txn", position_text(key.position))
            .number("participant", key.participant.value)
            .field("outcome", to_string(key.committed ? Outcome::committed : Outcome::aborted));
        if (!key.committed) one.field("reason", key.reason);
        text.append(i == 0 ? "" : "; ").append(one.text());
        json.append(i == 0 ? "" : ",").append(one.json());
    }
    out.raw("keys", "[" + text + "]", "[" + json + "]");
    return out;
}

Description describe(const SealedRecord& record) {
    Description out("sealed");
    out.number("file", record.file)
        .number("generation", record.generation)
        .number("keys", record.keys)
        .number("checksum", record.checksum);
    return out;
}

Description describe(const KeyTurnRecord& record) {
    Description out("key_turn");
    out.number("generation", record.generation);
    return out;
}

Description describe(const RestoreRecord& record) {
    Description out("restore");
    out.flag("accepted", record.accepted)
        .number("participant", record.participant.value)
        .number("epoch", record.epoch)
        .number("position", record.position)
        .field("code", record.code)
        .field("reason", record.reason);
    return out;
}

Description describe(const SealedOutcomesRecord& record) {
    Description out("sealed_outcomes");
    out.number("file", record.file)
        .field("newest", position_text(record.newest))
        .number("committed", record.committed)
        .number("checksum", record.checksum);
    return out;
}

Description describe(const OutcomeTurnRecord& record) {
    Description out("outcome_turn");
    out.number("number", record.number).field("next", position_text(record.next));
    return out;
}

Description describe_any(const Record& record) {
    return std::visit([](const auto& alternative) { return describe(alternative); }, record);
}

}  // namespace

std::string describe_record(const Record& record) { return describe_any(record).text(); }

std::string describe_record_json(const Record& record) { return describe_any(record).json(); }

}  // namespace twofold::protocol
