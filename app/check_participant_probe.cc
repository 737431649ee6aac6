#include "app/check_participant_probe.h"

#include "base/rng.h"
#include "protocol/json.h"

#include <thread>
#include <utility>

namespace twofold::app {

using protocol::BranchKey;
using protocol::Item;
using protocol::ItemOp;
using protocol::ItemResult;
using protocol::ItemStatus;

namespace {

constexpr std::chrono::milliseconds kAgain{200};

bool is_work(ItemOp op) {
    return op == ItemOp::execute_prepare || op == ItemOp::prepare || op == ItemOp::one_phase;
}

std::string excerpt(std::string_view text) {
    constexpr std::size_t kSizeMax = 200;
    return std::string(text.substr(0, kSizeMax)) + (text.size() > kSizeMax ? "…" : "");
}

}  // namespace

std::string describe(const ItemResult& result) {
    std::string text(to_string(result.op));
    text += " was answered with " + std::string(to_string(result.status));
    if (result.reason.empty()) return text;
    return text + " (" + result.reason.code + ": " + result.reason.message + ")";
}

Probe::Probe(HostPort peer, ProbeOptions options)
    : peer_(std::move(peer)), options_(options), tags_(base::random_bytes<32>()) {
    stamp_.incarnation.bytes = base::random_bytes<10>();
    // Not the first, so that there is an older one to be refused.
    stamp_.epoch = 2;
    stamp_.start_nonce = base::random_number();
    stamp_.position = 4096;
    low_water_ = {stamp_.epoch, 1};
    reconnect();
}

Probe::~Probe() = default;

void Probe::reconnect() {
    http::ClientOptions options;
    options.host = peer_.host;
    options.port = peer_.port;
    options.connections_max = 2;
    client_ = std::make_unique<http::Client>(loop_, std::move(options));
}

// ---- what is sent ---------------------------------------------------------------------

void Probe::begin_check() {
    open_.clear();
    low_water_ = {stamp_.epoch, sequence_ + 1};
}

void Probe::clean_up() {
    for (const BranchKey& key : std::set<BranchKey>(open_)) {
        for (const ItemResult& result : exchange(batch({finish(key, ItemOp::abort)})).results) {
            note(result);
        }
    }
}

void Probe::say_goodbye() {
    low_water_ = {stamp_.epoch, sequence_ + 1};
    if (info_.batch) static_cast<void>(exchange(batch({})));
}

BranchKey Probe::new_branch(protocol::ParticipantNumber one_phase) {
    ++sequence_;
    return {
        protocol::make_txn_id(stamp_.incarnation, stamp_.epoch, sequence_, one_phase, tags_), 1, 1};
}

Item Probe::work(const BranchKey& key, const std::string& work_json, ItemOp op) {
    Item item = finish(key, op);
    item.work = std::make_shared<const std::string>(work_json);
    item.deadline_ms = 10'000;
    open_.insert(key);
    return item;
}

Item Probe::finish(const BranchKey& key, ItemOp op) const {
    Item item;
    item.op = op;
    item.key = key;
    item.participant_epoch = info_.epoch;
    auto proof = proofs_.find(key);
    if (op == ItemOp::commit && proof != proofs_.end()) item.proof = proof->second;
    return item;
}

protocol::BatchRequest Probe::batch(std::vector<Item> items) const {
    protocol::BatchRequest batch;
    batch.sender = stamp_;
    batch.participant = info_.uuid;
    batch.identity = info_.identity;
    batch.low_water = low_water_;
    batch.horizon = {1, 1};
    batch.items = std::move(items);
    return batch;
}

// ---- what is answered -----------------------------------------------------------------

Probe::Exchange Probe::call(http::Request request) {
    Exchange out;
    std::optional<http::CallResult> done;
    http::CallOptions call;
    call.deadline = options_.deadline;
    call.on_line = [&out](std::string_view line) {
        auto result = protocol::parse_item_result(line);
        if (result.has_value()) {
            out.results.push_back(std::move(result.value()));
        } else if (out.malformed.empty()) {
            out.malformed = result.error().context + " in " + excerpt(line);
        }
    };
    client_->request(std::move(request), std::move(call), [&done](http::CallResult result) {
        done.emplace(std::move(result));
    });
    while (!done) {
        static_cast<void>(loop_.run_until([&done] { return done.has_value(); }, kAgain));
    }
    if (!done->has_value()) {
        out.no_answer = done->error().reason;
        return out;
    }
    http::ClientReply& reply = done->value();
    out.streamed = reply.streamed;
    out.status = reply.status;
    out.content_type = std::move(reply.content_type);
    out.body = std::move(reply.body);
    if (reply.truncated && out.malformed.empty()) {
        out.malformed = "the last line does not end with a newline";
    }
    return out;
}

Probe::Exchange Probe::post(std::string body) {
    http::Request request;
    request.method = http::Method::post;
    request.target = "/v1/branches:batch";
    request.headers.add("Content-Type", "application/json");
    request.body = std::move(body);
    return call(std::move(request));
}

Probe::Exchange Probe::exchange(const protocol::BatchRequest& batch) {
    std::string body;
    protocol::append_batch_request(body, batch);
    return post(std::move(body));
}

Verdict Probe::look() {
    http::Request request;
    request.method = http::Method::get;
    request.target = "/v1/participant";
    Exchange answer = call(std::move(request));
    std::string what = "GET /v1/participant: ";
    if (!answer.no_answer.empty()) return Fault{"P-1", what + "no answer: " + answer.no_answer};
    if (answer.status != 200 || answer.content_type != "application/json") {
        return Fault{"P-1",
                     what + "status " + std::to_string(answer.status) + " with " +
                         (answer.content_type.empty() ? "no content type" : answer.content_type) +
                         ", must be 200 with application/json"};
    }
    auto info = protocol::parse_participant_info(answer.body);
    if (!info.has_value()) return Fault{"P-1", what + info.error().context};
    if (info.value().uuid == protocol::ParticipantUuid{}) {
        return Fault{"P-1", what + "uuid: must not be all zeros"};
    }
    if (info.value().epoch == 0) return Fault{"P-1", what + "epoch: must be at least 1"};
    if (info.value().slots == 0) return Fault{"P-1", what + "slots: must be at least 1"};
    info_ = std::move(info.value());
    return {};
}

Verdict Probe::judge_form(const Exchange& exchange, const std::vector<Item>& items) const {
    if (!exchange.no_answer.empty()) {
        return Fault{"P-2", "no complete answer: " + exchange.no_answer};
    }
    if (!exchange.streamed) {
        return Fault{
            "P-2",
            "status " + std::to_string(exchange.status) + " with " +
                (exchange.content_type.empty() ? "no content type" : exchange.content_type) +
                " instead of 200 with application/x-ndjson: " + excerpt(exchange.body)};
    }
    if (!exchange.malformed.empty()) {
        return Fault{"P-2", "a line of the answer is no result: " + exchange.malformed};
    }
    for (const Item& item : items) {
        std::size_t lines = 0;
        for (const ItemResult& result : exchange.results) {
            if (result.key == item.key && result.op == item.op) ++lines;
        }
        if (lines == 1) continue;
        std::string text(to_string(item.op));
        return Fault{"P-2",
                     std::to_string(lines) + " of " + std::to_string(exchange.results.size()) +
                         " lines of the answer echo op, group, branch and attempt of the item (" +
                         text + "), must be 1"};
    }
    for (const ItemResult& result : exchange.results) {
        if (Verdict fault = judge_echo(result)) return fault;
    }
    if (exchange.results.size() != items.size()) {
        return Fault{"P-2", "the answer has lines for items that were not asked for"};
    }
    return {};
}

Verdict Probe::judge_echo(const ItemResult& result) const {
    std::string op(to_string(result.op));
    if (result.participant != info_.uuid) {
        return Fault{"P-2",
                     "the answer to " + op + " names participant " + result.participant.text() +
                         ", the description " + info_.uuid.text()};
    }
    if (result.identity != info_.identity) {
        return Fault{"P-2",
                     "the answer to " + op + " names identity " + result.identity.text() +
                         ", the description " + info_.identity.text()};
    }
    if (result.participant_epoch != info_.epoch) {
        return Fault{"P-2",
                     "the answer to " + op + " names participant_epoch " +
                         std::to_string(result.participant_epoch) + ", the description " +
                         std::to_string(info_.epoch)};
    }
    return {};
}

void Probe::note(const ItemResult& result) {
    if (result.proof) proofs_[result.key] = *result.proof;
    if (result.status == ItemStatus::yes) open_.insert(result.key);
    bool ended = result.status == ItemStatus::committed || result.status == ItemStatus::aborted ||
                 (is_work(result.op) && result.status == ItemStatus::no);
    if (ended) open_.erase(result.key);
}

// ---- steps ----------------------------------------------------------------------------

Verdict Probe::run(const std::vector<Step>& steps) {
    for (const Step& step : steps) {
        if (Verdict fault = run_step(step)) return fault;
    }
    return {};
}

// `unknown` is no wrong answer to a decision: a coordinator asks again. So do we, for a while.
Verdict Probe::run_step(const Step& step) {
    auto give_up = std::chrono::steady_clock::now() + options_.deadline;
    protocol::BatchRequest request = batch({step.item});
    if (request.items[0].op == ItemOp::commit && !request.items[0].proof) {
        request.items[0].proof = finish(step.item.key, ItemOp::commit).proof;
    }
    if (step.edit) step.edit(request);
    while (true) {
        Exchange answer = exchange(request);
        bool refused_whole = answer.no_answer.empty() && !answer.streamed && answer.status >= 400 &&
                             answer.status < 500;
        if (step.may_be_problem && refused_whole) return {};
        if (Verdict fault = judge_form(answer, request.items)) return fault;
        const ItemResult& result = answer.results.front();
        note(result);
        if (step.allowed.contains(result.status)) {
            std::string_view must = step.judge ? step.judge(result) : std::string_view{};
            if (must.empty()) return {};
            return Fault{step.rule, describe(result) + "; " + std::string(must)};
        }
        bool again = result.status == ItemStatus::unknown && !is_work(result.op) &&
                     std::chrono::steady_clock::now() < give_up;
        if (!again) {
            return Fault{step.rule, describe(result) + "; " + std::string(step.must)};
        }
        std::this_thread::sleep_for(kAgain);
    }
}

}  // namespace twofold::app
