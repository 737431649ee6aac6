#include "base/log.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace twofold::base {

namespace {

constexpr std::size_t kValueSizeMax = 512;

std::string_view level_name(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return "debug";
        case LogLevel::info: return "info";
        case LogLevel::warning: return "warning";
        case LogLevel::error: return "error";
    }
    return "error";
}

std::string timestamp_now() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    char text[64];
    std::size_t used = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    std::snprintf(text + used, sizeof text - used, ".%06ldZ", now.tv_nsec / 1000);
    return text;
}

void stderr_sink(LogLevel level,
                 std::string_view event,
                 std::string_view message,
                 const std::vector<LogField>& fields) {
    std::string line = format_log_line(level, event, message, fields, timestamp_now());
    line.push_back('\n');
    // One write, so that lines of several threads do not mix. A failed write to stderr has no
    // remedy, hence the ignored result.
    [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

LogSink current_sink = stderr_sink;
LogLevel lowest = LogLevel::info;

// The length of the valid UTF-8 sequence at the start of `text`, or 0.
std::size_t utf8_length(std::string_view text) {
    auto first = static_cast<unsigned char>(text[0]);
    std::size_t length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first >= 0x80 && (first < 0xc2 || first > 0xf4)) return 0;
    if (length > text.size()) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80U) return 0;
    }
    if (length > 1) {
        // Overlong forms, surrogates and values above U+10FFFF.
        auto second = static_cast<unsigned char>(text[1]);
        if (first == 0xe0 && second < 0xa0) return 0;
        if (first == 0xed && second > 0x9f) return 0;
        if (first == 0xf0 && second < 0x90) return 0;
        if (first == 0xf4 && second > 0x8f) return 0;
    }
    return length;
}

void append_escaped(std::string& out, char c) {
    switch (c) {
        case '"': out += "\\\""; return;
        case '\\': out += "\\\\"; return;
        case '\n': out += "\\n"; return;
        case '\r': out += "\\r"; return;
        case '\t': out += "\\t"; return;
        default: break;
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
        char text[8];
        std::snprintf(text, sizeof text, "\\u%04x", static_cast<unsigned>(c));
        out += text;
        return;
    }
    out.push_back(c);
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
    out.push_back('"');
    while (!text.empty()) {
        std::size_t length = utf8_length(text);
        if (length == 0) {
            out += "\xef\xbf\xbd";
            text.remove_prefix(1);
            continue;
        }
        if (length == 1) {
            append_escaped(out, text[0]);
        } else {
            out.append(text.substr(0, length));
        }
        text.remove_prefix(length);
    }
    out.push_back('"');
}

std::size_t json_string_size(std::string_view text) {
    std::size_t size = 2;
    std::string escaped;
    while (!text.empty()) {
        std::size_t length = utf8_length(text);
        if (length == 1) {
            escaped.clear();
            append_escaped(escaped, text[0]);
            size += escaped.size();
        } else {
            size += length == 0 ? 3 : length;
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return size;
}

std::string format_log_line(LogLevel level,
                            std::string_view event,
                            std::string_view message,
                            const std::vector<LogField>& fields,
                            std::string_view timestamp) {
    std::string line = "{\"ts\":\"";
    line += timestamp;
    line += "\",\"level\":\"";
    line += level_name(level);
    line += "\",\"event\":";
    append_json_string(line, event);
    line += ",\"msg\":";
    append_json_string(line, message);
    for (const LogField& field : fields) {
        line.push_back(',');
        append_json_string(line, field.name);
        line.push_back(':');
        append_json_string(line, std::string_view(field.value).substr(0, kValueSizeMax));
    }
    line.push_back('}');
    return line;
}

void set_log_sink(LogSink sink, LogLevel lowest_level) {
    current_sink = sink != nullptr ? sink : stderr_sink;
    lowest = lowest_level;
}

void log_event(LogLevel level,
               std::string_view event,
               std::string_view message,
               const std::vector<LogField>& fields) {
    if (level < lowest) return;
    current_sink(level, event, message, fields);
}

}  // namespace twofold::base
