// What a person gives as the reason of a decision. It is kept: in logs, in databases, on terminals.
#pragma once

#include <cstddef>
#include <string_view>

namespace twofold::protocol {

inline constexpr std::size_t kPersonReasonMax = 1'000;

// 1 to 1000 bytes without control characters: a NUL would end it in a database, and others would
// write on a terminal what was never said.
[[nodiscard]] bool is_person_reason(std::string_view text);

// For the refusal.
inline constexpr std::string_view kPersonReasonRule =
    "reason: say why, in 1 to 1000 bytes without control characters; it is kept";

}  // namespace twofold::protocol
