// Which statements may run inside of a branch, decided from their first keyword before anything is
// sent. A check afterwards would be too late: COMMIT AND CHAIN leaves a transaction open, so that
// nobody would notice that the branch's work was committed behind the coordinator's back.
//
// It is no sandbox: a SELECT can call any function that the role may call. It keeps transaction
// control, session commands and DDL out; the role's rights must do the rest.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace twofold::participant::postgres {

// Nothing when the statement is admitted; otherwise why not, as a sentence for its author.
[[nodiscard]] std::optional<std::string> refusal_of(std::string_view sql);

// The first keyword in lower case, after white space, comments and opening parentheses; "" when
// something else comes first.
[[nodiscard]] std::string first_keyword(std::string_view sql);

// True for the command tags that an admitted statement can end with ("SELECT 1", "SET
// CONSTRAINTS").
[[nodiscard]] bool is_admitted_tag(std::string_view tag);

}  // namespace twofold::participant::postgres
