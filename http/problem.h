// The one place that maps errors to application/problem+json (RFC 9457). A code is stable,
// documented and tested; its type is "urn:twofold:problem:<code>". Detail is for people and may
// change.
#pragma once

#include "http/message.h"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::http {

inline constexpr std::string_view kProblemContentType = "application/problem+json";

// A row of the table of problems. Folders keep their own rows as constants:
//   inline constexpr ProblemCode kTransactionAborted{"transaction_aborted", 409, "…", false};
struct ProblemCode {
    std::string_view code;
    int status;
    std::string_view title;
    bool retryable;  // the same request may succeed later, unchanged
};

namespace problems {
inline constexpr ProblemCode kBadRequest{"bad_request", 400, "The request is malformed", false};
inline constexpr ProblemCode kUnauthorized{
    "unauthorized", 401, "Credentials are missing or wrong", false};
inline constexpr ProblemCode kForbidden{"forbidden", 403, "The caller may not do this", false};
inline constexpr ProblemCode kNoSuchRoute{
    "no_such_route", 404, "There is nothing at this path", false};
inline constexpr ProblemCode kMethodNotAllowed{
    "method_not_allowed", 405, "The path does not have this method", false};
inline constexpr ProblemCode kRequestTimeout{
    "request_timeout", 408, "The request did not arrive in time", true};
inline constexpr ProblemCode kBodyTooLarge{
    "body_too_large", 413, "The request body is too large", false};
inline constexpr ProblemCode kUnsupportedMediaType{
    "unsupported_media_type", 415, "Request bodies must be application/json", false};
inline constexpr ProblemCode kUnsupportedEncoding{
    "unsupported_encoding", 415, "Request bodies may not be compressed", false};
inline constexpr ProblemCode kExpectationFailed{
    "expectation_failed", 417, "The expectation is not supported", false};
inline constexpr ProblemCode kHeaderTooLarge{
    "header_too_large", 431, "The request header is too large", false};
inline constexpr ProblemCode kInternal{"internal_error", 500, "The server failed to answer", true};
inline constexpr ProblemCode kNotImplemented{
    "not_implemented", 501, "The server does not support this", false};
inline constexpr ProblemCode kOverloaded{"overloaded", 503, "The server is at its limit", true};
inline constexpr ProblemCode kVersionNotSupported{
    "http_version_not_supported", 505, "Only HTTP/1.1 and HTTP/1.0 are spoken", false};
}  // namespace problems

// The rows above, for the contract test.
[[nodiscard]] std::span<const ProblemCode> builtin_problems() noexcept;

// Optional members of a problem.
struct ProblemExtras {
    std::string instance;  // URI reference of this occurrence, for example the request's path
    std::string transaction_id;
    std::optional<bool> retryable;                // instead of the row's
    std::optional<unsigned> retry_after_seconds;  // sets the Retry-After field too
    // More members: the name, and its value as JSON text ("\"orders\"", "3", "{…}").
    std::vector<std::pair<std::string, std::string>> members_json;
};

// {"type","title","status","detail","code","retryable", …} as a response. `detail` says what is
// wrong and how to fix it; empty: left out.
[[nodiscard]] Response problem(const ProblemCode& code,
                               std::string_view detail,
                               const ProblemExtras& extras = {});

}  // namespace twofold::http
