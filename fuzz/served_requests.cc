#include "fuzz/served_requests.h"

#include "fuzz/response_check.h"
#include "http/request_parser.h"

#include <memory>
#include <vector>

namespace twofold::fuzz {

namespace {

constexpr http::RequestLimits kLimits{
    .header_size_max = 8192, .header_count_max = 64, .body_size_max = 1U << 20U};
constexpr std::size_t kRequestsMax = 16;
constexpr int kTurns = 20;

}  // namespace

void serve_bytes(http::Router& router, async::EventLoop& loop, std::string_view bytes) {
    std::vector<std::shared_ptr<http::FakeResponsePort>> ports;
    http::RequestParser parser(kLimits);
    while (ports.size() < kRequestsMax) {
        bytes.remove_prefix(parser.feed(bytes));
        if (parser.progress() != http::RequestProgress::complete) break;
        auto port = std::make_shared<http::FakeResponsePort>();
        ports.push_back(port);
        router.dispatch(parser.take_request(), port->sink());
        for (int i = 0; i < kTurns; ++i) loop.poll();
        check_answer(*port);
    }
    for (const auto& port : ports) check_answer(*port);
    // The connection ends; nobody may be left who thinks it lives.
    for (const auto& port : ports) {
        if (!port->answered) port->close();
    }
    for (int i = 0; i < kTurns; ++i) loop.poll();
}

}  // namespace twofold::fuzz
