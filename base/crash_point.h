// Named crash points: places at both sides of each durable or sent step where a test build can be
// made to fail. TWOFOLD_CRASH_POINT(coord_after_decision_forced) does nothing unless the
// environment arms that name; release builds do not contain it at all.
//
//   TWOFOLD_FAULT_AT=name[:N]=action[@PATH]
//                               what happens at the N-th passage (default 1); with a path, passages
//                               count only while that file exists
//   TWOFOLD_CRASH_AT=name[:N]   the same as name[:N]=kill
//   TWOFOLD_HOLD_AT=name:PATH   stay at the crash point for as long as the file PATH exists
//
// Actions:
//
//   kill, abort    SIGKILL or SIGABRT
//   pause          SIGSTOP: the whole process stands still until somebody sends SIGCONT
//   stall/MS       only the thread stays, for MS milliseconds: a slow disk
//   eio, enospc    the next system call of the kind that follows the point fails with this error;
//   on
//                  a database connection eio breaks it
//   short          the next write takes only half of its bytes, as the system may
//
// "eio+" and "enospc+" go on for ever after. What happens is also written to stderr, as the line
// "crash point NAME: ACTION", so that a test can tell a point that did its work from one that was
// never passed.
//
// Every point is listed in crash_points() with what a test must know to reach it: `twofold
// crash-points` prints the list, and the crash matrix is made from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace twofold::base {

struct CrashPoint {
    // Whose process passes it. A participant's points are common to all databases.
    enum class Owner : std::uint8_t { coordinator, participant, postgres, sqlite };
    // What must happen for it to be passed.
    enum class Moment : std::uint8_t {
        first,    // the first start on an empty log or database
        start,    // any start
        work,     // transactions
        idle,     // none for a while
        settle,   // one-phase work whose answer was lost
        inquiry,  // a participant comes back with a prepared branch
        stop,     // SIGTERM
    };
    // Which transactions pass it.
    enum class Path : std::uint8_t { any, one_shot, interactive };
    // The system calls that follow, which decides the errors that can be injected.
    enum class Step : std::uint8_t { nothing, write, force, name, connection };

    std::string_view name;
    Owner owner = Owner::coordinator;
    Moment moment = Moment::work;
    Path path = Path::any;
    Step step = Step::nothing;
};

// All of them, sorted by name; empty in builds without crash points.
[[nodiscard]] std::span<const CrashPoint> crash_points();

#if defined(TWOFOLD_CRASH_POINTS)
// Does to this process what is armed for `name` when its turn has come; waits when it is held.
void pass_crash_point(std::string_view name);
[[nodiscard]] bool is_crash_point_armed(std::string_view name);
// The error that the next system call of this thread is to fail with, or 0. Asking takes it.
[[nodiscard]] int take_io_error();
// How many of `wanted` bytes the next write may take: fewer once, when a short write is due.
[[nodiscard]] std::size_t take_io_size(std::size_t wanted);
// The variable `name` as a number, for limits that tests want smaller than anybody else;
// `otherwise` when it is not set.
[[nodiscard]] std::uint64_t test_number(const char* name, std::uint64_t otherwise);
#endif

}  // namespace twofold::base

#if defined(TWOFOLD_CRASH_POINTS)
#define TWOFOLD_CRASH_POINT(name) ::twofold::base::pass_crash_point(#name)
#define TWOFOLD_IO_ERROR() ::twofold::base::take_io_error()
#define TWOFOLD_IO_SIZE(wanted) ::twofold::base::take_io_size(wanted)
#define TWOFOLD_TEST_NUMBER(name, otherwise) ::twofold::base::test_number(#name, otherwise)
#else
#define TWOFOLD_CRASH_POINT(name) static_cast<void>(0)
#define TWOFOLD_IO_ERROR() 0
#define TWOFOLD_IO_SIZE(wanted) (wanted)
#define TWOFOLD_TEST_NUMBER(name, otherwise) (otherwise)
#endif
