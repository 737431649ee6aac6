#include "http/problem.h"

#include "base/log.h"

#include <array>

namespace twofold::http {

namespace {

constexpr std::array kBuiltin{
    problems::kBadRequest,
    problems::kUnauthorized,
    problems::kForbidden,
    problems::kNoSuchRoute,
    problems::kMethodNotAllowed,
    problems::kRequestTimeout,
    problems::kBodyTooLarge,
    problems::kUnsupportedMediaType,
    problems::kUnsupportedEncoding,
    problems::kExpectationFailed,
    problems::kHeaderTooLarge,
    problems::kInternal,
    problems::kNotImplemented,
    problems::kOverloaded,
    problems::kVersionNotSupported,
};

void append_member(std::string& out, std::string_view name, std::string_view text) {
    out += ',';
    base::append_json_string(out, name);
    out += ':';
    base::append_json_string(out, text);
}

}  // namespace

std::span<const ProblemCode> builtin_problems() noexcept { return kBuiltin; }

Response problem(const ProblemCode& code, std::string_view detail, const ProblemExtras& extras) {
    Response response;
    response.status = code.status;
    response.content_type = kProblemContentType;

    std::string& out = response.body;
    out.reserve(256 + detail.size());
    out += R"({"type":"urn:twofold:problem:)";
    out += code.code;
    out += '"';
    append_member(out, "title", code.title);
    out += ",\"status\":" + std::to_string(code.status);
    if (!detail.empty()) {
        append_member(out, "detail", detail);
    }
    if (!extras.instance.empty()) {
        append_member(out, "instance", extras.instance);
    }
    append_member(out, "code", code.code);
    out +=
        extras.retryable.value_or(code.retryable) ? ",\"retryable\":true" : ",\"retryable\":false";
    if (!extras.transaction_id.empty()) {
        append_member(out, "transaction_id", extras.transaction_id);
    }
    if (extras.retry_after_seconds.has_value()) {
        const std::string seconds = std::to_string(*extras.retry_after_seconds);
        out += ",\"retry_after_seconds\":" + seconds;
        response.headers.add("Retry-After", seconds);
    }
    for (const auto& [name, json] : extras.members_json) {
        out += ',';
        base::append_json_string(out, name);
        out += ':';
        out += json;
    }
    out += '}';
    return response;
}

}  // namespace twofold::http
