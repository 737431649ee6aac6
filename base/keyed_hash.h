// Keyed hash (HMAC-SHA-256 by OpenSSL): makes transaction ids unguessable and checkable without
// storing them, and fingerprints request bodies. Pure: same key and input, same output.
#pragma once

#include "base/bytes.h"

#include <array>
#include <memory>

namespace twofold::base {

using HashKey = std::array<std::uint8_t, 32>;
using Hash256 = std::array<std::uint8_t, 32>;

// Holds a prepared context for one key. Not thread-safe: one per thread. Copies share the context.
class KeyedHash {
public:
    explicit KeyedHash(const HashKey& key);
    ~KeyedHash();
    KeyedHash(KeyedHash&&) noexcept;
    KeyedHash& operator=(KeyedHash&&) noexcept;
    KeyedHash(const KeyedHash&) = default;
    KeyedHash& operator=(const KeyedHash&) = default;

    [[nodiscard]] Hash256 hash(ByteSpan message) const;

private:
    struct Context;
    std::shared_ptr<Context> context_;
};

// Plain SHA-256.
[[nodiscard]] Hash256 sha256(ByteSpan message);

// Compares without an early exit, for tags and tokens.
[[nodiscard]] bool constant_time_equal(ByteSpan a, ByteSpan b);

}  // namespace twofold::base
