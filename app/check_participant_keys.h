// The cases of `twofold participant check` about idempotency keys (P-21).
#pragma once

#include "app/check_participant_cases.h"

namespace twofold::app {

[[nodiscard]] Verdict key_finds_its_commit(CheckContext& c);
[[nodiscard]] Verdict failed_work_frees_its_key(CheckContext& c);

}  // namespace twofold::app
