// twofold-corrupt: damages logs that the real writer wrote, in every way that docs/testing.md
// lists, reads each with the real reader, and judges what it made of it.
#include "damage/corruption.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace twofold::damage;

constexpr std::string_view kUsage =
    "usage: twofold-corrupt [--stride N | --cases N] [--threads N] [--size BYTES] [--sabotage "
    "NAME]\n"
    "  --stride N       every N-th bit and length (default 1: all)\n"
    "  --cases N        the stride that makes about so many cases of them\n"
    "  --threads N      default 2\n"
    "  --size BYTES     of the largest log (default 655360; with the others about 1 MiB)\n"
    "  --sabotage NAME  plant a bug in the reader: ignore_mark, trim\n";

struct Arguments {
    CorruptOptions options{.threads = 2};
    std::uint64_t cases = 0;
    std::uint64_t size_bytes = 655'360;
};

bool parse_number(std::string_view text, std::uint64_t& out) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size() && out != 0;
}

bool parse_sabotage(std::string_view name, Planted& out) {
    if (name == "ignore_mark") out = Planted::ignore_mark;
    if (name == "trim") out = Planted::trim;
    return out != Planted::nothing;
}

bool set_number(std::string_view name, std::uint64_t number, Arguments& out) {
    if (name == "--stride") {
        out.options.stride = number;
    } else if (name == "--cases") {
        out.cases = number;
    } else if (name == "--threads") {
        out.options.threads = static_cast<unsigned>(std::min<std::uint64_t>(number, 64));
    } else if (name == "--size") {
        out.size_bytes = number;
    } else {
        return false;
    }
    return true;
}

std::optional<Arguments> parse(const std::vector<std::string_view>& words) {
    Arguments out;
    if (words.size() % 2 != 0) return std::nullopt;
    for (std::size_t i = 0; i < words.size(); i += 2) {
        std::string_view value = words[i + 1];
        std::uint64_t number = 0;
        bool good = words[i] == "--sabotage"
                        ? parse_sabotage(value, out.options.planted)
                        : parse_number(value, number) && set_number(words[i], number, out);
        if (!good) return std::nullopt;
    }
    return out;
}

// Odd, and no multiple of 3 or 5, so that it meets every bit of a byte and every place in a sector.
std::uint64_t stride_for(std::uint64_t steps, std::uint64_t cases) {
    std::uint64_t stride = std::max<std::uint64_t>(1, steps / cases);
    while (stride % 2 == 0 || (stride > 5 && (stride % 3 == 0 || stride % 5 == 0))) ++stride;
    return stride;
}

void print_counts(const std::string& what, const VerdictCounts& counts) {
    std::printf("  %-28s %10lu cases: %10lu refused %9lu complete %8lu excused %lu silent\n",
                what.c_str(),
                counts.cases(),
                counts.refused,
                counts.complete,
                counts.excused,
                counts.silent);
}

void print_samples(const std::vector<LogSample>& samples) {
    for (const LogSample& sample : samples) {
        std::size_t size = 0;
        for (const auto& [name, content] : sample.files) size += content.size();
        std::printf("corrupt: log \"%s\": %zu bytes in %zu files, %zu batches, %zu records\n",
                    sample.name.c_str(),
                    size,
                    sample.files.size(),
                    sample.batches.size(),
                    sample.acknowledged.size());
    }
}

}  // namespace

int main(int count, char** words) {
    auto arguments = parse({words + 1, words + count});
    if (!arguments) {
        std::fputs(kUsage.data(), stderr);
        return 2;
    }
    CorruptOptions& options = arguments->options;
    auto begin = std::chrono::steady_clock::now();
    auto seconds = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    };
    std::vector<LogSample> samples = make_log_samples(arguments->size_bytes);
    if (arguments->cases != 0) {
        options.stride = stride_for(steps_of(samples), arguments->cases);
    }
    print_samples(samples);
    std::printf(
        "corrupt: every %lu-th bit and length, %u threads\n", options.stride, options.threads);
    options.progress = [&](std::string_view line) {
        std::printf(
            "corrupt: %.*s, %.0f s\n", static_cast<int>(line.size()), line.data(), seconds());
        std::fflush(stdout);
    };
    std::fflush(stdout);
    CorruptReport report = corrupt(samples, options);
    for (const auto& [kind, counts] : report.kinds) print_counts(kind, counts);
    print_counts("all", report.total);
    std::printf(
        "corrupt: %lu cases were decided before the mark was looked at; %.0f s, %.0f s of CPU\n",
        report.decided_before_mark,
        seconds(),
        static_cast<double>(std::clock()) / CLOCKS_PER_SEC);
    for (const auto& [kind, texts] : report.excused) {
        for (const std::string& text : texts) std::printf("excused: %s\n", text.c_str());
    }
    for (const std::string& text : report.silent) std::printf("SILENT %s\n", text.c_str());
    bool is_good = report.total.silent == 0 && report.silent.empty();
    std::printf("corrupt: %s cases=%lu silent=%lu\n",
                is_good ? "ok" : "FAILED",
                report.total.cases(),
                report.total.silent);
    return is_good ? 0 : 1;
}
