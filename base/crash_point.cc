#include "base/crash_point.h"

#if defined(TWOFOLD_CRASH_POINTS)

#include "base/assert.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string>
#include <utility>

namespace twofold::base {

namespace {

using enum CrashPoint::Owner;
using enum CrashPoint::Moment;
using enum CrashPoint::Path;
using enum CrashPoint::Step;

constexpr std::array kPoints = std::to_array<CrashPoint>({
    {"coord_abort_received", coordinator, work, interactive},
    {"coord_after_begin", coordinator, work},
    {"coord_after_commit_sent", coordinator, work},
    {"coord_after_decision_forced", coordinator, work},
    {"coord_after_end_appended", coordinator, work},
    {"coord_after_first_commit_ack", coordinator, work},
    {"coord_after_first_vote", coordinator, work},
    {"coord_after_last_vote", coordinator, work},
    {"coord_after_one_phase_result", coordinator, work, one_shot},
    {"coord_after_prepare_sent", coordinator, work},
    {"coord_after_registered", coordinator, first},
    {"coord_before_checkpoint", coordinator, work},
    {"coord_before_client_answer", coordinator, work},
    {"coord_before_commit_sent", coordinator, work},
    {"coord_before_decision_appended", coordinator, work},
    {"coord_before_end_appended", coordinator, work},
    {"coord_before_enlist_answer", coordinator, work, interactive},
    {"coord_before_finished", coordinator, work},
    {"coord_before_force", coordinator, work},
    {"coord_before_inquiry_answer", coordinator, inquiry},
    {"coord_before_offer_sent", coordinator, start},
    {"coord_before_prepare_sent", coordinator, work},
    {"coord_before_registered", coordinator, first},
    {"coord_commit_received", coordinator, work, interactive},
    {"coord_recovery_after_fold", coordinator, start},
    {"coord_recovery_after_force", coordinator, start},
    {"coord_recovery_after_read", coordinator, start},
    {"coord_recovery_after_redrive", coordinator, start},
    {"coord_recovery_after_seal", coordinator, start},
    {"coord_recovery_before_seal", coordinator, start},
    {"coord_recovery_start", coordinator, start},
    {"coord_start_after_lock", coordinator, start},
    {"coord_stop_after_close", coordinator, stop},
    {"coord_stop_after_drain", coordinator, stop},
    {"coord_stop_before_close", coordinator, stop},
    {"part_after_commit_before_reply", participant, work},
    {"part_after_execute_before_reply", participant, work, interactive},
    {"part_after_inquiry", participant, inquiry},
    {"part_after_one_phase_before_reply", participant, work, one_shot},
    {"part_after_prepare_before_reply", participant, work},
    {"part_after_rollback_before_reply", participant, work},
    {"part_after_sender_persisted", participant, first},
    {"part_after_session_end", participant, work, interactive},
    {"part_after_settle_before_reply", participant, settle, one_shot},
    {"part_before_commit", participant, work},
    {"part_before_enlist", participant, work, interactive},
    {"part_before_execute", participant, work, interactive},
    {"part_before_inquiry", participant, inquiry},
    {"part_before_one_phase", participant, work, one_shot},
    {"part_before_prepare", participant, work},
    {"part_before_rollback", participant, work},
    {"part_before_sender_persisted", participant, first},
    {"part_before_session_end", participant, work, interactive},
    {"part_before_settle", participant, settle, one_shot},
    {"part_during_work", participant, work},
    {"part_recovery_after_list", participant, start},
    {"part_start_before_database", participant, start},
    {"part_stop_after_drain", participant, stop},
    {"pg_after_commit_prepared", postgres, work},
    {"pg_after_one_phase", postgres, work, one_shot},
    {"pg_after_prepare", postgres, work},
    {"pg_after_rollback_prepared", postgres, work},
    {"pg_after_settle", postgres, settle, one_shot},
    {"pg_before_commit_prepared", postgres, work, any, connection},
    {"pg_before_epoch", postgres, start, any, connection},
    {"pg_before_execute", postgres, work, interactive, connection},
    {"pg_before_listing", postgres, start, any, connection},
    {"pg_before_one_phase", postgres, work, one_shot, connection},
    {"pg_before_prepare", postgres, work, any, connection},
    {"pg_before_rollback_prepared", postgres, work, any, connection},
    {"pg_before_sender", postgres, first, any, connection},
    {"pg_before_settle", postgres, settle, one_shot, connection},
    {"pg_before_tables", postgres, first, any, connection},
    {"sqlite_after_commit", sqlite, work},
    {"sqlite_after_epoch", sqlite, start},
    {"sqlite_after_one_phase", sqlite, work, one_shot},
    {"sqlite_after_prepare", sqlite, work},
    {"sqlite_after_rehearsal", sqlite, work},
    {"sqlite_after_rollback", sqlite, work},
    {"sqlite_after_sender", sqlite, first},
    {"sqlite_after_settle", sqlite, settle, one_shot},
    {"sqlite_before_commit", sqlite, work, any, write},
    {"sqlite_before_epoch_commit", sqlite, start, any, write},
    {"sqlite_before_meta_commit", sqlite, first, any, write},
    {"sqlite_before_one_phase_commit", sqlite, work, one_shot, write},
    {"sqlite_before_prepare_commit", sqlite, work, any, write},
    {"sqlite_before_rollback_commit", sqlite, work, any, write},
    {"sqlite_before_sender_commit", sqlite, first, any, write},
    {"sqlite_before_settle_commit", sqlite, settle, one_shot, write},
    {"wal_adopt_before_directory_force", coordinator, start, any, force},
    {"wal_after_clean_shutdown", coordinator, stop},
    {"wal_after_force", coordinator, work},
    {"wal_after_write", coordinator, work, any, force},
    {"wal_before_clean_shutdown", coordinator, stop, any, write},
    {"wal_before_heartbeat", coordinator, idle, any, write},
    {"wal_before_mark", coordinator, work, any, write},
    {"wal_before_write", coordinator, work, any, write},
    {"wal_checkpoint_after_delete", coordinator, work},
    {"wal_checkpoint_after_force", coordinator, work},
    {"wal_checkpoint_before_write", coordinator, work},
    {"wal_mark_before_force", coordinator, work, any, force},
    {"wal_mark_before_write", coordinator, work, any, write},
    {"wal_mid_batch", coordinator, work, any, write},
    {"wal_recycle_before_directory_force", coordinator, work, any, force},
    {"wal_recycle_before_remove", coordinator, work, any, name},
    {"wal_recycle_before_rename", coordinator, work, any, name},
    {"wal_sealed_after_directory_force", coordinator, work},
    {"wal_sealed_before_create", coordinator, work, any, name},
    {"wal_sealed_before_directory_force", coordinator, work, any, force},
    {"wal_sealed_before_force", coordinator, work, any, force},
    {"wal_sealed_before_rename", coordinator, work, any, name},
    {"wal_sealed_before_write", coordinator, work, any, write},
    {"wal_segment_after_create", coordinator, work},
    {"wal_segment_before_create", coordinator, work},
    {"wal_segment_before_directory_force", coordinator, work, any, force},
    {"wal_segment_before_header", coordinator, work, any, write},
    {"wal_segment_before_header_force", coordinator, work, any, force},
    {"wal_segment_before_rename", coordinator, work, any, name},
    {"wal_spare_before_create", coordinator, work, any, name},
    {"wal_spare_before_force", coordinator, work, any, force},
    {"wal_spare_before_rename", coordinator, work, any, name},
    {"wal_spare_before_write", coordinator, work, any, write},
});
static_assert(std::ranges::is_sorted(kPoints, {}, &CrashPoint::name));

constexpr unsigned kHoldPauseMicroseconds = 5'000;

enum class Action : std::uint8_t { none, kill, abort, pause, stall, error, short_write };

struct Armed {
    std::string name;
    std::uint64_t turn = 1;
    Action action = Action::none;
    std::string action_text;
    bool forever = false;
    int error = 0;
    std::uint64_t stall_ms = 0;
    std::string while_exists;  // empty: always
};

bool is_listed(std::string_view name) {
    auto found = std::ranges::lower_bound(kPoints, name, {}, &CrashPoint::name);
    return found != kPoints.end() && found->name == name;
}

std::uint64_t number_in(std::string_view digits) {
    std::uint64_t value = 0;
    auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    TWOFOLD_ASSERT(parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size(),
                   "not a number in what is armed");
    return value;
}

// What stands before `mark`; it and the mark are taken off `rest`.
std::string_view take_until(std::string_view& rest, char mark) {
    std::size_t end = rest.find(mark);
    std::string_view taken = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    return taken;
}

// A misspelt word would make a crash test pass without a crash.
void parse_action(std::string_view text, Armed& armed) {
    armed.action_text = text;
    std::string_view word = take_until(text, '/');
    if (word.ends_with('+')) {
        armed.forever = true;
        word.remove_suffix(1);
    }
    if (word == "kill") armed.action = Action::kill;
    if (word == "abort") armed.action = Action::abort;
    if (word == "pause") armed.action = Action::pause;
    if (word == "short") armed.action = Action::short_write;
    if (word == "eio") armed.error = EIO;
    if (word == "enospc") armed.error = ENOSPC;
    if (armed.error != 0) armed.action = Action::error;
    if (word == "stall") {
        armed.action = Action::stall;
        armed.stall_ms = number_in(text);
    }
    TWOFOLD_ASSERT(armed.action != Action::none, "unknown action armed at a crash point");
}

Armed parse_armed(std::string_view text, std::string_view action) {
    Armed armed;
    std::string_view place = take_until(text, '=');
    armed.name = take_until(place, ':');
    if (!place.empty()) armed.turn = number_in(place);
    TWOFOLD_ASSERT(is_listed(armed.name), "unknown crash point armed");
    parse_action(action.empty() ? take_until(text, '@') : action, armed);
    armed.while_exists = text;
    return armed;
}

// Two at most: each variable may name one.
std::array<Armed, 2> all_armed() {
    std::array<Armed, 2> all;
    if (const char* text = std::getenv("TWOFOLD_CRASH_AT")) all[0] = parse_armed(text, "kill");
    if (const char* text = std::getenv("TWOFOLD_FAULT_AT")) all[1] = parse_armed(text, "");
    return all;
}

const std::array<Armed, 2>& armed_points() {
    static const std::array<Armed, 2> all = all_armed();
    return all;
}

// Of the thread that has passed the point: what it calls next is what follows the point.
thread_local int next_error = 0;
thread_local bool next_write_is_short = false;

// One write: lines of several threads must not mix, and nothing may be lost by what comes next.
void say(const Armed& armed) {
    std::string line = "crash point " + armed.name + ": " + armed.action_text + "\n";
    static_cast<void>(!::write(STDERR_FILENO, line.data(), line.size()));
}

[[noreturn]] void abort_without_core() {
    const rlimit none{0, 0};
    static_cast<void>(::setrlimit(RLIMIT_CORE, &none));
    std::abort();
}

void strike(const Armed& armed) {
    say(armed);
    switch (armed.action) {
        case Action::none: break;
        case Action::kill: std::raise(SIGKILL); break;
        case Action::abort: abort_without_core();
        case Action::pause: ::kill(::getpid(), SIGSTOP); break;
        case Action::stall: ::usleep(static_cast<unsigned>(armed.stall_ms * 1'000)); break;
        case Action::error: next_error = armed.error; break;
        case Action::short_write: next_write_is_short = true; break;
    }
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
    TWOFOLD_ASSERT(is_listed(held.name), "unknown crash point held");
    return held;
}

void stay_if_held(std::string_view name) {
    static const Held held = parse_held();
    if (name != held.name) return;
    while (::access(held.while_exists.c_str(), F_OK) == 0) ::usleep(kHoldPauseMicroseconds);
}

}  // namespace

std::span<const CrashPoint> crash_points() { return kPoints; }

void pass_crash_point(std::string_view name) {
    static std::array<std::atomic<std::uint64_t>, 2> passed{};
    TWOFOLD_ASSERT(is_listed(name), "crash point is missing from the list");
    stay_if_held(name);
    for (std::size_t i = 0; i < passed.size(); ++i) {
        const Armed& armed = armed_points()[i];
        if (name != armed.name) continue;
        const std::string& path = armed.while_exists;
        if (!path.empty() && ::access(path.c_str(), F_OK) != 0) continue;
        std::uint64_t turn = passed[i].fetch_add(1) + 1;
        if (turn == armed.turn || (armed.forever && turn > armed.turn)) strike(armed);
    }
}

bool is_crash_point_armed(std::string_view name) {
    return std::ranges::any_of(armed_points(),
                               [name](const Armed& armed) { return armed.name == name; });
}

int take_io_error() { return std::exchange(next_error, 0); }

std::size_t take_io_size(std::size_t wanted) {
    if (wanted < 2 || !std::exchange(next_write_is_short, false)) return wanted;
    return wanted / 2;
}

std::uint64_t test_number(const char* name, std::uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : number_in(text);
}

}  // namespace twofold::base

#else

namespace twofold::base {

std::span<const CrashPoint> crash_points() { return {}; }

}  // namespace twofold::base

#endif
