#include "http/header_scan.h"

#include "base/planted_bug.h"

namespace twofold::http {

HeaderScan HeaderScanner::scan(std::string_view bytes, std::size_t size_max) noexcept {
    for (;;) {
        const std::size_t line_feed = bytes.find('\n', scanned_);
        if (line_feed == std::string_view::npos) {
            scanned_ = bytes.size();
            return bytes.size() >= size_max ? HeaderScan::too_large : HeaderScan::incomplete;
        }
        scanned_ = line_feed + 1;
        if (scanned_ > size_max) {
            return HeaderScan::too_large;
        }
        const bool is_bare = line_feed == line_begin_ || bytes[line_feed - 1] != '\r';
        if (is_bare && !TWOFOLD_PLANTED_BUG("http.bare_line_feed")) {
            return HeaderScan::bare_line_feed;
        }
        const char first = bytes[line_begin_];
        if (first == ' ' || first == '\t') {
            return HeaderScan::folded_line;
        }
        const bool empty = line_feed == line_begin_ + 1;
        line_begin_ = scanned_;
        if (empty) {
            return HeaderScan::complete;
        }
    }
}

}  // namespace twofold::http
