// Finds the end of a message's header as its bytes arrive, and refuses what different programs read
// in different ways before any parser sees it (request smuggling): a line that ends with LF alone,
// and a continued ("folded") field line. The parser itself refuses a CR without LF and other
// control characters. Pure. Internal to http.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace twofold::http {

enum class HeaderScan : std::uint8_t {
    incomplete,
    complete,
    bare_line_feed,
    folded_line,
    too_large
};

class HeaderScanner {
public:
    // `bytes` begin with the message's first byte, and grow from call to call.
    [[nodiscard]] HeaderScan scan(std::string_view bytes, std::size_t size_max) noexcept;

    // After `complete`: the header with its empty line.
    [[nodiscard]] std::size_t header_size() const noexcept { return line_begin_; }

private:
    std::size_t line_begin_ = 0;  // the first byte of the line that is not complete yet
    std::size_t scanned_ = 0;
};

}  // namespace twofold::http
