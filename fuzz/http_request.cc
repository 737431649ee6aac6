// Request bytes to requests, in pieces of any size. What holds for all bytes: the pieces make no
// difference, the limits are kept, nothing that a later reader could take for something else gets
// through, and what was read is read the same when we send it on.
#include "base/assert.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "http/request_parser.h"
#include "http/wire.h"

#include <algorithm>
#include <string>
#include <vector>

namespace twofold::fuzz {

namespace {

constexpr http::RequestLimits kLimits{
    .header_size_max = 512, .header_count_max = 8, .body_size_max = 100};
constexpr std::size_t kUnusedMax = 8192;
// Behind a chunk fewer bytes than these are not looked at: they cannot complete anything.
constexpr std::size_t kJudgedMin = 5;

struct Reading {
    std::vector<http::Request> requests;
    http::RequestProgress progress = http::RequestProgress::header;
    std::string_view problem;  // its code, when it failed
    std::string unread;
};

Reading read(std::string_view bytes, std::size_t step) {
    Reading reading;
    http::RequestParser parser(kLimits);
    std::string unread;
    for (bool more = true; more;) {
        std::size_t used = parser.feed(unread);
        TWOFOLD_ASSERT(used <= unread.size(), "more was used than there is");
        unread.erase(0, used);
        reading.progress = parser.progress();
        if (reading.progress == http::RequestProgress::failed) break;
        if (reading.progress == http::RequestProgress::complete) {
            reading.requests.push_back(parser.take_request());
            continue;
        }
        TWOFOLD_ASSERT(unread.size() <= kUnusedMax, "more is left than is promised");
        more = !bytes.empty();
        unread += bytes.substr(0, step);
        bytes.remove_prefix(std::min(step, bytes.size()));
    }
    reading.unread = unread;
    const auto& failure = parser.failure();
    if (failure.problem != nullptr) reading.problem = failure.problem->code;
    TWOFOLD_ASSERT((reading.progress == http::RequestProgress::failed) == !reading.problem.empty(),
                   "a failure has a problem, and nothing else has one");
    return reading;
}

// Nothing can be said yet.
bool waits(const Reading& reading) {
    return reading.progress == http::RequestProgress::body && reading.unread.size() < kJudgedMin;
}

// Two refusals of which the first one met counts. Trailers are measured while they wait for their
// end; and of a quote that is not closed in a chunk's line Beast looks for the end behind that line
// and counts the chunk again each time.
bool is_near_limit(const Reading& reading, std::string_view bytes) {
    return reading.problem == http::problems::kHeaderTooLarge.code ||
           bytes.find('"') != std::string_view::npos;
}

void check_limits(const http::Request& request) {
    TWOFOLD_ASSERT(request.body.size() <= kLimits.body_size_max, "the body is too large");
    TWOFOLD_ASSERT(request.headers.size() <= kLimits.header_count_max, "too many fields");
    bool is_any = request.method == http::Method::options && request.target == "*";
    TWOFOLD_ASSERT(is_any || request.path.starts_with('/'), "a path begins with /");
    TWOFOLD_ASSERT(request.path.find_first_of("?#\r\n ") == std::string::npos, "no plain path");
    for (std::size_t i = 0; i < request.headers.size(); ++i) {
        TWOFOLD_ASSERT(
            http::is_valid_field(request.headers.name_at(i), request.headers.value_at(i)),
            "a field that may not be sent on was read");
    }
}

void check_equal(const http::Request& a, const http::Request& b) {
    TWOFOLD_ASSERT(a.method == b.method && a.target == b.target && a.body == b.body,
                   "the same bytes are another request");
    TWOFOLD_ASSERT(a.path == b.path && a.query.size() == b.query.size(), "another target");
}

// Parsed again from what we would send.
void check_round_trip(const http::Request& request) {
    if (request.method == http::Method::other || !http::is_valid_target(request.target)) return;
    std::string bytes;
    http::append_request_head(bytes, request, "h");
    bytes += request.body;
    constexpr http::RequestLimits kWide{
        .header_size_max = 4096, .header_count_max = 16, .body_size_max = 100};
    http::RequestParser parser(kWide);
    std::size_t used = parser.feed(bytes);
    if (parser.progress() == http::RequestProgress::failed) {
        // Without a length field it may be a body that this method cannot carry.
        TWOFOLD_ASSERT(request.headers.contains("Transfer-Encoding"), "it cannot be sent on");
        return;
    }
    TWOFOLD_ASSERT(used == bytes.size() && parser.progress() == http::RequestProgress::complete,
                   "what we send is no request");
    check_equal(request, parser.take_request());
}

}  // namespace

void http_request(base::ByteSpan input) {
    Cursor cursor(input);
    std::size_t step = std::size_t{cursor.u8()} + 1;
    std::string_view bytes = as_text(cursor.rest());
    Reading whole = read(bytes, bytes.size() + 1);
    Reading pieces = read(bytes, step);
    for (const http::Request& request : whole.requests) {
        check_limits(request);
        check_round_trip(request);
    }
    for (std::size_t i = 0; i < std::min(whole.requests.size(), pieces.requests.size()); ++i) {
        check_equal(whole.requests[i], pieces.requests[i]);
    }
    if (is_near_limit(whole, bytes) || is_near_limit(pieces, bytes)) return;
    TWOFOLD_ASSERT(whole.requests.size() == pieces.requests.size(), "pieces make a difference");
    TWOFOLD_ASSERT(whole.problem == pieces.problem || waits(whole) || waits(pieces),
                   "pieces make another failure");
}

}  // namespace twofold::fuzz
