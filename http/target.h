// Taking a request target apart. Internal to http.
#pragma once

#include "http/message.h"

#include <optional>
#include <string>
#include <string_view>

namespace twofold::http {

// Fills in path and query from target. Accepts "/path?query" and "http://authority/path?query", and
// for OPTIONS "*". Returns what is wrong with it, or nothing.
[[nodiscard]] std::optional<std::string> split_target(Request& request);

// Percent-decodes one path segment. Nothing when the encoding is broken, or the result contains
// '/', a control character, or is "." or "..".
[[nodiscard]] std::optional<std::string> decode_segment(std::string_view segment);

}  // namespace twofold::http
