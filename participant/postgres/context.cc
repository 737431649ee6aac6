#include "participant/postgres/context.h"

#include "base/log.h"

#include <charconv>

namespace twofold::participant::postgres {

namespace {

std::uint64_t parse_digits(std::string_view text, int base) {
    std::uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    bool whole = error == std::errc() && end == text.data() + text.size();
    return whole ? value : 0;
}

}  // namespace

void Context::fence(std::string text) {
    if (fenced) return;
    fenced = true;
    fenced_text = std::move(text);
    base::log_event(base::LogLevel::error, "postgres_fenced", fenced_text, {{"epoch", epoch}});
    if (options.on_fenced) options.on_fenced(fenced_text);
}

std::uint64_t parse_lsn(const std::string& text) {
    std::size_t slash = text.find('/');
    if (slash == std::string::npos) return 0;
    std::string_view view(text);
    return parse_digits(view.substr(0, slash), 16) << 32U |
           parse_digits(view.substr(slash + 1), 16);
}

std::uint32_t parse_timeline(const std::string& hex) {
    return static_cast<std::uint32_t>(parse_digits(std::string_view(hex).substr(0, 8), 16));
}

std::uint64_t parse_number(const std::string& text) { return parse_digits(text, 10); }

}  // namespace twofold::participant::postgres
