// Always-on assertions. A broken invariant ends the process, in release too: continuing with a
// state that nobody has thought about is how money gets lost. Recovery handles the restart.
#pragma once

namespace twofold::base {

// Prints the failed expression with its place and message to stderr, then aborts.
[[noreturn]] void assertion_failed(const char* expression,
                                   const char* message,
                                   const char* file,
                                   int line) noexcept;

// Sets a text that assertion_failed prints too, such as the seed of a simulation. Not owned; it
// must outlive its use. Thread: set it before other threads exist.
void set_assertion_context(const char* text) noexcept;

}  // namespace twofold::base

#define TWOFOLD_ASSERT(expression, message)             \
    (__builtin_expect(static_cast<bool>(expression), 1) \
         ? static_cast<void>(0)                         \
         : ::twofold::base::assertion_failed(#expression, message, __FILE__, __LINE__))

#define TWOFOLD_UNREACHABLE(message) \
    ::twofold::base::assertion_failed("unreachable", message, __FILE__, __LINE__)
