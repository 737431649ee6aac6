#include "app/config_reader.h"

#include <arpa/inet.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <set>
#include <utility>

namespace twofold::app {

using base::Errc;
using base::Result;

struct ConfigReader::Impl {
    std::string path;
    YAML::Node root;
    std::set<std::string, std::less<>> known;  // asked for, parents included
    std::vector<std::string> problems;
    std::set<std::string, std::less<>> blamed;  // the keys that have one

    void know(std::string_view key) {
        for (std::size_t dot = key.find('.'); dot != std::string_view::npos;
             dot = key.find('.', dot + 1)) {
            known.emplace(key.substr(0, dot));
        }
        known.emplace(key);
    }

    [[nodiscard]] YAML::Node find(std::string_view key) const {
        YAML::Node node = YAML::Clone(root);
        node = root;
        while (!key.empty()) {
            std::size_t dot = key.find('.');
            if (!node.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
            YAML::Node next = std::as_const(node)[std::string(key.substr(0, dot))];
            if (!next.IsDefined()) return YAML::Node(YAML::NodeType::Undefined);
            node.reset(next);
            key = dot == std::string_view::npos ? std::string_view() : key.substr(dot + 1);
        }
        return node;
    }

    [[nodiscard]] std::string place(const YAML::Node& node) const {
        return path + ":" + std::to_string(node.Mark().line + 1);
    }
};

namespace {

std::string environment_name(std::string_view key) {
    std::string out = "TWOFOLD_";
    for (char c : key) {
        out.push_back(c == '.' ? '_'
                               : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    }
    return out;
}

std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> out;
    while (!text.empty()) {
        std::size_t end = text.find(separator);
        if (end != 0) out.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    return out;
}

// The known key that shares the longest beginning: a hint for a misspelt one.
std::string nearest(const std::set<std::string, std::less<>>& known, std::string_view key) {
    std::string best;
    std::size_t best_length = 2;
    for (const std::string& candidate : known) {
        auto [a, b] = std::ranges::mismatch(candidate, key);
        auto length = static_cast<std::size_t>(a - candidate.begin());
        if (length > best_length) {
            best = candidate;
            best_length = length;
        }
    }
    return best;
}

}  // namespace

ConfigReader::ConfigReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ConfigReader::~ConfigReader() = default;
ConfigReader::ConfigReader(ConfigReader&&) noexcept = default;
ConfigReader& ConfigReader::operator=(ConfigReader&&) noexcept = default;

Result<ConfigReader> ConfigReader::load(const std::string& path) {
    auto impl = std::make_unique<Impl>();
    impl->path = path;
    if (!path.empty()) {
        // yaml-cpp reports by exceptions; they end here.
        try {
            impl->root = YAML::LoadFile(path);
        } catch (const YAML::BadFile&) {
            return base::fail(Errc::not_found, path + ": cannot be read");
        } catch (const YAML::Exception& exception) {
            return base::fail(Errc::invalid_argument,
                              path + ":" + std::to_string(exception.mark.line + 1) +
                                  ": not valid YAML: " + exception.msg);
        }
        if (!impl->root.IsMap() && !impl->root.IsNull()) {
            return base::fail(Errc::invalid_argument, path + ": must be a YAML map");
        }
    }
    return ConfigReader(std::move(impl));
}

void ConfigReader::fail(std::string_view key, const std::string& message) {
    if (!impl_->blamed.emplace(key).second) return;
    YAML::Node node = impl_->find(key);
    bool from_environment = std::getenv(environment_name(key).c_str()) != nullptr;
    std::string where = from_environment      ? environment_name(key)
                        : node.IsDefined()    ? impl_->place(node) + ": " + std::string(key)
                        : impl_->path.empty() ? std::string(key)
                                              : impl_->path + ": " + std::string(key);
    impl_->problems.push_back(where + ": " + message);
}

bool ConfigReader::has(std::string_view key) {
    impl_->know(key);
    return std::getenv(environment_name(key).c_str()) != nullptr || impl_->find(key).IsDefined();
}

std::string ConfigReader::text(std::string_view key, std::string_view fallback) {
    impl_->know(key);
    if (const char* value = std::getenv(environment_name(key).c_str())) return value;
    YAML::Node node = impl_->find(key);
    if (!node.IsDefined() || node.IsNull()) return std::string(fallback);
    if (!node.IsScalar()) {
        fail(key, "must be a single value");
        return std::string(fallback);
    }
    return node.Scalar();
}

std::string ConfigReader::required_text(std::string_view key, std::string_view example) {
    std::string value = text(key, "");
    if (value.empty()) fail(key, "is required, for example " + std::string(example));
    return value;
}

std::string ConfigReader::secret(std::string_view key) {
    std::string file_key = std::string(key) + "_file";
    std::string file = text(file_key, "");
    std::string value = text(key, "");
    if (!file.empty() && !value.empty()) {
        fail(key, "give either " + std::string(key) + " or " + file_key + ", not both");
    }
    if (file.empty()) return value;
    std::ifstream in(file);
    if (!std::getline(in, value) || value.empty()) {
        fail(file_key, file + " cannot be read or its first line is empty");
    }
    return value;
}

bool ConfigReader::boolean(std::string_view key, bool fallback) {
    std::string value = text(key, fallback ? "true" : "false");
    if (value == "true" || value == "yes" || value == "on" || value == "1") return true;
    if (value == "false" || value == "no" || value == "off" || value == "0") return false;
    fail(key, "must be true or false, found \"" + value + "\"");
    return fallback;
}

std::uint64_t ConfigReader::integer(std::string_view key,
                                    std::uint64_t fallback,
                                    std::uint64_t lowest,
                                    std::uint64_t highest) {
    std::string value = text(key, std::to_string(fallback));
    std::uint64_t number = 0;
    const char* end = value.data() + value.size();
    auto [stop, code] = std::from_chars(value.data(), end, number);
    if (code == std::errc{} && stop == end && number >= lowest && number <= highest) return number;
    fail(key,
         "must be an integer from " + std::to_string(lowest) + " to " + std::to_string(highest) +
             ", found \"" + value + "\"");
    return fallback;
}

std::chrono::milliseconds ConfigReader::duration(std::string_view key,
                                                 std::chrono::milliseconds fallback,
                                                 std::chrono::milliseconds lowest,
                                                 std::chrono::milliseconds highest) {
    struct Unit {
        std::string_view suffix;
        std::int64_t milliseconds;
    };
    constexpr std::array<Unit, 4> kUnits{
        {{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}}};
    std::string value = text(key, std::to_string(fallback.count()) + "ms");
    std::int64_t number = 0;
    const char* end = value.data() + value.size();
    auto [stop, code] = std::from_chars(value.data(), end, number);
    std::string_view suffix(stop, static_cast<std::size_t>(end - stop));
    const auto* unit = std::ranges::find(kUnits, suffix, &Unit::suffix);
    bool fits = code == std::errc{} && unit != kUnits.end() && number >= 0 &&
                number <= highest.count() / unit->milliseconds;
    if (fits && std::chrono::milliseconds(number * unit->milliseconds) >= lowest) {
        return std::chrono::milliseconds(number * unit->milliseconds);
    }
    fail(key,
         "must be a duration such as 250ms, 5s or 2m, from " + std::to_string(lowest.count()) +
             "ms to " + std::to_string(highest.count()) + "ms, found \"" + value + "\"");
    return fallback;
}

std::vector<std::string> ConfigReader::list(std::string_view key) {
    impl_->know(key);
    if (const char* value = std::getenv(environment_name(key).c_str())) return split(value, ',');
    YAML::Node node = impl_->find(key);
    std::vector<std::string> out;
    if (!node.IsDefined() || node.IsNull()) return out;
    if (!node.IsSequence()) {
        fail(key, "must be a list");
        return out;
    }
    for (const YAML::Node& element : node) {
        if (!element.IsScalar()) fail(key, "must be a list of single values");
        if (element.IsScalar()) out.push_back(element.Scalar());
    }
    return out;
}

std::vector<std::string> ConfigReader::names(std::string_view key) {
    impl_->know(key);
    YAML::Node node = impl_->find(key);
    std::vector<std::string> out;
    if (!node.IsDefined() || node.IsNull()) return out;
    if (!node.IsMap()) {
        fail(key, "must be a map from names to what they mean");
        return out;
    }
    for (const auto& entry : node) out.push_back(entry.first.Scalar());
    return out;
}

std::vector<std::pair<std::string, std::string>> ConfigReader::named_urls(std::string_view key) {
    impl_->know(key);
    std::vector<std::pair<std::string, std::string>> out;
    if (const char* value = std::getenv(environment_name(key).c_str())) {
        for (const std::string& entry : split(value, ',')) {
            std::size_t equals = entry.find('=');
            if (equals == std::string::npos) fail(key, "must look like name=http://host:port,…");
            if (equals != std::string::npos) {
                out.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
            }
        }
        return out;
    }
    YAML::Node node = impl_->find(key);
    if (!node.IsDefined() || node.IsNull()) return out;
    bool fits = node.IsSequence();
    for (std::size_t i = 0; fits && i < node.size(); ++i) {
        const YAML::Node element = node[i];
        fits = element.IsMap() && element.size() == 2 && element["name"].IsDefined() &&
               element["url"].IsDefined() && element["name"].IsScalar() &&
               element["url"].IsScalar();
        if (fits) out.emplace_back(element["name"].Scalar(), element["url"].Scalar());
    }
    if (!fits) fail(key, "must be a list of {name: …, url: http://host:port}");
    return out;
}

namespace {

using KeyPlaces = std::vector<std::pair<std::string, int>>;

using Keys = std::set<std::string, std::less<>>;

// Adds the keys of the file that nobody asked for, with their lines. Lists are read as a whole;
// what is below an unknown key, or below one that has a problem already, is not looked at.
void find_unknown(const YAML::Node& node,
                  const std::string& prefix,
                  const Keys& known,
                  const Keys& blamed,
                  KeyPlaces& out) {
    if (!node.IsMap()) return;
    for (const auto& entry : node) {
        std::string key = prefix + entry.first.Scalar();
        if (blamed.contains(key)) continue;
        if (known.contains(key)) {
            find_unknown(entry.second, key + ".", known, blamed, out);
        } else {
            out.emplace_back(key, entry.first.Mark().line + 1);
        }
    }
}

}  // namespace

Result<void> ConfigReader::finish() {
    KeyPlaces unknown;
    find_unknown(impl_->root, "", impl_->known, impl_->blamed, unknown);
    for (const auto& [key, line] : unknown) {
        std::string hint = nearest(impl_->known, key);
        std::string message =
            impl_->path + ":" + std::to_string(line) + ": unknown key \"" + key + "\"";
        if (!hint.empty()) message += "; did you mean \"" + hint + "\"?";
        impl_->problems.push_back(std::move(message));
    }
    if (impl_->problems.empty()) return base::ok();
    std::string all;
    for (const std::string& problem : impl_->problems) {
        all += (all.empty() ? "" : "\n") + problem;
    }
    return base::fail(Errc::invalid_argument, std::move(all));
}

namespace {

// A name or an IPv4 address, or an IPv6 address in brackets: it goes into the Host field, and must
// mean the same to everybody who reads the address.
bool is_host(std::string_view host) {
    if (host.size() > 2 && host.starts_with('[') && host.ends_with(']')) {
        std::string address(host.substr(1, host.size() - 2));
        in6_addr ignored{};
        return ::inet_pton(AF_INET6, address.c_str(), &ignored) == 1 &&
               address.find('\0') == std::string::npos;
    }
    // "127.1" and "2130706433" are addresses to some, and names to others.
    std::string name(host);
    if (name.find_first_not_of("0123456789.") == std::string::npos) {
        in_addr ignored{};
        return ::inet_pton(AF_INET, name.c_str(), &ignored) == 1;
    }
    return std::ranges::all_of(name, [](unsigned char c) {
        return c < 0x80 && (std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_');
    });
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
    std::size_t colon = text.rfind(':');
    HostPort out;
    bool fits = colon != std::string_view::npos && colon > 0;
    if (fits) {
        std::string_view host = text.substr(0, colon);
        fits = is_host(host);
        if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
        out.host = host;
        std::string_view digits = text.substr(colon + 1);
        auto [stop, code] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
        // More digits than a port has are zeros in front, which not everybody reads as we do.
        fits = fits && code == std::errc{} && stop == digits.data() + digits.size() &&
               digits.size() <= 5;
    }
    if (fits) return out;
    return base::fail(Errc::invalid_argument,
                      "\"" + std::string(text) + "\" must look like 127.0.0.1:8420");
}

Result<HostPort> parse_http_url(std::string_view text) {
    std::string_view rest = text;
    if (rest.starts_with("http://")) {
        rest.remove_prefix(7);
        if (rest.ends_with('/')) rest.remove_suffix(1);
        auto parsed = parse_host_port(rest);
        if (parsed.has_value() && parsed.value().port != 0) return parsed;
    }
    return base::fail(Errc::invalid_argument,
                      "\"" + std::string(text) + "\" must look like http://127.0.0.1:8420");
}

}  // namespace twofold::app
