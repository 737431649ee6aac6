#include "integration/custom_participant.h"

#include "integration/cluster.h"
#include "protocol/json.h"

#include <algorithm>
#include <utility>

namespace twofold::integration {

using protocol::Item;
using protocol::ItemOp;
using protocol::ItemResult;
using protocol::ItemStatus;
namespace reason = protocol::reason;

// ---- the example ----------------------------------------------------------------------

SeatsProcess::SeatsProcess(std::string directory,
                           std::uint16_t port,
                           std::uint16_t coordinator_port)
    : directory_(std::move(directory)),
      port_(port),
      coordinator_port_(coordinator_port),
      database_(open_sqlite(directory_ + "/seats.db")) {}

bool SeatsProcess::start() {
    process_.kill();
    auto started =
        Process::start({.program = "python3",
                        .arguments = {"examples/try_confirm_cancel.py",
                                      "--port",
                                      std::to_string(port_),
                                      "--data",
                                      directory_ + "/seats.db",
                                      "--stock",
                                      "hamlet=1000",
                                      "--coordinator",
                                      "http://127.0.0.1:" + std::to_string(coordinator_port_),
                                      "--inquiry-interval",
                                      "0.3"},
                        .environment = {},
                        .output_path = directory_ + "/seats.log"});
    if (!started.has_value()) return false;
    process_ = std::move(started.value());
    return process_.wait_for_output("seats: ready on ", kPatience);
}

std::string SeatsProcess::stock() {
    auto rows = database_->query("SELECT free, sold FROM stock WHERE item = 'hamlet'");
    if (!rows.has_value() || rows.value().size() != 1) return "no answer";
    return rows.value()[0][0] + "/" + rows.value()[0][1];
}

std::int64_t SeatsProcess::tried() {
    auto count = database_->number("SELECT count(*) FROM branch WHERE state = 'tried'");
    return count.has_value() ? count.value() : -1;
}

std::string SeatsProcess::work(int quantity) {
    return R"([{"reserve":"hamlet","quantity":)" + std::to_string(quantity) + "}]";
}

// ---- inside of the test ---------------------------------------------------------------

CustomParticipant::CustomParticipant(Flaw flaw) : flaw_(flaw) {
    info_.uuid.bytes.fill(0x5c);
    info_.name = "custom";
    info_.identity = {"custom", {"a field: with %", "2"}};
    info_.epoch = 1;
    info_.slots = 10;
    info_.read_only = false;
    info_.keys = flaw == Flaw::ignores_keys || flaw == Flaw::key_of_failure;
    info_.one_phase = flaw == Flaw::claims_one_phase || info_.keys;
    info_.proof = false;
    info_.epochs = flaw == Flaw::claims_epochs || info_.keys;
}

void CustomParticipant::restart() {
    std::scoped_lock lock(mutex_);
    if (flaw_ != Flaw::yes_in_memory && flaw_ != Flaw::abort_in_memory) return;
    State lost = flaw_ == Flaw::yes_in_memory ? State::prepared : State::aborted;
    std::erase_if(branches_, [lost](const auto& each) { return each.second == lost; });
}

std::size_t CustomParticipant::committed() {
    std::scoped_lock lock(mutex_);
    return static_cast<std::size_t>(std::ranges::count_if(
        branches_, [](const auto& each) { return each.second == State::committed; }));
}

http::Response CustomParticipant::respond(const http::Request& request) {
    std::scoped_lock lock(mutex_);
    if (request.target == "/v1/participant") {
        std::string text;
        protocol::append_participant_info(text, info_);
        return http::json_response(200, std::move(text));
    }
    if (request.target == "/v1/branches:batch") return receive(request.body);
    return http::text_response(404, "");
}

http::Response CustomParticipant::receive(const std::string& body) {
    std::string readable = body;
    if (flaw_ == Flaw::half_a_batch) {
        std::size_t wrong = body.find(",{\"op\":\"explode\"");
        if (wrong != std::string::npos) readable = body.substr(0, wrong) + "]}";
    }
    auto batch = protocol::parse_batch_request(readable);
    http::Response response;
    if (!batch.has_value()) {
        response = http::json_response(400, R"({"title":"wrong","status":400})");
        response.content_type = "application/problem+json";
        return response;
    }
    response.content_type = "application/x-ndjson";
    for (const Item& item : batch.value().items) {
        protocol::append_item_result(response.body, answer(batch.value(), item));
    }
    if (readable.size() != body.size()) {
        response.status = 400;
        response.content_type = "application/problem+json";
    }
    return response;
}

ItemResult CustomParticipant::answer(const protocol::BatchRequest& batch, const Item& item) {
    ItemResult result;
    result.op = item.op;
    result.key = item.key;
    result.participant = info_.uuid;
    result.identity = info_.identity;
    result.participant_epoch = info_.epoch;
    if (flaw_ == Flaw::foreign_identity) result.identity = {"custom", {"another"}};
    if (flaw_ == Flaw::wrong_attempt) ++result.key.attempt;
    bool ours = batch.participant == info_.uuid && batch.identity == info_.identity;
    if (ours || flaw_ == Flaw::ignores_address) {
        decide(item, result);
    } else {
        result.status = ItemStatus::refused;
        result.reason = {std::string(reason::kIdentityMismatch), "another is meant", -1, {}};
    }
    return result;
}

void CustomParticipant::decide(const Item& item, ItemResult& result) {
    if (replay(item, result)) return;
    bool is_offered = flaw_ != Flaw::claims_one_phase;
    if (is_offered && item.op == ItemOp::one_phase) return one_phase(item, result);
    if (is_offered && item.op == ItemOp::settle_one_phase) return settle(item, result);
    switch (item.op) {
        case ItemOp::execute_prepare:
        case ItemOp::prepare:  // what the application had done by calls of its own
            return work(item, result);
        case ItemOp::commit: return commit(item, result);
        case ItemOp::abort: return abort(item, result);
        default:
            result.status = ItemStatus::refused;
            result.reason = {std::string(reason::kBadRequest), "not offered", -1, {}};
    }
}

void CustomParticipant::work(const Item& item, ItemResult& result) {
    auto known = branches_.find(item.key);
    bool is_aborted = known != branches_.end() && known->second == State::aborted;
    if (is_aborted && flaw_ != Flaw::work_after_abort) {
        result.status = ItemStatus::refused;
        result.reason = {std::string(reason::kAfterAbort), "it was aborted", -1, {}};
        return;
    }
    bool held = std::ranges::any_of(
        branches_, [](const auto& each) { return each.second == State::prepared; });
    if (flaw_ == Flaw::items_wait && held && known == branches_.end()) {
        result.status = ItemStatus::no;
        result.reason = {std::string(reason::kLockTimeout), "another one holds it", -1, {}};
        return;
    }
    if (item.work && item.work->find("fail") != std::string::npos) {
        result.status = ItemStatus::no;
        result.reason = {std::string(reason::kExpectationMissed), "it is to fail", -1, {}};
        branches_[item.key] = State::aborted;
        return;
    }
    result.status = ItemStatus::yes;
    if (known == branches_.end() || is_aborted) branches_[item.key] = State::prepared;
}

bool CustomParticipant::replay(const Item& item, ItemResult& result) {
    if (!item.idempotency || flaw_ == Flaw::ignores_keys) return false;
    auto known = std::ranges::find_if(keys_, [&item](const auto& each) {
        return each.first.key_hash == item.idempotency->key_hash;
    });
    if (known == keys_.end() || known->second == item.key.group) return false;
    branches_[item.key] = State::aborted;
    bool is_same = known->first == *item.idempotency;
    result.status = is_same ? ItemStatus::committed : ItemStatus::no;
    if (is_same) result.original = known->second;
    result.reason = {
        std::string(is_same ? reason::kKeyReplayed : reason::kKeyConflict), "its key", -1, {}};
    return true;
}

void CustomParticipant::one_phase(const Item& item, ItemResult& result) {
    work(item, result);
    bool is_done = result.status == ItemStatus::yes;
    if (is_done) commit(item, result);
    bool uses_up = is_done || flaw_ == Flaw::key_of_failure;
    if (item.idempotency && uses_up) keys_.emplace(*item.idempotency, item.key.group);
}

void CustomParticipant::settle(const Item& item, ItemResult& result) {
    auto known = branches_.find(item.key);
    if (known == branches_.end()) return abort(item, result);
    bool is_committed = known->second == State::committed;
    result.status = is_committed ? ItemStatus::committed : ItemStatus::aborted;
}

void CustomParticipant::commit(const Item& item, ItemResult& result) {
    auto known = branches_.find(item.key);
    if (known == branches_.end() && flaw_ != Flaw::unknown_commit_is_done) {
        result.status = ItemStatus::refused;
        result.reason = {std::string(reason::kNotPrepared), "never prepared", -1, {}};
        return;
    }
    bool again = known != branches_.end() && known->second == State::committed;
    bool is_aborted = known != branches_.end() && known->second == State::aborted;
    if (is_aborted || (again && flaw_ == Flaw::commit_only_once)) {
        result.status = ItemStatus::refused;
        result.reason = {std::string(reason::kProtocolViolation), "it has ended", -1, {}};
        return;
    }
    branches_[item.key] = State::committed;
    result.status = ItemStatus::committed;
}

void CustomParticipant::abort(const Item& item, ItemResult& result) {
    auto known = branches_.find(item.key);
    bool is_committed = known != branches_.end() && known->second == State::committed;
    if (is_committed && flaw_ != Flaw::abort_undoes_commit) {
        result.status = ItemStatus::refused;
        result.reason = {std::string(reason::kProtocolViolation), "it was committed", -1, {}};
        return;
    }
    branches_[item.key] = State::aborted;
    result.status = ItemStatus::aborted;
}

}  // namespace twofold::integration
