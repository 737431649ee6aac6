#include "fuzz/fake_resource.h"
#include "fuzz/seeds.h"
#include "protocol/json.h"

#include <memory>

namespace twofold::fuzz {

namespace {

using namespace protocol;

BranchKey first_key() {
    return {make_txn_id({}, 1, 1, ParticipantNumber(0), base::KeyedHash(base::HashKey{})), 1, 1};
}

ProofToken proof() { return {771, {1, 4711}, true}; }

Item item_of(ItemOp op) {
    Item item;
    item.op = op;
    item.key = first_key();
    item.participant_epoch = 1;
    bool works = op == ItemOp::execute_prepare || op == ItemOp::one_phase;
    if (works) item.work = std::make_shared<const std::string>(R"([{"sql":"SELECT 1"}])");
    if (works) item.options = {Isolation::serializable, 100, 200};
    if (op == ItemOp::prepare) item.expected_executes = 1;
    if (op == ItemOp::commit) item.proof = proof();
    if (op == ItemOp::one_phase) item.idempotency = IdempotencyKey{};
    item.deadline_ms = 1'000;
    return item;
}

BatchRequest batch_of(std::vector<Item> items) {
    BatchRequest batch;
    batch.sender.epoch = 1;
    batch.sender.start_nonce = 5;
    batch.participant = FakeResource::uuid();
    batch.identity = FakeResource::identity();
    batch.low_water = {1, 1};
    batch.items = std::move(items);
    return batch;
}

std::string text_of(const BatchRequest& batch) {
    std::string text;
    append_batch_request(text, batch);
    return text;
}

ItemResult result_of(ItemStatus status) {
    ItemResult result;
    result.op = ItemOp::execute_prepare;
    result.key = first_key();
    result.participant = FakeResource::uuid();
    result.identity = FakeResource::identity();
    result.participant_epoch = 1;
    result.status = status;
    if (status == ItemStatus::yes) result.proof = proof();
    if (status == ItemStatus::no) {
        result.reason = {std::string(reason::kConstraint), "it was there", 2, "23505"};
    }
    result.results = std::make_shared<const std::string>(R"([{"rows":1}])");
    result.position = {1, 7};
    return result;
}

void add(const SeedSink& sink, std::string_view target, const std::string& name, std::string text) {
    sink(target, name, {text.begin(), text.end()});
}

// A batch as a request, behind the two bytes that say how the database behaves.
std::string request_of(std::string_view path, const std::string& body) {
    return std::string(2, '\0') + "POST " + std::string(path) +
           " HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

void seed_batches(const SeedSink& sink) {
    for (ItemOp op : {ItemOp::execute_prepare,
                      ItemOp::prepare,
                      ItemOp::one_phase,
                      ItemOp::commit,
                      ItemOp::abort,
                      ItemOp::settle_one_phase}) {
        std::string name(to_string(op));
        std::string text = text_of(batch_of({item_of(op)}));
        add(sink, "participant_messages", "batch-" + name, text);
        std::string first = text_of(batch_of({item_of(ItemOp::execute_prepare)}));
        std::string request = request_of("/v1/branches:batch", first);
        request += request_of("/v1/branches:batch", text).substr(2);
        add(sink, "participant_api", "batch-" + name, request);
    }
    add(sink, "participant_messages", "offer", text_of(batch_of({})));
    add(sink, "participant_api", "offer", request_of("/v1/branches:batch", text_of(batch_of({}))));
}

void seed_transaction(const SeedSink& sink) {
    std::string path = "/v1/transactions/" + first_key().group.text();
    std::string begin = request_of("/v1/transactions", R"({"labels":{"a":"b"}})");
    std::string enlist = request_of(path + "/branches", R"({"participant":"north"})").substr(2);
    std::string session =
        request_of(path + "/branches",
                   R"({"participant":"north","participant_epoch":1,"session":"7"})")
            .substr(2);
    for (const char* end : {"/commit", "/abort"}) {
        std::string last = request_of(path + end, "{}").substr(2);
        add(sink, "coordinator_api", "enlist" + std::string(end + 1), begin + enlist + last);
        add(sink, "coordinator_api", "session" + std::string(end + 1), begin + session + last);
    }
    std::string one_shot =
        request_of("/v1/transactions",
                   R"({"branches":[{"participant":"north","work":[{"sql":"x"}]},)"
                   R"({"participant":"south","work":[{"sql":"y"}]}]})");
    std::string looks;
    for (const char* target : {"", "/why", "?wait_for=finished"}) {
        looks += "GET " + path + target + " HTTP/1.1\r\nHost: h\r\n\r\n";
    }
    add(sink, "coordinator_api", "oneshot", one_shot + looks);
    add(sink,
        "participant_api",
        "execute",
        request_of(path + "/execute", R"({"work":[{"sql":"x"}]})"));
}

}  // namespace

void seed_messages(const SeedSink& sink) {
    seed_batches(sink);
    seed_transaction(sink);
    for (ItemStatus status : {ItemStatus::yes, ItemStatus::no, ItemStatus::hazard}) {
        std::string line;
        append_item_result(line, result_of(status));
        add(sink, "participant_messages", "result-" + std::string(to_string(status)), line);
    }
    std::string text;
    append_offer_reply(text, {FakeResource::uuid(), FakeResource::identity(), true, {}, {}});
    add(sink, "participant_messages", "offer-reply", std::exchange(text, {}));
    InquiryRequest inquiry;
    inquiry.participant = FakeResource::uuid();
    inquiry.identity = FakeResource::identity();
    inquiry.participant_epoch = 1;
    inquiry.senders = {batch_of({}).sender};
    inquiry.items = {{first_key(), proof()}};
    append_inquiry_request(text, inquiry);
    add(sink, "coordinator_api", "inquiry", request_of("/v1/branches:inquire", text));
    add(sink, "participant_messages", "inquiry", std::exchange(text, {}));
    InquiryReply reply{batch_of({}).sender, {{first_key(), InquiryAnswer::commit, proof()}}};
    append_inquiry_reply(text, reply);
    add(sink, "participant_messages", "inquiry-reply", std::exchange(text, {}));
    ParticipantInfo info;
    info.uuid = FakeResource::uuid();
    info.name = "north";
    info.identity = FakeResource::identity();
    info.epoch = 1;
    append_participant_info(text, info);
    add(sink, "participant_messages", "info", text);
}

}  // namespace twofold::fuzz
