#include "protocol/json.h"

#include "base/base64.h"
#include "base/json_writer.h"
#include "protocol/json_reader.h"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <utility>

namespace twofold::protocol {

namespace {

using base::Errc;
using base::Result;
namespace json = base::json;

// ---- writing -----------------------------------------------------------------------------------

void key_members(std::string& out, const BranchKey& key) {
    json::text(out, "group", key.group.text());
    json::number(out, "branch", key.branch);
    json::number(out, "attempt", key.attempt);
}

void id_position_member(std::string& out, std::string_view name, const IdPosition& position) {
    json::member(out, name);
    out += '{';
    json::number(out, "epoch", position.epoch);
    json::number(out, "sequence", position.sequence);
    out += '}';
}

void position_member(std::string& out, const Position& position) {
    json::member(out, "position");
    out += '{';
    json::number(out, "timeline", position.timeline);
    json::big_number(out, "value", position.value);
    out += '}';
}

void proof_member(std::string& out, const std::optional<ProofToken>& proof) {
    if (!proof) return;
    json::member(out, "proof");
    out += '{';
    json::big_number(out, "xid", proof->xid);
    position_member(out, proof->position);
    json::flag(out, "witness", proof->witness);
    out += '}';
}

void sender_member(std::string& out, const SenderStamp& sender) {
    json::member(out, "sender");
    append_sender(out, sender);
}

void options_member(std::string& out, const BranchOptions& options) {
    if (options == BranchOptions{}) return;
    json::member(out, "options");
    out += '{';
    json::text(out, "isolation", to_string(options.isolation));
    json::number(out, "lock_timeout_ms", options.lock_timeout_ms);
    json::number(out, "statement_timeout_ms", options.statement_timeout_ms);
    out += '}';
}

void append_item(std::string& out, const Item& item) {
    out += '{';
    json::text(out, "op", to_string(item.op));
    key_members(out, item.key);
    json::number(out, "participant_epoch", item.participant_epoch);
    options_member(out, item.options);
    if (item.deadline_ms != 0) json::number(out, "deadline_ms", item.deadline_ms);
    if (item.expected_executes) {
        json::number(out, "expected_executes", *item.expected_executes);
    }
    proof_member(out, item.proof);
    if (item.idempotency) {
        json::member(out, "idempotency");
        out += '{';
        json::text(out, "key", base::hex_encode(item.idempotency->key_hash));
        json::text(out, "fingerprint", base::hex_encode(item.idempotency->fingerprint));
        out += '}';
    }
    if (item.work) json::raw(out, "work", *item.work);
    out += '}';
}

void reason_member(std::string& out, const Reason& reason) {
    if (reason.empty()) return;
    json::member(out, "reason");
    append_reason(out, reason);
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

// Reads the members of a nested object, if `value` (of the member `name`) is there.
template <class Read>
void read_object(ObjectReader& in,
                 std::string_view name,
                 const boost::json::value* value,
                 Read read) {
    if (value == nullptr) return;
    ObjectReader nested(*value, in.path_of(name));
    read(nested);
    in.adopt(nested.finish());
}

IdPosition read_id_position(ObjectReader& in, std::string_view name) {
    IdPosition position;
    read_object(in, name, in.required(name), [&position](ObjectReader& nested) {
        position.epoch = nested.integer<Epoch>("epoch");
        position.sequence = nested.integer<std::uint64_t>("sequence", 0, kSequenceMax + 1);
    });
    return position;
}

Position read_position(ObjectReader& in) {
    Position position;
    read_object(in, "position", in.required("position"), [&position](ObjectReader& nested) {
        position.timeline = nested.integer<std::uint32_t>("timeline");
        position.value = nested.big_integer("value");
    });
    return position;
}

// For participants whose database has no position: none is known then.
Position read_position_if_any(ObjectReader& in) {
    return in.has("position") ? read_position(in) : Position{};
}

std::optional<ProofToken> read_proof(ObjectReader& in) {
    std::optional<ProofToken> proof;
    read_object(in, "proof", in.optional("proof"), [&proof](ObjectReader& nested) {
        proof.emplace();
        proof->xid = nested.big_integer("xid");
        proof->position = read_position(nested);
        proof->witness = nested.boolean("witness");
    });
    return proof;
}

SenderStamp read_stamp(ObjectReader& in) {
    SenderStamp sender;
    sender.incarnation =
        parsed<Incarnation>(in, "incarnation", &Incarnation::parse, "20 hexadecimal digits");
    sender.epoch = in.integer<Epoch>("epoch", 1);
    sender.start_nonce = in.big_integer("nonce");
    sender.position = in.big_integer("position");
    if (in.has("start_position")) sender.start_position = in.big_integer("start_position");
    return sender;
}

BranchOptions read_options(ObjectReader& in) {
    BranchOptions options;
    read_object(in, "options", in.optional("options"), [&options](ObjectReader& nested) {
        options.isolation =
            parsed<Isolation>(nested, "isolation", &parse_isolation, "an isolation level");
        options.lock_timeout_ms = nested.integer<std::uint32_t>("lock_timeout_ms");
        options.statement_timeout_ms = nested.integer<std::uint32_t>("statement_timeout_ms");
    });
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
    std::optional<IdempotencyKey> key;
    read_object(in, "idempotency", in.optional("idempotency"), [&key](ObjectReader& nested) {
        key.emplace();
        read_hash(nested, "key", key->key_hash);
        read_hash(nested, "fingerprint", key->fingerprint);
    });
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
    return parsed<Identity>(in,
                            "identity",
                            &Identity::parse,
                            "an identity such as kind:field, of at most 512 bytes and 16 fields");
}

// Reasons are written into the log and shown to clients; whoever answers may be anybody. A long
// message is cut at a character's start: the answer is worth more than its end.
std::string bounded_message(std::string text) {
    constexpr std::size_t kSizeMax = 2'000;
    if (text.size() <= kSizeMax) return text;
    std::size_t size = kSizeMax;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0U) == 0x80U) --size;
    text.resize(size);
    return text;
}

std::string read_code(ObjectReader& in, std::string_view name) {
    std::string code = in.text(name);
    if (code.size() > 64) in.fail(name, "at most 64 characters");
    return code;
}

Reason read_reason(ObjectReader& in) {
    Reason reason;
    read_object(in, "reason", in.optional("reason"), [&reason](ObjectReader& nested) {
        reason.code = read_code(nested, "code");
        reason.message = bounded_message(nested.text("message"));
        if (nested.has("statement")) {
            reason.statement_index =
                static_cast<std::int32_t>(nested.integer<std::uint32_t>("statement", 0, 100'000));
        }
        if (nested.has("sqlstate")) reason.sqlstate = read_code(nested, "sqlstate");
    });
    return reason;
}

// What is not named is not there.
void read_capabilities(ObjectReader& in, ParticipantInfo& info) {
    info.batch = info.read_only = info.one_phase = info.proof = info.epochs = info.keys = false;
    read_object(in, "capabilities", in.optional("capabilities"), [&info](ObjectReader& nested) {
        auto flag = [&nested](std::string_view name) {
            return nested.has(name) && nested.boolean(name);
        };
        info.batch = flag("batch");
        info.read_only = flag("read_only");
        info.one_phase = flag("one_phase");
        info.proof = flag("proof");
        info.epochs = flag("epoch");
        info.keys = flag("keys");
    });
}

// Appends what `read(element, path)` makes of each element of the array member `name`.
template <class Items, class Read>
Result<void> read_array(
    ObjectReader& in, std::string_view name, std::size_t count_max, Items& items, Read read) {
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
        TWOFOLD_TRY(auto item, read(element, in.path_of(name) + "[" + std::to_string(index) + "]"));
        items.push_back(std::move(item));
        ++index;
    }
    return base::ok();
}

template <class Items, class Read>
Result<void> read_items(ObjectReader& in, std::size_t count_max, Items& items, Read read) {
    return read_array(in, "items", count_max, items, read);
}

// Reads a whole document; `read(in, message)` takes the members.
template <class Message, class Read>
Result<Message> read_message(std::string_view text, const JsonLimits& limits, Read read) {
    boost::json::monotonic_resource arena;
    TWOFOLD_TRY(boost::json::value value, parse_json(text, limits.depth, &arena));
    ObjectReader in(value, "");
    Message message;
    TWOFOLD_TRY(read(in, message));
    TWOFOLD_TRY(in.finish());
    return message;
}

Result<InquiryItem> read_inquiry_item(const boost::json::value& value, std::string path) {
    ObjectReader in(value, std::move(path));
    InquiryItem item;
    item.key = read_key(in);
    item.proof = read_proof(in);
    TWOFOLD_TRY(in.finish());
    return item;
}

Result<SenderStamp> read_known_sender(const boost::json::value& value, std::string path) {
    ObjectReader in(value, std::move(path));
    SenderStamp sender = read_stamp(in);
    TWOFOLD_TRY(in.finish());
    return sender;
}

Result<InquiryAnswerItem> read_inquiry_answer(const boost::json::value& value, std::string path) {
    ObjectReader in(value, std::move(path));
    InquiryAnswerItem item;
    item.key = read_key(in);
    item.answer = parsed<InquiryAnswer>(in, "answer", &parse_inquiry_answer, "a known answer");
    item.proof = read_proof(in);
    TWOFOLD_TRY(in.finish());
    return item;
}

}  // namespace

void append_sender(std::string& out, const SenderStamp& sender) {
    out += '{';
    json::text(out, "incarnation", sender.incarnation.text());
    json::number(out, "epoch", sender.epoch);
    json::big_number(out, "nonce", sender.start_nonce);
    json::big_number(out, "position", sender.position);
    if (sender.start_position != 0) {
        json::big_number(out, "start_position", sender.start_position);
    }
    out += '}';
}

SenderStamp read_sender(ObjectReader& in) {
    SenderStamp sender;
    read_object(in, "sender", in.required("sender"), [&sender](ObjectReader& nested) {
        sender = read_stamp(nested);
    });
    return sender;
}

void append_reason(std::string& out, const Reason& reason) {
    out += '{';
    json::text(out, "code", reason.code);
    json::text(out, "message", reason.message);
    if (reason.statement_index >= 0) {
        json::number(out, "statement", static_cast<std::uint64_t>(reason.statement_index));
    }
    if (!reason.sqlstate.empty()) json::text(out, "sqlstate", reason.sqlstate);
    out += '}';
}

void append_batch_request(std::string& out, const BatchRequest& request) {
    out += '{';
    sender_member(out, request.sender);
    json::text(out, "participant", request.participant.text());
    json::text(out, "identity", request.identity.text());
    id_position_member(out, "low_water", request.low_water);
    id_position_member(out, "horizon", request.horizon);
    json::array(out, "items", request.items, append_item);
    out += '}';
}

Result<BatchRequest> parse_batch_request(std::string_view text, const JsonLimits& limits) {
    return read_message<BatchRequest>(
        text, limits, [&limits](ObjectReader& in, BatchRequest& request) -> Result<void> {
            request.sender = read_sender(in);
            request.participant = read_uuid(in, "participant");
            request.identity = read_identity(in);
            request.low_water = read_id_position(in, "low_water");
            request.horizon = read_id_position(in, "horizon");
            return read_items(in, limits.items, request.items, read_item);
        });
}

void append_offer_reply(std::string& out, const OfferReply& reply) {
    out += '{';
    json::text(out, "participant", reply.participant.text());
    json::text(out, "identity", reply.identity.text());
    json::flag(out, "accepted", reply.accepted);
    reason_member(out, reply.reason);
    if (reply.known.epoch != 0) {
        json::member(out, "known");
        append_sender(out, reply.known);
    }
    out += "}\n";
}

Result<OfferReply> parse_offer_reply(std::string_view line, const JsonLimits& limits) {
    return read_message<OfferReply>(
        line, limits, [](ObjectReader& in, OfferReply& reply) -> Result<void> {
            reply.participant = read_uuid(in, "participant");
            reply.identity = read_identity(in);
            reply.accepted = in.boolean("accepted");
            reply.reason = read_reason(in);
            read_object(in, "known", in.optional("known"), [&reply](ObjectReader& nested) {
                reply.known = read_stamp(nested);
            });
            return base::ok();
        });
}

void append_item_result(std::string& out, const ItemResult& result) {
    out += '{';
    json::text(out, "op", to_string(result.op));
    key_members(out, result.key);
    json::text(out, "participant", result.participant.text());
    json::text(out, "identity", result.identity.text());
    json::number(out, "participant_epoch", result.participant_epoch);
    json::text(out, "status", to_string(result.status));
    reason_member(out, result.reason);
    proof_member(out, result.proof);
    if (result.results) json::raw(out, "results", *result.results);
    if (!result.recorded) json::flag(out, "recorded", false);
    if (!result.executed) json::flag(out, "executed", false);
    if (result.original) json::text(out, "original", result.original->text());
    if (result.key_free) json::flag(out, "key_free", true);
    position_member(out, result.position);
    out += "}\n";
}

Result<ItemResult> parse_item_result(std::string_view line, const JsonLimits& limits) {
    return read_message<ItemResult>(
        line, limits, [](ObjectReader& in, ItemResult& result) -> Result<void> {
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
            if (in.has("original")) result.original = read_txn(in, "original");
            if (in.has("key_free")) result.key_free = in.boolean("key_free");
            result.position = read_position_if_any(in);
            return base::ok();
        });
}

void append_inquiry_request(std::string& out, const InquiryRequest& request) {
    out += '{';
    json::text(out, "participant", request.participant.text());
    json::text(out, "identity", request.identity.text());
    json::number(out, "participant_epoch", request.participant_epoch);
    position_member(out, request.position);
    if (!request.senders.empty()) json::array(out, "senders", request.senders, append_sender);
    json::array(out, "items", request.items, [](std::string& to, const InquiryItem& item) {
        to += '{';
        key_members(to, item.key);
        proof_member(to, item.proof);
        to += '}';
    });
    out += '}';
}

Result<InquiryRequest> parse_inquiry_request(std::string_view text, const JsonLimits& limits) {
    return read_message<InquiryRequest>(
        text, limits, [&limits](ObjectReader& in, InquiryRequest& request) -> Result<void> {
            request.participant = read_uuid(in, "participant");
            request.identity = read_identity(in);
            request.participant_epoch = in.integer<std::uint32_t>("participant_epoch");
            request.position = read_position_if_any(in);
            if (in.has("senders")) {
                TWOFOLD_TRY(
                    read_array(in, "senders", limits.items, request.senders, read_known_sender));
            }
            return read_items(in, limits.items, request.items, read_inquiry_item);
        });
}

void append_inquiry_reply(std::string& out, const InquiryReply& reply) {
    out += '{';
    sender_member(out, reply.sender);
    json::array(out, "items", reply.items, [](std::string& to, const InquiryAnswerItem& item) {
        to += '{';
        key_members(to, item.key);
        json::text(to, "answer", to_string(item.answer));
        proof_member(to, item.proof);
        to += '}';
    });
    out += '}';
}

Result<InquiryReply> parse_inquiry_reply(std::string_view text, const JsonLimits& limits) {
    return read_message<InquiryReply>(
        text, limits, [&limits](ObjectReader& in, InquiryReply& reply) -> Result<void> {
            reply.sender = read_sender(in);
            return read_items(in, limits.items, reply.items, read_inquiry_answer);
        });
}

void append_participant_info(std::string& out, const ParticipantInfo& info) {
    out += '{';
    json::text(out, "uuid", info.uuid.text());
    json::text(out, "name", info.name);
    json::text(out, "identity", info.identity.text());
    json::number(out, "epoch", info.epoch);
    position_member(out, info.position);
    json::number(out, "slots", info.slots);
    json::flag(out, "exclusive", info.exclusive);
    json::member(out, "capabilities");
    out += '{';
    json::flag(out, "batch", info.batch);
    json::flag(out, "read_only", info.read_only);
    json::flag(out, "one_phase", info.one_phase);
    json::flag(out, "proof", info.proof);
    json::flag(out, "epoch", info.epochs);
    json::flag(out, "keys", info.keys);
    out += "}}";
}

Result<ParticipantInfo> parse_participant_info(std::string_view text, const JsonLimits& limits) {
    return read_message<ParticipantInfo>(
        text, limits, [](ObjectReader& in, ParticipantInfo& info) -> Result<void> {
            info.uuid = read_uuid(in, "uuid");
            info.name = in.text("name");
            info.identity = read_identity(in);
            info.epoch = in.integer<std::uint32_t>("epoch");
            info.position = read_position_if_any(in);
            info.slots = in.integer<std::uint32_t>("slots");
            info.exclusive = in.has("exclusive") && in.boolean("exclusive");
            read_capabilities(in, info);
            return base::ok();
        });
}

}  // namespace twofold::protocol
