// Result<T>: the value of an operation that can fail for operating reasons, or why it failed.
// This is the only place that names boost::outcome; use has_value(), value(), error() and the two
// macros below, so that a later move to std::expected is this one file. Reading the wrong side
// ends the process.
#pragma once

#include "base/errc.h"

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>
#include <boost/outcome/success_failure.hpp>
#include <boost/outcome/try.hpp>

#include <string>
#include <utility>

namespace twofold::base {

// An operating failure. context is a full, human-readable reason: the thing, what happened, the
// fix.
struct Error {
    Errc code;
    std::string context;

    // "disk_full: /var/lib/…: no space left"
    [[nodiscard]] std::string text() const { return std::string(to_string(code)) + ": " + context; }
};

template <class T>
using Result = boost::outcome_v2::basic_result<T, Error, boost::outcome_v2::policy::terminate>;

// The value of a Result<void> that succeeded.
[[nodiscard]] inline auto ok() { return boost::outcome_v2::success(); }

// An Error, for `return fail(Errc::x, "…")`.
[[nodiscard]] inline Error fail(Errc code, std::string context) {
    return Error{code, std::move(context)};
}

}  // namespace twofold::base

// TWOFOLD_TRY(auto value, expression): unwraps, or returns the error from the current function.
// TWOFOLD_TRY(expression) for Result<void>. The CO_ form is for coroutines.
#define TWOFOLD_TRY(...) BOOST_OUTCOME_TRY(__VA_ARGS__)
#define TWOFOLD_CO_TRY(...) BOOST_OUTCOME_CO_TRY(__VA_ARGS__)
