// Strict reading of JSON objects: every member must be asked for, with its type and range; what is
// left over is an unknown member. The first error wins and names the member by its path, says what
// was found and what is expected, so that a person can mend the request from the message alone.
//
//   ObjectReader in(value, "items[0]");
//   auto branch = in.integer<std::uint16_t>("branch", 1, 64);
//   TWOFOLD_TRY(in.finish());
#pragma once

#include "base/result.h"

#include <boost/json/value.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::protocol {

class ObjectReader {
public:
    // `value` must outlive the reader. Anything but an object is the first error. `path` is "" for
    // the whole body.
    ObjectReader(const boost::json::value& value, std::string path);

    // Required members: a default value and an error when absent or wrong.
    [[nodiscard]] std::string text(std::string_view name);
    [[nodiscard]] bool boolean(std::string_view name);
    template <class Integer>
    [[nodiscard]] Integer integer(std::string_view name,
                                  Integer lowest = std::numeric_limits<Integer>::min(),
                                  Integer highest = std::numeric_limits<Integer>::max()) {
        return static_cast<Integer>(unsigned_integer(name, lowest, highest));
    }
    // A 64-bit number as a decimal string (JSON numbers are only safe up to 2^53).
    [[nodiscard]] std::uint64_t big_integer(std::string_view name);
    // Any value; null pointer when absent.
    [[nodiscard]] const boost::json::value* required(std::string_view name);
    [[nodiscard]] const boost::json::value* optional(std::string_view name);
    // Also makes the member a known one.
    [[nodiscard]] bool has(std::string_view name);

    void fail(std::string_view name, std::string_view expected);
    [[nodiscard]] std::string path_of(std::string_view name) const;
    // Takes over an error of a nested reader.
    void adopt(const base::Result<void>& nested);
    [[nodiscard]] bool failed() const { return error_.has_value(); }

    // The first error, or an unknown member.
    [[nodiscard]] base::Result<void> finish();

private:
    std::uint64_t unsigned_integer(std::string_view name,
                                   std::uint64_t lowest,
                                   std::uint64_t highest);

    const boost::json::object* object_ = nullptr;
    std::string path_;
    std::vector<std::string_view> known_;
    std::optional<base::Error> error_;
};

// "a string", "an object", … for error messages.
[[nodiscard]] std::string_view json_kind_name(const boost::json::value& value);

// Parses a whole document; duplicate members are refused. Errors name the byte offset.
[[nodiscard]] base::Result<boost::json::value> parse_json(std::string_view text,
                                                          std::size_t depth_max,
                                                          boost::json::storage_ptr storage = {});

}  // namespace twofold::protocol
