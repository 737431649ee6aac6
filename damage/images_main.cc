// twofold-images: records what the log and SQLite do to their disks, cuts the power everywhere, and
// runs the real recovery on every disk that may be left.
#include "damage/log_images.h"
#include "damage/sqlite_images.h"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace twofold::damage;

constexpr std::string_view kUsage =
    "usage: twofold-images [--seed N] [--every N] [--only log|sqlite] [--sabotage NAME]\n"
    "  --seed N         of the states that are chosen by chance (default 1)\n"
    "  --every N        a power cut after every N-th call only (default 1)\n"
    "  --only PART      log or sqlite\n"
    "  --sabotage NAME  the disk forgets: skip_force, skip_directory_force\n";

struct Arguments {
    ImageOptions options;
    std::string only;
};

bool parse_number(std::string_view text, std::uint64_t& out) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size() && out != 0;
}

bool parse_sabotage(std::string_view name, DiskSabotage& out) {
    if (name == "skip_force") out.skip_force = true;
    if (name == "skip_directory_force") out.skip_directory_force = true;
    return out.skip_force || out.skip_directory_force;
}

std::optional<Arguments> parse(const std::vector<std::string_view>& words) {
    Arguments out;
    if (words.size() % 2 != 0) return std::nullopt;
    for (std::size_t i = 0; i < words.size(); i += 2) {
        std::string_view value = words[i + 1];
        bool good = false;
        if (words[i] == "--seed") {
            good = parse_number(value, out.options.cuts.seed);
        } else if (words[i] == "--every") {
            good = parse_number(value, out.options.cuts.every);
        } else if (words[i] == "--sabotage") {
            good = parse_sabotage(value, out.options.sabotage);
        } else if (words[i] == "--only") {
            out.only = value;
            good = value == "log" || value == "sqlite";
        }
        if (!good) return std::nullopt;
    }
    return out;
}

void print(const char* part, const ImageReport& report, double seconds) {
    std::printf(
        "images: %s: %zu recorded calls, %lu images, %lu after a power cut in recovery, "
        "violations=%lu, %.0f s\n",
        part,
        report.calls,
        report.images,
        report.second_images,
        report.violations,
        seconds);
    for (const std::string& text : report.texts) std::printf("VIOLATION %s\n", text.c_str());
    std::fflush(stdout);
}

}  // namespace

int main(int count, char** words) {
    auto arguments = parse({words + 1, words + count});
    if (!arguments) {
        std::fputs(kUsage.data(), stderr);
        return 2;
    }
    ImageOptions& options = arguments->options;
    auto begin = std::chrono::steady_clock::now();
    auto seconds = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    options.progress = [&](std::string_view line) {
        std::printf(
            "images: %.*s, %.0f s\n", static_cast<int>(line.size()), line.data(), seconds());
        std::fflush(stdout);
    };
    std::uint64_t images = 0;
    std::uint64_t violations = 0;
    auto run = [&](const char* part, ImageReport (*make)(const ImageOptions&)) {
        if (!arguments->only.empty() && arguments->only != part) return;
        ImageReport report = make(options);
        print(part, report, seconds());
        images += report.images + report.second_images;
        violations += report.violations;
    };
    run("log", log_images);
    run("sqlite", sqlite_images);
    std::printf("images: %s images=%lu violations=%lu\n",
                violations == 0 ? "ok" : "FAILED",
                images,
                violations);
    return violations == 0 ? 0 : 1;
}
