#include "protocol/request.h"

#include "base/keyed_hash.h"

#include <algorithm>

namespace twofold::protocol {

BranchOptions read_branch_options(ObjectReader& in) {
    BranchOptions options;
    if (in.has("isolation")) {
        auto isolation = parse_isolation(in.text("isolation"));
        if (isolation) {
            options.isolation = *isolation;
        } else {
            in.fail("isolation",
                    "one of \"read_committed\", \"repeatable_read\", \"serializable\", "
                    "\"default\"");
        }
    }
    constexpr std::uint32_t kTimeoutMax = 3'600'000;
    if (in.has("lock_timeout_ms")) {
        options.lock_timeout_ms = in.integer<std::uint32_t>("lock_timeout_ms", 1, kTimeoutMax);
    }
    if (in.has("statement_timeout_ms")) {
        options.statement_timeout_ms =
            in.integer<std::uint32_t>("statement_timeout_ms", 1, kTimeoutMax);
    }
    return options;
}

base::Result<IdempotencyKey> parse_idempotency_key(std::string_view field, std::string_view body) {
    std::string_view key = field;
    bool is_quoted = key.starts_with('"');
    bool is_closed = !is_quoted || (key.size() >= 2 && key.ends_with('"'));
    if (is_quoted && is_closed) key = key.substr(1, key.size() - 2);
    bool visible = std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7f; });
    if (key.empty() || key.size() > 255 || !visible || !is_closed) {
        return base::fail(base::Errc::invalid_argument,
                          "Idempotency-Key: must be 1 to 255 visible ASCII characters, bare or in "
                          "double quotes");
    }
    IdempotencyKey out;
    base::Hash256 key_hash = base::sha256(base::as_bytes(key));
    base::Hash256 body_hash = base::sha256(base::as_bytes(body));
    std::copy_n(key_hash.begin(), out.key_hash.size(), out.key_hash.begin());
    std::copy_n(body_hash.begin(), out.fingerprint.size(), out.fingerprint.begin());
    return out;
}

}  // namespace twofold::protocol
