// What a participant is checked for: one case for each thing that a coordinator relies on.
#pragma once

#include "app/check_participant_probe.h"

#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace twofold::app {

struct CheckContext {
    Probe& probe;
    std::string work;            // a JSON array; can be done again and again
    std::string failing_work;    // empty: none was given
    std::string read_only_work;  // empty: none was given
    // Kills the participant and starts it again; returns when it answers, or says why it does not.
    // Empty: it cannot be restarted.
    std::function<Verdict()> restart;
};

struct CheckCase {
    std::string_view name;
    // Why this participant is not checked for it; empty: it is.
    std::string_view (*skip)(const CheckContext&);
    Verdict (*run)(CheckContext&);
};

[[nodiscard]] std::span<const CheckCase> check_cases();

}  // namespace twofold::app
