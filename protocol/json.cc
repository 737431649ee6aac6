#include "protocol/json.h"

#include "base/base64.h"
#include "base/log.h"
#include "protocol/json_reader.h"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <utility>

namespace twofold::protocol {

namespace {

using base::append_json_string;
using base::Errc;
using base::Result;

// ---- writing -----------------------------------------------------------------------------------

void member(std::string& out, std::string_view name) {
    if (out.back() != '{') out.push_back(',');
    out.push_back('"');
    out += name;  // our own names need no escaping
    out += "\":";
}

void text_member(std::string& out, std::string_view name, std::string_view value) {
    member(out, name);
    append_json_string(out, value);
}

void number_member(std::string& out, std::string_view name, std::uint64_t value) {
    member(out, name);
    out += std::to_string(value);
}

void big_member(std::string& out, std::string_view name, std::uint64_t value) {
    member(out, name);
    out += '"' + std::to_string(value) + '"';
}

void flag_member(std::string& out, std::string_view name, bool value) {
    member(out, name);
    out += value ? "true" : "false";
}

void key_members(std::string& out, const BranchKey& key) {
    text_member(out, "group", key.group.text());
    number_member(out, "branch", key.branch);
    number_member(out, "attempt", key.attempt);
}

void id_position_member(std::string& out, std::string_view name, const IdPosition& position) {
    member(out, name);
    out += '{';
    number_member(out, "epoch", position.epoch);
    number_member(out, "sequence", position.sequence);
    out += '}';
}

void position_member(std::string& out, const Position& position) {
    member(out, "position");
    out += '{';
    number_member(out, "timeline", position.timeline);
    big_member(out, "value", position.value);
    out += '}';
}

void proof_member(std::string& out, const std::optional<ProofToken>& proof) {
    if (!proof) return;
    member(out, "proof");
    out += '{';
    big_member(out, "xid", proof->xid);
    position_member(out, proof->position);
    flag_member(out, "witness", proof->witness);
    out += '}';
}

void sender_member(std::string& out, const SenderStamp& sender) {
    member(out, "sender");
    out += '{';
    text_member(out, "incarnation", sender.incarnation.text());
    number_member(out, "epoch", sender.epoch);
    big_member(out, "nonce", sender.start_nonce);
    big_member(out, "position", sender.position);
    out += '}';
}

void options_member(std::string& out, const BranchOptions& options) {
    if (options == BranchOptions{}) return;
    member(out, "options");
    out += '{';
    text_member(out, "isolation", to_string(options.isolation));
    number_member(out, "lock_timeout_ms", options.lock_timeout_ms);
    number_member(out, "statement_timeout_ms", options.statement_timeout_ms);
    out += '}';
}

void append_item(std::string& out, const Item& item) {
    out += '{';
    text_member(out, "op", to_string(item.op));
    key_members(out, item.key);
    number_member(out, "participant_epoch", item.participant_epoch);
    options_member(out, item.options);
    if (item.deadline_ms != 0) number_member(out, "deadline_ms", item.deadline_ms);
    if (item.expected_executes) {
        number_member(out, "expected_executes", *item.expected_executes);
    }
    proof_member(out, item.proof);
    if (item.idempotency) {
        member(out, "idempotency");
        out += '{';
        text_member(out, "key", base::hex_encode(item.idempotency->key_hash));
        text_member(out, "fingerprint", base::hex_encode(item.idempotency->fingerprint));
        out += '}';
    }
    if (item.work) {
        member(out, "work");
        out += *item.work;
    }
    out += '}';
}

void reason_member(std::string& out, const Reason& reason) {
    if (reason.empty()) return;
    member(out, "reason");
    out += '{';
    text_member(out, "code", reason.code);
    text_member(out, "message", reason.message);
    if (reason.statement_index >= 0) {
        number_member(out, "statement", static_cast<std::uint64_t>(reason.statement_index));
    }
    if (!reason.sqlstate.empty()) text_member(out, "sqlstate", reason.sqlstate);
    out += '}';
}

// ---- reading -----------------------------------------------------------------------------------

// Reads a member through a text form with a parser; `expected` completes "must be …".
template <class Value>
Value parsed(ObjectReader& in,
             std::string_view name,
             std::optional<Value> (*parse)(std::string_view),
             std::string_view expected) {
    std::string text = in.text(name);
    if (in.failed()) return Value{};
    auto value = parse(text);
    if (!value) {
        in.fail(name, expected);
        return Value{};
    }
    return std::move(*value);
}

TxnId read_txn(ObjectReader& in, std::string_view name) {
    return parsed<TxnId>(in, name, &TxnId::parse, "a transaction id of 48 characters");
}

BranchKey read_key(ObjectReader& in) {
    BranchKey key;
    key.group = read_txn(in, "group");
    key.branch = in.integer<std::uint16_t>("branch", 1);
    key.attempt = in.integer<std::uint16_t>("attempt", 1);
    return key;
}

IdPosition read_id_position(ObjectReader& in, std::string_view name) {
    IdPosition position;
    if (const auto* value = in.required(name)) {
        ObjectReader nested(*value, in.path_of(name));
        position.epoch = nested.integer<Epoch>("epoch");
        position.sequence = nested.integer<std::uint64_t>("sequence", 0, kSequenceMax + 1);
        in.adopt(nested.finish());
    }
    return position;
}

Position read_position(ObjectReader& in) {
    Position position;
    if (const auto* value = in.required("position")) {
        ObjectReader nested(*value, in.path_of("position"));
        position.timeline = nested.integer<std::uint32_t>("timeline");
        position.value = nested.big_integer("value");
        in.adopt(nested.finish());
    }
    return position;
}

std::optional<ProofToken> read_proof(ObjectReader& in) {
    const auto* value = in.optional("proof");
    if (value == nullptr) return std::nullopt;
    ObjectReader nested(*value, in.path_of("proof"));
    ProofToken proof;
    proof.xid = nested.big_integer("xid");
    proof.position = read_position(nested);
    proof.witness = nested.boolean("witness");
    in.adopt(nested.finish());
    return proof;
}

SenderStamp read_sender(ObjectReader& in) {
    SenderStamp sender;
    if (const auto* value = in.required("sender")) {
        ObjectReader nested(*value, in.path_of("sender"));
        sender.incarnation = parsed<Incarnation>(
            nested, "incarnation", &Incarnation::parse, "20 hexadecimal digits");
        sender.epoch = nested.integer<Epoch>("epoch", 1);
        sender.start_nonce = nested.big_integer("nonce");
        sender.position = nested.big_integer("position");
        in.adopt(nested.finish());
    }
    return sender;
}

BranchOptions read_options(ObjectReader& in) {
    BranchOptions options;
    const auto* value = in.optional("options");
    if (value == nullptr) return options;
    ObjectReader nested(*value, in.path_of("options"));
    options.isolation =
        parsed<Isolation>(nested, "isolation", &parse_isolation, "an isolation level");
    options.lock_timeout_ms = nested.integer<std::uint32_t>("lock_timeout_ms");
    options.statement_timeout_ms = nested.integer<std::uint32_t>("statement_timeout_ms");
    in.adopt(nested.finish());
    return options;
}

void read_hash(ObjectReader& in, std::string_view name, std::array<std::uint8_t, 16>& out) {
    auto decoded = base::hex_decode(in.text(name));
    if (!decoded || decoded->size() != out.size()) {
        in.fail(name, "32 hexadecimal digits");
        return;
    }
    std::ranges::copy(*decoded, out.begin());
}

std::optional<IdempotencyKey> read_idempotency(ObjectReader& in) {
    const auto* value = in.optional("idempotency");
    if (value == nullptr) return std::nullopt;
    ObjectReader nested(*value, in.path_of("idempotency"));
    IdempotencyKey key;
    read_hash(nested, "key", key.key_hash);
    read_hash(nested, "fingerprint", key.fingerprint);
    in.adopt(nested.finish());
    return key;
}

JsonText read_json_text(ObjectReader& in, std::string_view name) {
    const auto* value = in.optional(name);
    if (value == nullptr) return nullptr;
    return std::make_shared<const std::string>(boost::json::serialize(*value));
}

Result<Item> read_item(const boost::json::value& value, std::string path) {
    ObjectReader in(value, std::move(path));
    Item item;
    item.op = parsed<ItemOp>(in, "op", &parse_item_op, "a known operation");
    item.key = read_key(in);
    item.participant_epoch = in.integer<std::uint32_t>("participant_epoch");
    item.options = read_options(in);
    if (in.has("deadline_ms")) item.deadline_ms = in.integer<std::uint32_t>("deadline_ms");
    if (in.has("expected_executes")) {
        item.expected_executes = in.integer<std::uint32_t>("expected_executes");
    }
    item.proof = read_proof(in);
    item.idempotency = read_idempotency(in);
    item.work = read_json_text(in, "work");
    bool needs_work = item.op == ItemOp::execute_prepare || item.op == ItemOp::one_phase;
    if (needs_work && !item.work) in.fail("work", "an array of statements");
    TWOFOLD_TRY(in.finish());
    return item;
}

ParticipantUuid read_uuid(ObjectReader& in, std::string_view name) {
    return parsed<ParticipantUuid>(in, name, &ParticipantUuid::parse, "a uuid");
}

Identity read_identity(ObjectReader& in) {
    return parsed<Identity>(in, "identity", &Identity::parse, "an identity such as kind:field");
}

Reason read_reason(ObjectReader& in) {
    Reason reason;
    const auto* value = in.optional("reason");
    if (value == nullptr) return reason;
    ObjectReader nested(*value, in.path_of("reason"));
    reason.code = nested.text("code");
    reason.message = nested.text("message");
    if (nested.has("statement")) {
        reason.statement_index =
            static_cast<std::int32_t>(nested.integer<std::uint32_t>("statement", 0, 100'000));
    }
    if (nested.has("sqlstate")) reason.sqlstate = nested.text("sqlstate");
    in.adopt(nested.finish());
    return reason;
}

// Calls `read(element, path)` for each element of the array member `name`.
template <class Read>
Result<void> for_each_element(ObjectReader& in,
                              std::string_view name,
                              std::size_t count_max,
                              Read read) {
    const auto* value = in.required(name);
    const auto* array = value != nullptr ? value->if_array() : nullptr;
    if (array == nullptr) {
        in.fail(name, "an array");
        return in.finish();
    }
    if (array->size() > count_max) {
        return base::fail(
            Errc::limit_exceeded,
            in.path_of(name) + ": more than " + std::to_string(count_max) + " elements");
    }
    std::size_t index = 0;
    for (const auto& element : *array) {
        TWOFOLD_TRY(read(element, in.path_of(name) + "[" + std::to_string(index) + "]"));
        ++index;
    }
    return base::ok();
}

}  // namespace

void append_batch_request(std::string& out, const BatchRequest& request) {
    out += '{';
    sender_member(out, request.sender);
    text_member(out, "participant", request.participant.text());
    text_member(out, "identity", request.identity.text());
    id_position_member(out, "low_water", request.low_water);
    id_position_member(out, "horizon", request.horizon);
    member(out, "items");
    out += '[';
    for (const Item& item : request.items) {
        if (out.back() != '[') out += ',';
        append_item(out, item);
    }
    out += "]}";
}

Result<BatchRequest> parse_batch_request(std::string_view text, const JsonLimits& limits) {
    boost::json::monotonic_resource arena;
    TWOFOLD_TRY(boost::json::value value, parse_json(text, limits.depth, &arena));
    ObjectReader in(value, "");
    BatchRequest request;
    request.sender = read_sender(in);
    request.participant = read_uuid(in, "participant");
    request.identity = read_identity(in);
    request.low_water = read_id_position(in, "low_water");
    request.horizon = read_id_position(in, "horizon");
    TWOFOLD_TRY(for_each_element(
        in,
        "items",
        limits.items,
        [&request](const boost::json::value& element, std::string path) -> Result<void> {
            TWOFOLD_TRY(Item item, read_item(element, std::move(path)));
            request.items.push_back(std::move(item));
            return base::ok();
        }));
    TWOFOLD_TRY(in.finish());
    return request;
}

void append_item_result(std::string& out, const ItemResult& result) {
    out += '{';
    text_member(out, "op", to_string(result.op));
    key_members(out, result.key);
    text_member(out, "participant", result.participant.text());
    text_member(out, "identity", result.identity.text());
    number_member(out, "participant_epoch", result.participant_epoch);
    text_member(out, "status", to_string(result.status));
    reason_member(out, result.reason);
    proof_member(out, result.proof);
    if (result.results) {
        member(out, "results");
        out += *result.results;
    }
    if (!result.recorded) flag_member(out, "recorded", false);
    if (!result.executed) flag_member(out, "executed", false);
    position_member(out, result.position);
    out += "}\n";
}

Result<ItemResult> parse_item_result(std::string_view line, const JsonLimits& limits) {
    boost::json::monotonic_resource arena;
    TWOFOLD_TRY(boost::json::value value, parse_json(line, limits.depth, &arena));
    ObjectReader in(value, "");
    ItemResult result;
    result.op = parsed<ItemOp>(in, "op", &parse_item_op, "a known operation");
    result.key = read_key(in);
    result.participant = read_uuid(in, "participant");
    result.identity = read_identity(in);
    result.participant_epoch = in.integer<std::uint32_t>("participant_epoch");
    result.status = parsed<ItemStatus>(in, "status", &parse_item_status, "a known status");
    result.reason = read_reason(in);
    result.proof = read_proof(in);
    result.results = read_json_text(in, "results");
    if (in.has("recorded")) result.recorded = in.boolean("recorded");
    if (in.has("executed")) result.executed = in.boolean("executed");
    result.position = read_position(in);
    TWOFOLD_TRY(in.finish());
    return result;
}

void append_inquiry_request(std::string& out, const InquiryRequest& request) {
    out += '{';
    text_member(out, "participant", request.participant.text());
    text_member(out, "identity", request.identity.text());
    number_member(out, "participant_epoch", request.participant_epoch);
    position_member(out, request.position);
    member(out, "items");
    out += '[';
    for (const InquiryItem& item : request.items) {
        if (out.back() != '[') out += ',';
        out += '{';
        key_members(out, item.key);
        proof_member(out, item.proof);
        out += '}';
    }
    out += "]}";
}

Result<InquiryRequest> parse_inquiry_request(std::string_view text, const JsonLimits& limits) {
    boost::json::monotonic_resource arena;
    TWOFOLD_TRY(boost::json::value value, parse_json(text, limits.depth, &arena));
    ObjectReader in(value, "");
    InquiryRequest request;
    request.participant = read_uuid(in, "participant");
    request.identity = read_identity(in);
    request.participant_epoch = in.integer<std::uint32_t>("participant_epoch");
    request.position = read_position(in);
    TWOFOLD_TRY(for_each_element(
        in,
        "items",
        limits.items,
        [&request](const boost::json::value& element, std::string path) -> Result<void> {
            ObjectReader nested(element, std::move(path));
            InquiryItem item;
            item.key = read_key(nested);
            item.proof = read_proof(nested);
            request.items.push_back(item);
            return nested.finish();
        }));
    TWOFOLD_TRY(in.finish());
    return request;
}

void append_inquiry_reply(std::string& out, const InquiryReply& reply) {
    out += '{';
    sender_member(out, reply.sender);
    member(out, "items");
    out += '[';
    for (const InquiryAnswerItem& item : reply.items) {
        if (out.back() != '[') out += ',';
        out += '{';
        key_members(out, item.key);
        text_member(out, "answer", to_string(item.answer));
        proof_member(out, item.proof);
        out += '}';
    }
    out += "]}";
}

Result<InquiryReply> parse_inquiry_reply(std::string_view text, const JsonLimits& limits) {
    boost::json::monotonic_resource arena;
    TWOFOLD_TRY(boost::json::value value, parse_json(text, limits.depth, &arena));
    ObjectReader in(value, "");
    InquiryReply reply;
    reply.sender = read_sender(in);
    TWOFOLD_TRY(for_each_element(
        in,
        "items",
        limits.items,
        [&reply](const boost::json::value& element, std::string path) -> Result<void> {
            ObjectReader nested(element, std::move(path));
            InquiryAnswerItem item;
            item.key = read_key(nested);
            item.answer =
                parsed<InquiryAnswer>(nested, "answer", &parse_inquiry_answer, "a known answer");
            item.proof = read_proof(nested);
            reply.items.push_back(item);
            return nested.finish();
        }));
    TWOFOLD_TRY(in.finish());
    return reply;
}

void append_participant_info(std::string& out, const ParticipantInfo& info) {
    out += '{';
    text_member(out, "uuid", info.uuid.text());
    text_member(out, "name", info.name);
    text_member(out, "identity", info.identity.text());
    number_member(out, "epoch", info.epoch);
    position_member(out, info.position);
    number_member(out, "slots", info.slots);
    flag_member(out, "exclusive", info.exclusive);
    member(out, "capabilities");
    out += '{';
    flag_member(out, "batch", info.batch);
    flag_member(out, "read_only", info.read_only);
    flag_member(out, "one_phase", info.one_phase);
    flag_member(out, "proof", info.proof);
    out += "}}";
}

Result<ParticipantInfo> parse_participant_info(std::string_view text, const JsonLimits& limits) {
    boost::json::monotonic_resource arena;
    TWOFOLD_TRY(boost::json::value value, parse_json(text, limits.depth, &arena));
    ObjectReader in(value, "");
    ParticipantInfo info;
    info.uuid = read_uuid(in, "uuid");
    info.name = in.text("name");
    info.identity = read_identity(in);
    info.epoch = in.integer<std::uint32_t>("epoch");
    info.position = read_position(in);
    info.slots = in.integer<std::uint32_t>("slots");
    info.exclusive = in.boolean("exclusive");
    if (const auto* nested_value = in.required("capabilities")) {
        ObjectReader nested(*nested_value, "capabilities");
        info.batch = nested.boolean("batch");
        info.read_only = nested.boolean("read_only");
        info.one_phase = nested.boolean("one_phase");
        info.proof = nested.boolean("proof");
        in.adopt(nested.finish());
    }
    TWOFOLD_TRY(in.finish());
    return info;
}

}  // namespace twofold::protocol
