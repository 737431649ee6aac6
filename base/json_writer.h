// Writing JSON by hand: members are appended to an object that was opened with '{', elements to an
// array that was opened with '['; the caller closes them. Nothing is checked but commas. Names are
// our own and need no escaping, but for foreign_text(); values are escaped.
//
//   std::string out = "{";
//   json::text(out, "name", name);
//   json::number(out, "epoch", 3);
//   out += '}';
#pragma once

#include "base/log.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace twofold::base::json {

// The comma, where one is needed, and the name: the value follows.
inline void member(std::string& out, std::string_view name) {
    if (out.back() != '{') out.push_back(',');
    out.push_back('"');
    out += name;
    out += "\":";
}

// The comma, where one is needed, before an element of an array.
inline void element(std::string& out) {
    if (out.back() != '[') out.push_back(',');
}

inline void text(std::string& out, std::string_view name, std::string_view value) {
    member(out, name);
    append_json_string(out, value);
}

// The same with a name that is not ours, and therefore escaped too.
inline void foreign_text(std::string& out, std::string_view name, std::string_view value) {
    if (out.back() != '{') out.push_back(',');
    append_json_string(out, name);
    out.push_back(':');
    append_json_string(out, value);
}

inline void number(std::string& out, std::string_view name, std::uint64_t value) {
    member(out, name);
    out += std::to_string(value);
}

// As a decimal string: JSON numbers are only safe up to 2^53.
inline void big_number(std::string& out, std::string_view name, std::uint64_t value) {
    member(out, name);
    out += '"' + std::to_string(value) + '"';
}

inline void flag(std::string& out, std::string_view name, bool value) {
    member(out, name);
    out += value ? "true" : "false";
}

// `json` is a value already.
inline void raw(std::string& out, std::string_view name, std::string_view json) {
    member(out, name);
    out += json;
}

// The elements of `values` as an array, each written by `write(out, value)`.
template <class Values, class Write>
void array(std::string& out, std::string_view name, const Values& values, Write write) {
    member(out, name);
    out += '[';
    for (const auto& value : values) {
        element(out);
        write(out, value);
    }
    out += ']';
}

}  // namespace twofold::base::json
