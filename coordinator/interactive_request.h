// The bodies of the calls about one interactive transaction, read strictly. Pure. Errors as in
// submit_request.h: invalid_argument for what is not the expected JSON, precondition_failed for
// what cannot be carried out.
#pragma once

#include "base/result.h"
#include "coordinator/submit_request.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace twofold::coordinator {

// POST …/branches
struct EnlistBody {
    std::string participant;  // by name
    // A sidecar states both; an application that enlists a participant neither.
    std::uint32_t participant_epoch = 0;
    std::uint64_t session = 0;
    protocol::BranchOptions options;
};
[[nodiscard]] base::Result<EnlistBody> parse_enlist_body(std::string_view text,
                                                         const SubmitLimits& limits);

// POST …/commit. An empty text is an empty object.
struct CommitBody {
    WaitFor wait = WaitFor::applied;
    Milliseconds answer_within{0};
    std::map<std::string, std::uint32_t> executes;  // by participant
};
[[nodiscard]] base::Result<CommitBody> parse_commit_body(std::string_view text,
                                                         const SubmitLimits& limits);

// POST …/abort: nothing, or an empty object.
[[nodiscard]] base::Result<void> parse_abort_body(std::string_view text,
                                                  const SubmitLimits& limits);

}  // namespace twofold::coordinator
