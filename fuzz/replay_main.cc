// Replays files through one fuzz target, without libFuzzer:
//
//   twofold-fuzz-replay TARGET FILE-OR-FOLDER...
//
// An input that a target does not survive ends the process; its name is the last line on stderr.
#include "base/log.h"
#include "fuzz/targets.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace twofold;

struct Target {
    std::string_view name;
    void (*run)(base::ByteSpan input);
};

constexpr std::array kTargets = std::to_array<Target>({
    {"branch_work", fuzz::branch_work},
    {"client_answers", fuzz::client_answers},
    {"config_file", fuzz::config_file},
    {"coordinator_api", fuzz::coordinator_api},
    {"coordinator_bodies", fuzz::coordinator_bodies},
    {"directory_file", fuzz::directory_file},
    {"http_reply", fuzz::http_reply},
    {"http_request", fuzz::http_request},
    {"ids", fuzz::ids},
    {"log_directory", fuzz::log_directory},
    {"log_fold", fuzz::log_fold},
    {"log_record", fuzz::log_record},
    {"participant_api", fuzz::participant_api},
    {"participant_messages", fuzz::participant_messages},
    {"sealed_file", fuzz::sealed_file},
    {"sql_screening", fuzz::sql_screening},
    {"sqlite_redo", fuzz::sqlite_redo},
    {"urls", fuzz::urls},
});

std::vector<std::filesystem::path> files_of(const std::filesystem::path& place) {
    if (!std::filesystem::is_directory(place)) return {place};
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(place)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

base::Bytes content_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string_view> arguments(argv + 1, argv + argc);
    const auto* target = arguments.empty()
                             ? kTargets.end()
                             : std::ranges::find(kTargets, arguments.front(), &Target::name);
    if (target == kTargets.end() || arguments.size() < 2) {
        std::fputs("usage: twofold-fuzz-replay TARGET FILE-OR-FOLDER...\n", stderr);
        return 2;
    }
    base::set_log_sink([](auto, auto, auto, const auto&) {}, base::LogLevel::error);
    std::size_t count = 0;
    for (std::string_view place : std::vector(arguments.begin() + 1, arguments.end())) {
        for (const std::filesystem::path& file : files_of(place)) {
            std::fprintf(stderr, "%s\n", file.c_str());
            target->run(content_of(file));
            ++count;
        }
    }
    std::printf("replayed: target=%s inputs=%zu\n", arguments.front().data(), count);
    return count == 0 ? 1 : 0;
}
