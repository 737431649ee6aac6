// Structured logging: an event with a stable name and fields, never a formatted sentence alone. The
// sink is set once by the program; without one, JSON lines go to stderr. Values are escaped and cut
// at 512 bytes by the sink, so that a client's text cannot forge a line. Never log SQL values or
// secrets: there is no way to take them back.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::base {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

struct LogField {
    std::string_view name;
    std::string value;

    LogField(std::string_view n, std::string v) : name(n), value(std::move(v)) {}
    LogField(std::string_view n, std::string_view v) : name(n), value(v) {}
    LogField(std::string_view n, const char* v) : name(n), value(v) {}
    LogField(std::string_view n, std::uint64_t v) : name(n), value(std::to_string(v)) {}
    LogField(std::string_view n, std::int64_t v) : name(n), value(std::to_string(v)) {}
    LogField(std::string_view n, int v) : name(n), value(std::to_string(v)) {}
    LogField(std::string_view n, unsigned v) : name(n), value(std::to_string(v)) {}
};

// Receives every event at or above the level. Called from any thread: it must be thread-safe.
using LogSink = void (*)(LogLevel level,
                         std::string_view event,
                         std::string_view message,
                         const std::vector<LogField>& fields);

// Set before other threads start.
void set_log_sink(LogSink sink, LogLevel lowest_level);

void log_event(LogLevel level,
               std::string_view event,
               std::string_view message,
               const std::vector<LogField>& fields = {});

// Appends `text` as a JSON string with quotes: control characters escaped, invalid UTF-8 replaced.
void append_json_string(std::string& out, std::string_view text);

// How many bytes that appends.
[[nodiscard]] std::size_t json_string_size(std::string_view text);

// One JSON line (without the newline) as the default sink and the program's sink print it.
[[nodiscard]] std::string format_log_line(LogLevel level,
                                          std::string_view event,
                                          std::string_view message,
                                          const std::vector<LogField>& fields,
                                          std::string_view timestamp);

}  // namespace twofold::base
