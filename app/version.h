// What this program calls itself.
#pragma once

#include <string_view>

namespace twofold::app {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace twofold::app
