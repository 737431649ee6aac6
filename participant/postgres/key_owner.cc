#include "participant/postgres/key_owner.h"

#include "base/base64.h"
#include "participant/postgres/script.h"

namespace twofold::participant::postgres {

using protocol::IdempotencyKey;

Cell key_hash_text(const std::optional<IdempotencyKey>& key) {
    if (!key.has_value()) return std::nullopt;
    return base::hex_encode(key->key_hash);
}

Cell fingerprint_text(const std::optional<IdempotencyKey>& key) {
    if (!key.has_value()) return std::nullopt;
    return base::hex_encode(key->fingerprint);
}

Statement key_owner_statement(const std::optional<IdempotencyKey>& key) {
    return {
        "SELECT w.gid, w.fingerprint = $2 FROM twofold.witness w "
        "WHERE w.key_hash = $1 AND w.outcome = 'committed'",
        {{key_hash_text(key), 25}, {fingerprint_text(key), 25}}};
}

KeyOwner read_key_owner(const StatementResult& result) {
    if (result.rows.empty()) return {};
    std::optional<protocol::ParsedGid> gid = protocol::parse_gid(result.text(0, 0));
    // A row that no branch of ours has written is a conflict, too: nothing is committed beside it.
    if (!gid.has_value() || result.text(0, 1) != "t") return {std::nullopt, true};
    return {gid->key.group, false};
}

protocol::Reason key_conflict_reason() {
    return make_reason(protocol::reason::kKeyConflict,
                       "this idempotency key was used for another request");
}

}  // namespace twofold::participant::postgres
