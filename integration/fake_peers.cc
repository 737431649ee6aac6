#include "integration/fake_peers.h"

#include "base/keyed_hash.h"
#include "base/rng.h"
#include "protocol/json.h"

#include <utility>

namespace twofold::integration {

using protocol::BranchKey;
using protocol::Item;
using protocol::ItemOp;
using protocol::ItemResult;

FakeCoordinator::FakeCoordinator(RestClient& participant) : participant_(participant) {
    base::secure_random(stamp_.incarnation.bytes);
    stamp_.epoch = 1;
    stamp_.start_nonce = 4711;
    stamp_.position = 1;
}

bool FakeCoordinator::look() {
    RestReply reply = participant_.get("/v1/participant");
    if (reply.status != 200) return false;
    auto info = protocol::parse_participant_info(reply.text);
    if (!info.has_value()) return false;
    info_ = std::move(info.value());
    return true;
}

BranchKey FakeCoordinator::new_branch() {
    base::KeyedHash key(base::HashKey{});
    ++sequence_;
    return {protocol::make_txn_id(stamp_.incarnation, stamp_.epoch, sequence_, {}, key), 1, 1};
}

Item FakeCoordinator::execute_prepare(const BranchKey& key, const std::string& work_json) const {
    Item item = finish(key, ItemOp::execute_prepare);
    item.work = std::make_shared<const std::string>(work_json);
    return item;
}

Item FakeCoordinator::finish(const BranchKey& key, ItemOp op) const {
    Item item;
    item.op = op;
    item.key = key;
    item.participant_epoch = info_.epoch;
    return item;
}

ItemResult FakeCoordinator::send(const Item& item) {
    protocol::BatchRequest batch;
    batch.sender = stamp_;
    batch.participant = info_.uuid;
    batch.identity = info_.identity;
    batch.low_water = {1, 1};
    batch.items.push_back(item);
    std::string body;
    protocol::append_batch_request(body, batch);
    RestReply reply = participant_.post("/v1/branches:batch", std::move(body));
    auto result = protocol::parse_item_result(reply.text);
    if (reply.status == 200 && result.has_value()) return std::move(result.value());
    ItemResult none;
    none.reason = {.code = "no answer", .message = reply.summary()};
    return none;
}

FakeServer::FakeServer(std::function<http::Response(const http::Request&)> respond,
                       std::uint16_t port) {
    http::ServerOptions options;
    options.port = port;
    auto server = http::Server::create(
        loop_,
        options,
        [respond = std::move(respond)](const http::Request& request, http::ResponseSink sink) {
            sink.send(respond(request));
        });
    if (!server.has_value()) return;
    server_ = std::move(server.value());
    port_ = server_->port();
    thread_ = std::thread([this] { loop_.run(); });
}

FakeServer::~FakeServer() {
    loop_.stop();
    if (thread_.joinable()) thread_.join();
}

}  // namespace twofold::integration
