// For tests of idempotency keys over a restart: a start whose log does not know the key, and a
// participant that may.
#pragma once

#include "coordinator/core/script.h"

namespace twofold::coordinator {

// One key; another fingerprint is another body under it.
[[nodiscard]] BeginOptions keyed(std::uint8_t fingerprint = 1);
[[nodiscard]] RecoveredState second_start();
// Of work under the key, in the first start.
[[nodiscard]] protocol::TxnId id_of_first_start();
// After a restart; participant 1 does one-phase work.
[[nodiscard]] Script restarted();
// And the request under the key has come again, and was sent.
[[nodiscard]] Script submitted();
// Edits a reply: it names the id that committed under the key.
[[nodiscard]] Script::Edit by(const protocol::TxnId& original);
[[nodiscard]] const Answer& last_answer(const Script& s);

}  // namespace twofold::coordinator
