#include "base/crash_point.h"

#if defined(TWOFOLD_CRASH_POINTS)

#include "base/assert.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace twofold::base {

namespace {

constexpr std::array kNames = std::to_array<std::string_view>({
    "coord_after_begin",
    "coord_after_decision_forced",
    "coord_after_end_appended",
    "coord_after_first_commit_ack",
    "coord_after_first_vote",
    "coord_after_last_vote",
    "coord_after_prepare_sent",
    "coord_before_client_answer",
    "coord_before_commit_sent",
    "coord_before_decision_appended",
    "coord_recovery_after_fold",
    "coord_recovery_after_force",
    "coord_recovery_after_redrive",
    "coord_recovery_start",
    "part_after_commit_before_reply",
    "part_after_prepare_before_reply",
    "part_before_commit",
    "part_before_prepare",
    "part_during_work",
    "part_recovery_after_list",
    "pg_after_commit_prepared",
    "pg_after_prepare",
    "pg_before_commit_prepared",
    "pg_before_prepare",
    "sqlite_after_commit",
    "sqlite_after_prepare",
    "sqlite_after_rehearsal",
    "sqlite_before_commit",
    "sqlite_before_prepare_commit",
    "wal_after_force",
    "wal_after_write",
    "wal_before_write",
    "wal_checkpoint_after_delete",
    "wal_checkpoint_after_force",
    "wal_checkpoint_before_write",
    "wal_force_error",
    "wal_mid_batch",
    "wal_segment_after_create",
    "wal_segment_before_create",
    "wal_write_enospc",
});

constexpr unsigned kHoldPauseMicroseconds = 5'000;

struct Armed {
    std::string name;
    std::uint64_t turn = 1;
};

Armed parse_armed(const char* variable) {
    const char* text = std::getenv(variable);
    if (text == nullptr) return {};
    std::string_view rest(text);
    Armed armed;
    std::size_t colon = rest.find(':');
    armed.name = rest.substr(0, colon);
    if (colon != std::string_view::npos) {
        std::string_view digits = rest.substr(colon + 1);
        std::from_chars(digits.data(), digits.data() + digits.size(), armed.turn);
    }
    // A misspelt name would make a crash test pass without a crash.
    TWOFOLD_ASSERT(std::ranges::binary_search(kNames, armed.name), "unknown crash point armed");
    return armed;
}

struct Held {
    std::string name;
    std::string while_exists;
};

Held parse_held() {
    const char* text = std::getenv("TWOFOLD_HOLD_AT");
    if (text == nullptr) return {};
    std::string_view all(text);
    std::size_t colon = all.find(':');
    TWOFOLD_ASSERT(colon != std::string_view::npos, "TWOFOLD_HOLD_AT is not name:path");
    Held held{std::string(all.substr(0, colon)), std::string(all.substr(colon + 1))};
    TWOFOLD_ASSERT(std::ranges::binary_search(kNames, held.name), "unknown crash point held");
    return held;
}

void stay_if_held(std::string_view name) {
    static const Held held = parse_held();
    if (name != held.name) return;
    while (::access(held.while_exists.c_str(), F_OK) == 0) ::usleep(kHoldPauseMicroseconds);
}

bool is_listed(std::string_view name) { return std::ranges::binary_search(kNames, name); }

}  // namespace

std::span<const std::string_view> crash_point_names() { return kNames; }

void pass_crash_point(std::string_view name) {
    static const Armed armed = parse_armed("TWOFOLD_CRASH_AT");
    static std::atomic<std::uint64_t> passed{0};
    TWOFOLD_ASSERT(is_listed(name), "crash point is missing from the list");
    stay_if_held(name);
    if (name != armed.name) return;
    if (passed.fetch_add(1) + 1 == armed.turn) {
        std::raise(SIGKILL);
    }
}

bool fail_point_hit(std::string_view name) {
    static const Armed armed = parse_armed("TWOFOLD_FAIL_AT");
    static std::atomic<std::uint64_t> passed{0};
    TWOFOLD_ASSERT(is_listed(name), "fail point is missing from the list");
    if (name != armed.name) return false;
    return passed.fetch_add(1) + 1 >= armed.turn;
}

}  // namespace twofold::base

#else

namespace twofold::base {

std::span<const std::string_view> crash_point_names() { return {}; }

}  // namespace twofold::base

#endif
