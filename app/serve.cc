#include "app/serve.h"

#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

namespace twofold::app {

namespace {

using base::LogField;
using base::LogLevel;

bool text_format = false;

spdlog::level::level_enum spdlog_level(LogLevel level) {
    switch (level) {
        case LogLevel::debug: return spdlog::level::debug;
        case LogLevel::info: return spdlog::level::info;
        case LogLevel::warning: return spdlog::level::warn;
        case LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::err;
}

std::string timestamp() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    tm parts{};
    gmtime_r(&now.tv_sec, &parts);
    std::string text(64, '\0');
    text.resize(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts));
    std::string micros = std::to_string(1'000'000 + now.tv_nsec / 1000).substr(1);
    return text + "." + micros + "Z";
}

// For people: the sentence first. Values are escaped as in the JSON form.
std::string text_line(std::string_view event,
                      std::string_view message,
                      const std::vector<LogField>& fields) {
    std::string line(message);
    line.append(" [").append(event).append("]");
    for (const LogField& field : fields) {
        line.append(" ").append(field.name).append("=");
        base::append_json_string(line, field.value);
    }
    return line;
}

void sink(LogLevel level,
          std::string_view event,
          std::string_view message,
          const std::vector<LogField>& fields) {
    std::string line = text_format
                           ? text_line(event, message, fields)
                           : base::format_log_line(level, event, message, fields, timestamp());
    spdlog::default_logger_raw()->log(spdlog_level(level), "{}", line);
}

LogLevel wanted_level() {
    const char* value = std::getenv("TWOFOLD_LOG_LEVEL");
    std::string_view text = value != nullptr ? value : "info";
    if (text == "debug") return LogLevel::debug;
    if (text == "warning") return LogLevel::warning;
    if (text == "error") return LogLevel::error;
    return LogLevel::info;
}

}  // namespace

void set_up_logging() {
    text_format = ::isatty(STDERR_FILENO) == 1;
    auto logger = spdlog::stderr_color_mt("twofold");
    logger->set_pattern(text_format ? "%H:%M:%S.%e %^%l%$ %v" : "%v");
    logger->set_level(spdlog::level::debug);
    logger->flush_on(spdlog::level::debug);
    spdlog::set_default_logger(std::move(logger));
    base::set_log_sink(&sink, wanted_level());
}

void prepare_process() {
    // A write beyond the limit of file sizes fails then, like one on a full disk.
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
    base::log_event(LogLevel::warning,
                    "descriptor_limit",
                    "the soft limit of open files could not be raised",
                    {{"reason", std::strerror(errno)}});
}

void run_until_signal(async::EventLoop& loop,
                      const std::function<void(std::function<void()>)>& stop) {
    bool stopping = false;
    loop.handle_signals([&loop, &stop, &stopping](int) {
        if (stopping) std::_Exit(EXIT_FAILURE);
        stopping = true;
        base::log_event(LogLevel::info, "stopping", "finishing what is under way", {});
        stop([&loop] { loop.stop(); });
    });
    loop.run();
}

}  // namespace twofold::app
