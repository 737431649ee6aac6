// Compares the candidate ways to carry items from coordinator to participant and back, on loopback
// with our own HTTP server and client:
//
//   single   one request per item, one JSON answer each
//   whole    one request per batch, one JSON answer when every item is done
//   stream   one request per batch, a line per item as each is done (what the product does)
//
// Prints CPU per item (both ends together, getrusage) for batches of several sizes, and what an
// item that waits for a lock costs its neighbours: the time until the other items of its batch have
// their answers. docs/benchmarks.md has a run.
#include "async/event_loop.h"
#include "async/timer.h"
#include "http/client.h"
#include "http/server.h"
#include "protocol/json.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace twofold;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

enum class Carrier { single, whole, stream };

const char* name_of(Carrier carrier) {
    switch (carrier) {
        case Carrier::single: return "single";
        case Carrier::whole: return "whole";
        case Carrier::stream: return "stream";
    }
    return "?";
}

protocol::BatchRequest make_batch(std::size_t items) {
    static const base::KeyedHash key{base::HashKey{}};
    protocol::BatchRequest batch;
    batch.sender.epoch = 1;
    batch.identity = {"postgresql", {"7312345678901234567", "16384"}};
    for (std::size_t i = 0; i < items; ++i) {
        protocol::Item item;
        item.op = protocol::ItemOp::commit;
        item.key = {protocol::make_txn_id({}, 1, i + 1, protocol::ParticipantNumber(0), key), 1, 1};
        item.proof = protocol::ProofToken{771 + i, {1, 0x16b3748}, false};
        batch.items.push_back(std::move(item));
    }
    return batch;
}

protocol::ItemResult answer_to(const protocol::BatchRequest& batch, const protocol::Item& item) {
    protocol::ItemResult result;
    result.op = item.op;
    result.key = item.key;
    result.participant = batch.participant;
    result.identity = batch.identity;
    result.participant_epoch = 1;
    result.status = protocol::ItemStatus::committed;
    return result;
}

// Answers every item at once, except the first of a batch when `slow_first` is set.
class Responder {
public:
    Responder(async::EventLoop& loop, Carrier carrier) : loop_(loop), carrier_(carrier) {}

    milliseconds slow_first{0};

    void operator()(const http::Request& request, http::ResponseSink sink) {
        auto batch = protocol::parse_batch_request(request.body);
        if (!batch.has_value()) std::abort();
        auto state = std::make_shared<State>(State{std::move(sink), {}, 0, async::Timer(loop_)});
        state->open = batch.value().items.size();
        if (carrier_ == Carrier::stream) state->sink.begin_stream(200, "application/x-ndjson");
        for (std::size_t i = 0; i < batch.value().items.size(); ++i) {
            protocol::ItemResult result = answer_to(batch.value(), batch.value().items[i]);
            if (i == 0 && slow_first.count() > 0) {
                state->timer.start(slow_first, [this, state, result] { answer(*state, result); });
            } else {
                answer(*state, result);
            }
        }
    }

private:
    struct State {
        http::ResponseSink sink;
        std::string body;
        std::size_t open = 0;
        async::Timer timer;
    };

    void answer(State& state, const protocol::ItemResult& result) {
        std::string line;
        protocol::append_item_result(line, result);
        bool last = --state.open == 0;
        if (carrier_ == Carrier::stream) {
            state.sink.write(line);
            if (last) state.sink.end();
            return;
        }
        state.body += line;
        if (last) state.sink.send(http::json_response(200, std::move(state.body)));
    }

    async::EventLoop& loop_;
    Carrier carrier_;
};

