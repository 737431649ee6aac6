#include "fuzz/response_check.h"

#include "base/assert.h"
#include "http/problem.h"
#include "http/wire.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <string_view>

namespace twofold::fuzz {

namespace {

boost::json::value parsed(std::string_view text) {
    boost::system::error_code error;
    boost::json::value value = boost::json::parse(text, error);
    TWOFOLD_ASSERT(!error, "an answer that says it is JSON is none");
    return value;
}

void check_problem(const http::Response& response) {
    const boost::json::value value = parsed(response.body);
    const boost::json::object* object = value.if_object();
    TWOFOLD_ASSERT(object != nullptr, "a problem is an object");
    for (const char* name : {"type", "title", "code"}) {
        const boost::json::value* member = object->if_contains(name);
        TWOFOLD_ASSERT(member != nullptr && member->is_string(), "a problem lacks a member");
    }
    const boost::json::value* status = object->if_contains("status");
    TWOFOLD_ASSERT(
        status != nullptr && status->is_int64() && status->get_int64() == response.status,
        "a problem of another status");
}

}  // namespace

void check_answer(const http::FakeResponsePort& port) {
    TWOFOLD_ASSERT(!port.abandoned, "a handler has dropped its request");
    const http::Response& response = port.response;
    if (!port.answered && !port.streaming) return;  // it waits
    TWOFOLD_ASSERT(http::is_sendable(response), "an answer that cannot be sent");
    TWOFOLD_ASSERT(response.status < 500 || response.status == 503, "the server has failed");
    if (response.content_type == http::kProblemContentType) {
        check_problem(response);
    } else if (response.content_type == "application/json") {
        static_cast<void>(parsed(response.body));
    } else if (response.content_type == "application/x-ndjson") {
        for (const std::string& line : port.chunks) static_cast<void>(parsed(line));
    }
    TWOFOLD_ASSERT(response.status < 400 || response.content_type == http::kProblemContentType,
                   "a refusal is a problem");
}

}  // namespace twofold::fuzz
