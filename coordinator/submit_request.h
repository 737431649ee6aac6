// The body of POST /v1/transactions, read strictly. Pure.
#pragma once

#include "base/result.h"
#include "coordinator/core/inputs.h"
#include "protocol/request.h"

#include <string>
#include <string_view>
#include <vector>

namespace twofold::coordinator {

// Of "answer_within_ms".
inline constexpr Milliseconds kAnswerWithinMax{3'600'000};

struct SubmitLimits {
    std::size_t json_depth_max = 32;
    std::size_t branches_max = 64;
    std::size_t statements_max = 256;
    std::size_t labels_max = 16;
    Milliseconds deadline_default{30'000};
    Milliseconds deadline_max{3'600'000};
};

struct SubmitBranch {
    std::string participant;  // by name
    protocol::JsonText work;
    protocol::BranchOptions options;
};

struct SubmitBody {
    bool one_shot = false;  // it has "branches"; without them it begins an interactive transaction
    std::vector<SubmitBranch> branches;
    BeginOptions options;
};

// invalid_argument: the text is not the JSON that is expected (400). precondition_failed: it is,
// but cannot be carried out, for example no branches (422).
[[nodiscard]] base::Result<SubmitBody> parse_submit_body(std::string_view text,
                                                         const SubmitLimits& limits);

using protocol::parse_idempotency_key;

}  // namespace twofold::coordinator
