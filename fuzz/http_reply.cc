// Reply bytes to replies and streamed lines, in pieces of any size: the pieces make no difference,
// and the limits are kept.
#include "base/assert.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "http/reply_parser.h"

#include <algorithm>
#include <string>
#include <vector>

namespace twofold::fuzz {

namespace {

constexpr http::ReplyLimits kLimits{
    .header_size_max = 512, .body_size_max = 100, .line_size_max = 40};
constexpr std::size_t kUnusedMax = 8192;
// Behind a chunk fewer bytes than these are not looked at: they cannot complete anything.
constexpr std::size_t kJudgedMin = 5;

struct Reading {
    http::ReplyProgress progress = http::ReplyProgress::incomplete;
    http::ClientReply reply;
    std::vector<std::string> lines;
    std::string unread;
};

struct Manner {
    std::size_t step = 1;
    bool to_head = false;
    bool streamed = false;
    bool ends = false;
};

Reading read(std::string_view bytes, const Manner& manner) {
    Reading reading;
    http::ReplyParser parser(kLimits);
    async::UniqueFunction<bool(std::string_view)> on_line = [&](std::string_view line) {
        TWOFOLD_ASSERT(line.size() <= kLimits.line_size_max, "a line is too long");
        reading.lines.emplace_back(line);
        return true;
    };
    http::ReplyParser::Expectation expectation;
    expectation.to_head = manner.to_head;
    expectation.on_line = manner.streamed ? &on_line : nullptr;
    expectation.line_type = "application/x-ndjson";
    parser.begin(expectation);
    std::string unread;
    while (!bytes.empty() && parser.progress() == http::ReplyProgress::incomplete) {
        unread += bytes.substr(0, manner.step);
        bytes.remove_prefix(std::min(manner.step, bytes.size()));
        std::size_t used = parser.feed(unread);
        TWOFOLD_ASSERT(used <= unread.size(), "more was used than there is");
        unread.erase(0, used);
        TWOFOLD_ASSERT(
            parser.progress() != http::ReplyProgress::incomplete || unread.size() <= kUnusedMax,
            "more is left than is promised");
    }
    if (manner.ends && parser.progress() == http::ReplyProgress::incomplete) parser.feed_end();
    reading.progress = parser.progress();
    reading.unread = unread;
    if (reading.progress == http::ReplyProgress::failed) {
        TWOFOLD_ASSERT(!parser.failure().empty(), "a failure says why");
    } else if (reading.progress == http::ReplyProgress::complete) {
        reading.reply = parser.take_reply();
    }
    return reading;
}

bool has_failed(const Reading& reading) { return reading.progress == http::ReplyProgress::failed; }

// As for requests: nothing can be said yet.
bool waits(const Reading& reading) {
    return reading.progress == http::ReplyProgress::incomplete &&
           (reading.unread.size() < kJudgedMin || reading.unread.find('"') != std::string::npos);
}

}  // namespace

void http_reply(base::ByteSpan input) {
    Cursor cursor(input);
    std::uint8_t manner_byte = cursor.u8();
    Manner pieces{.step = std::size_t{cursor.u8()} + 1,
                  .to_head = (manner_byte & 1U) != 0,
                  .streamed = (manner_byte & 2U) != 0,
                  .ends = (manner_byte & 4U) != 0};
    std::string_view bytes = as_text(cursor.rest());
    Manner whole = pieces;
    whole.step = bytes.size() + 1;
    Reading a = read(bytes, whole);
    Reading b = read(bytes, pieces);
    if ((has_failed(a) && waits(b)) || (has_failed(b) && waits(a))) return;
    TWOFOLD_ASSERT(a.progress == b.progress, "pieces make a difference");
    TWOFOLD_ASSERT(a.lines == b.lines, "pieces make other lines");
    TWOFOLD_ASSERT(a.reply.status == b.reply.status && a.reply.body == b.reply.body &&
                       a.reply.truncated == b.reply.truncated,
                   "pieces make another reply");
    if (a.progress != http::ReplyProgress::complete) return;
    TWOFOLD_ASSERT(a.reply.status >= 200 && a.reply.status <= 999, "no final status");
    TWOFOLD_ASSERT(a.reply.body.size() <= kLimits.body_size_max, "the body is too large");
    TWOFOLD_ASSERT(a.reply.streamed || a.lines.empty(), "lines of a reply that is not streamed");
}

}  // namespace twofold::fuzz
