#include "protocol/json_reader.h"

#include <boost/json/parse_options.hpp>
#include <boost/json/stream_parser.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

namespace twofold::protocol {

using base::Errc;

std::string_view json_kind_name(const boost::json::value& value) {
    switch (value.kind()) {
        case boost::json::kind::null: return "null";
        case boost::json::kind::bool_: return "a boolean";
        case boost::json::kind::int64:
        case boost::json::kind::uint64: return "an integer";
        case boost::json::kind::double_: return "a number with a fraction or exponent";
        case boost::json::kind::string: return "a string";
        case boost::json::kind::array: return "an array";
        case boost::json::kind::object: return "an object";
    }
    return "a value";
}

ObjectReader::ObjectReader(const boost::json::value& value, std::string path)
    : path_(std::move(path)) {
    object_ = value.if_object();
    if (object_ == nullptr) {
        error_ = base::fail(Errc::invalid_argument,
                            (path_.empty() ? std::string("the body") : path_) +
                                ": must be an object, found " + std::string(json_kind_name(value)));
    }
}

std::string ObjectReader::path_of(std::string_view name) const {
    std::string out = path_;
    if (!out.empty()) out.push_back('.');
    return out.append(name);
}

void ObjectReader::fail(std::string_view name, std::string_view expected) {
    if (error_) return;
    std::string message = path_of(name) + ": must be " + std::string(expected);
    const boost::json::value* value = object_ != nullptr ? object_->if_contains(name) : nullptr;
    if (value == nullptr) {
        message += ", but is missing";
    } else {
        message += ", found " + std::string(json_kind_name(*value));
    }
    error_ = base::fail(Errc::invalid_argument, std::move(message));
}

void ObjectReader::adopt(const base::Result<void>& nested) {
    if (!error_ && !nested.has_value()) error_ = nested.error();
}

const boost::json::value* ObjectReader::optional(std::string_view name) {
    known_.push_back(name);
    if (object_ == nullptr) return nullptr;
    return object_->if_contains(name);
}

const boost::json::value* ObjectReader::required(std::string_view name) {
    const boost::json::value* value = optional(name);
    if (value == nullptr) fail(name, "present");
    return value;
}

bool ObjectReader::has(std::string_view name) {
    known_.push_back(name);
    return object_ != nullptr && object_->contains(name);
}

std::string ObjectReader::text(std::string_view name) {
    const boost::json::value* value = optional(name);
    if (value == nullptr || !value->is_string()) {
        fail(name, "a string");
        return {};
    }
    return std::string(value->get_string());
}

bool ObjectReader::boolean(std::string_view name) {
    const boost::json::value* value = optional(name);
    if (value == nullptr || !value->is_bool()) {
        fail(name, "true or false");
        return false;
    }
    return value->get_bool();
}

std::uint64_t ObjectReader::unsigned_integer(std::string_view name,
                                             std::uint64_t lowest,
                                             std::uint64_t highest) {
    const boost::json::value* value = optional(name);
    std::optional<std::uint64_t> number;
    if (value != nullptr && value->is_int64() && value->get_int64() >= 0) {
        number = static_cast<std::uint64_t>(value->get_int64());
    } else if (value != nullptr && value->is_uint64()) {
        number = value->get_uint64();
    }
    if (!number || *number < lowest || *number > highest) {
        fail(name, "an integer from " + std::to_string(lowest) + " to " + std::to_string(highest));
        return lowest;
    }
    return *number;
}

std::uint64_t ObjectReader::big_integer(std::string_view name) {
    const boost::json::value* value = optional(name);
    std::uint64_t number = 0;
    if (value != nullptr && value->is_string()) {
        std::string_view digits = value->get_string();
        auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (code == std::errc{} && end == digits.data() + digits.size()) return number;
    }
    fail(name, "a string of decimal digits");
    return 0;
}

base::Result<void> ObjectReader::finish() {
    if (!error_ && object_ != nullptr) {
        std::ranges::sort(known_);
        known_.erase(std::ranges::unique(known_).begin(), known_.end());
        for (const auto& member : *object_) {
            std::string_view name = member.key();
            if (std::ranges::find(known_, name) != known_.end()) continue;
            std::string message = path_of(name.substr(0, 64)) + ": unknown member; known are";
            for (std::string_view known : known_) message.append(" ").append(known);
            error_ = base::fail(Errc::invalid_argument, std::move(message));
            break;
        }
    }
    if (error_) return *error_;
    return base::ok();
}

namespace {

// Boost.JSON keeps the last of two equal members. A request that says two things must not be
// guessed at, so a small scan over the parsed text is not enough: the object's size is compared
// with the number of members that the text has.
bool has_duplicate_members(std::string_view text, const boost::json::value& value);

std::size_t count_members(const boost::json::value& value) {
    std::size_t count = 0;
    if (const auto* object = value.if_object()) {
        count += object->size();
        for (const auto& member : *object) count += count_members(member.value());
    } else if (const auto* array = value.if_array()) {
        for (const auto& element : *array) count += count_members(element);
    }
    return count;
}

bool has_duplicate_members(std::string_view text, const boost::json::value& value) {
    // In a well-formed document every ':' outside of a string separates a member's name and value.
    std::size_t colons = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (in_string && c == '\\') {
            ++i;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && c == ':') {
            ++colons;
        }
    }
    return colons != count_members(value);
}

}  // namespace

base::Result<boost::json::value> parse_json(std::string_view text,
                                            std::size_t depth_max,
                                            boost::json::storage_ptr storage) {
    boost::json::parse_options options;
    options.max_depth = depth_max;
    boost::json::stream_parser parser(std::move(storage), options);
    boost::json::error_code error;
    std::size_t consumed = parser.write(text.data(), text.size(), error);
    if (!error) parser.finish(error);
    if (error) {
        std::string what = error == boost::json::error::too_deep
                               ? "nested deeper than " + std::to_string(depth_max) + " levels"
                               : error.message();
        return base::fail(Errc::invalid_argument,
                          "not valid JSON at byte " + std::to_string(consumed) + ": " + what);
    }
    boost::json::value value = parser.release();
    if (has_duplicate_members(text, value)) {
        return base::fail(Errc::invalid_argument,
                          "not acceptable JSON: a member name occurs twice in one object");
    }
    return value;
}

}  // namespace twofold::protocol
