// Members and header fields that requests of applications to coordinators and to participants have
// in common, read strictly. Pure.
#pragma once

#include "base/result.h"
#include "protocol/json_reader.h"
#include "protocol/messages.h"

#include <string_view>

namespace twofold::protocol {

// The header field that names a transaction between services.
inline constexpr std::string_view kTransactionHeader = "Twofold-Transaction";

// "isolation", "lock_timeout_ms", "statement_timeout_ms".
[[nodiscard]] BranchOptions read_branch_options(ObjectReader& in);

// The value of an Idempotency-Key field, quoted or bare; 1 to 255 visible characters.
[[nodiscard]] base::Result<IdempotencyKey> parse_idempotency_key(std::string_view field,
                                                                 std::string_view body);

}  // namespace twofold::protocol
