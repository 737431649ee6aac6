// Who has committed under an idempotency key: the witness row of a one-phase branch has the key and
// the fingerprint of the request. Tombstones have none. Pure: a statement, and what it answered.
#pragma once

#include "participant/postgres/connection.h"
#include "protocol/messages.h"

#include <optional>

namespace twofold::participant::postgres {

struct KeyOwner {
    std::optional<protocol::TxnId> txn;  // has committed the same request under the key
    bool is_other_request = false;       // the key belongs to another request
};

// No row where there is no key.
[[nodiscard]] Statement key_owner_statement(const std::optional<protocol::IdempotencyKey>& key);
[[nodiscard]] KeyOwner read_key_owner(const StatementResult& result);
[[nodiscard]] protocol::Reason key_conflict_reason();

// The key as it is stored.
[[nodiscard]] Cell key_hash_text(const std::optional<protocol::IdempotencyKey>& key);
[[nodiscard]] Cell fingerprint_text(const std::optional<protocol::IdempotencyKey>& key);

}  // namespace twofold::participant::postgres
