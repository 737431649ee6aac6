// What a statement of a branch may have done, judged by its command tag after it ran. What may be
// sent at all is decided before, from its first keyword: participant/work/sql_text.h.
#pragma once

#include <string_view>

namespace twofold::participant::postgres {

// True for the command tags that an admitted statement can end with ("SELECT 1", "SET
// CONSTRAINTS").
[[nodiscard]] bool is_admitted_tag(std::string_view tag);

}  // namespace twofold::participant::postgres
