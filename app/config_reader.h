// Configuration from one YAML file and the environment, read strictly: every key has a path such as
// "log.segment_size_bytes" and an environment form (TWOFOLD_LOG_SEGMENT_SIZE_BYTES) that wins over
// the file. A key that nobody asked for is refused with file, line and the nearest known key.
// Problems are collected, the first of each key, and returned by finish(), so that reading code has
// no branches and people see all of them at once.
#pragma once

#include "base/result.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::app {

class ConfigReader {
public:
    // An empty path: no file, only the environment and defaults.
    [[nodiscard]] static base::Result<ConfigReader> load(const std::string& path);
    ~ConfigReader();
    ConfigReader(ConfigReader&&) noexcept;
    ConfigReader& operator=(ConfigReader&&) noexcept;

    [[nodiscard]] bool has(std::string_view key);
    [[nodiscard]] std::string text(std::string_view key, std::string_view fallback);
    [[nodiscard]] std::string required_text(std::string_view key, std::string_view example);
    // The value of `key`, or the first line of the file named by `key` + "_file".
    [[nodiscard]] std::string secret(std::string_view key);
    [[nodiscard]] bool boolean(std::string_view key, bool fallback);
    [[nodiscard]] std::uint64_t integer(std::string_view key,
                                        std::uint64_t fallback,
                                        std::uint64_t lowest,
                                        std::uint64_t highest);
    // "250ms", "5s", "2m", "1h".
    [[nodiscard]] std::chrono::milliseconds duration(std::string_view key,
                                                     std::chrono::milliseconds fallback,
                                                     std::chrono::milliseconds lowest,
                                                     std::chrono::milliseconds highest);
    // A YAML list of strings; in the environment separated by commas.
    [[nodiscard]] std::vector<std::string> list(std::string_view key);
    // The names in a YAML map, in their order; each is read by itself, as key.name.
    [[nodiscard]] std::vector<std::string> names(std::string_view key);
    // A YAML list of {name, url}; in the environment "name=url,name=url".
    [[nodiscard]] std::vector<std::pair<std::string, std::string>> named_urls(std::string_view key);

    void fail(std::string_view key, const std::string& message);
    // All problems, a line each; unknown keys last.
    [[nodiscard]] base::Result<void> finish();

private:
    struct Impl;
    explicit ConfigReader(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

struct HostPort {
    std::string host;
    std::uint16_t port = 0;
};
// "127.0.0.1:8420", "[::1]:8420".
[[nodiscard]] base::Result<HostPort> parse_host_port(std::string_view text);
// "http://127.0.0.1:8420" (a trailing slash is allowed).
[[nodiscard]] base::Result<HostPort> parse_http_url(std::string_view text);

}  // namespace twofold::app