// Sends one batch in its carrier's way; `on_item` for each answered item.
void send_batch(http::Client& client,
                Carrier carrier,
                std::size_t items,
                const std::function<void()>& on_item) {
    auto parse = [on_item](std::string_view line) {
        if (!protocol::parse_item_result(line).has_value()) std::abort();
        on_item();
    };
    std::size_t requests = carrier == Carrier::single ? items : 1;
    for (std::size_t i = 0; i < requests; ++i) {
        http::Request request;
        request.method = http::Method::post;
        request.target = "/v1/branches:batch";
        protocol::append_batch_request(request.body,
                                       make_batch(carrier == Carrier::single ? 1 : items));
        http::CallOptions call;
        if (carrier == Carrier::stream) call.on_line = parse;
        client.request(
            std::move(request), std::move(call), [parse](const http::CallResult& result) {
                if (!result.has_value()) std::abort();
                std::string_view body = result.value().body;
                while (!body.empty()) {
                    std::size_t end = body.find('\n');
                    parse(body.substr(0, end));
                    body.remove_prefix(end + 1);
                }
            });
    }
}

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    auto seconds = [](timeval t) {
        return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Rig {
    async::EventLoop loop;
    std::shared_ptr<Responder> responder;
    std::unique_ptr<http::Server> server;
    std::unique_ptr<http::Client> client;

    explicit Rig(Carrier carrier) : responder(std::make_shared<Responder>(loop, carrier)) {
        auto made = http::Server::create(
            loop, {}, [r = responder](const http::Request& request, http::ResponseSink sink) {
                (*r)(request, std::move(sink));
            });
        if (!made.has_value()) std::abort();
        server = std::move(made.value());
        http::ClientOptions options;
        options.port = server->port();
        options.connections_max = 16;
        client = std::make_unique<http::Client>(loop, std::move(options));
    }
};

double cpu_per_item(Carrier carrier, std::size_t items, std::size_t total) {
    Rig rig(carrier);
    std::size_t done = 0;
    std::size_t sent = 0;
    auto pump = [&](auto& self) -> void {
        if (sent >= total) return;
        sent += items;
        auto left = std::make_shared<std::size_t>(items);
        send_batch(*rig.client, carrier, items, [&, left] {
            ++done;
            if (--*left == 0) self(self);
        });
    };
    double before = cpu_seconds();
    for (int i = 0; i < 4; ++i) pump(pump);
    bool finished =
        rig.loop.run_until([&] { return done >= sent && sent >= total; }, milliseconds(60'000));
    if (!finished) std::abort();
    return (cpu_seconds() - before) * 1e6 / static_cast<double>(done);
}

// Milliseconds until all but the slow item of one batch of 32 are answered.
double wait_of_neighbours(Carrier carrier) {
    Rig rig(carrier);
    rig.client->preconnect(16);
    rig.responder->slow_first = milliseconds(carrier == Carrier::single ? 0 : 50);
    std::size_t done = 0;
    auto start = Clock::now();
    double took = 0;
    send_batch(*rig.client, carrier, 32, [&] {
        if (++done == 31)
            took = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    });
    if (!rig.loop.run_until([&] { return done == 32; }, milliseconds(10'000))) std::abort();
    return took;
}

}  // namespace

int main() {
    std::printf("CPU per item, client and server together, microseconds\n");
    std::printf("%-8s %8s %8s %8s\n", "carrier", "1", "32", "128");
    for (Carrier carrier : {Carrier::single, Carrier::whole, Carrier::stream}) {
        std::printf("%-8s", name_of(carrier));
        for (std::size_t items : {1U, 32U, 128U}) {
            std::vector<double> runs;
            runs.reserve(5);
            for (int run = 0; run < 5; ++run) runs.push_back(cpu_per_item(carrier, items, 20'000));
            std::ranges::sort(runs);
            std::printf(" %8.2f", runs[2]);
        }
        std::printf("\n");
    }
    std::printf(
        "\nOne item of 32 waits 50 ms for a lock; its neighbours have their answers after\n");
    for (Carrier carrier : {Carrier::whole, Carrier::stream}) {
        std::printf("%-8s %8.2f ms\n", name_of(carrier), wait_of_neighbours(carrier));
    }
    return 0;
}
