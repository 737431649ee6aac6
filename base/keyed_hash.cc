#include "base/keyed_hash.h"

#include "base/assert.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>

namespace twofold::base {

struct KeyedHash::Context {
    EVP_MAC* mac = nullptr;
    EVP_MAC_CTX* keyed = nullptr;

    Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context() {
        EVP_MAC_CTX_free(keyed);
        EVP_MAC_free(mac);
    }
};

KeyedHash::KeyedHash(const HashKey& key) : context_(std::make_shared<Context>()) {
    context_->mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    TWOFOLD_ASSERT(context_->mac != nullptr, "OpenSSL has no HMAC");
    context_->keyed = EVP_MAC_CTX_new(context_->mac);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    int done = EVP_MAC_init(context_->keyed, key.data(), key.size(), params);
    TWOFOLD_ASSERT(done == 1, "HMAC initialisation failed");
}

KeyedHash::~KeyedHash() = default;
KeyedHash::KeyedHash(KeyedHash&&) noexcept = default;
KeyedHash& KeyedHash::operator=(KeyedHash&&) noexcept = default;

Hash256 KeyedHash::hash(ByteSpan message) const {
    // Re-initialising with a null key restarts the same context: cheaper than a duplicate.
    Hash256 out{};
    std::size_t length = 0;
    bool done = EVP_MAC_init(context_->keyed, nullptr, 0, nullptr) == 1 &&
                EVP_MAC_update(context_->keyed, message.data(), message.size()) == 1 &&
                EVP_MAC_final(context_->keyed, out.data(), &length, out.size()) == 1;
    TWOFOLD_ASSERT(done && length == out.size(), "HMAC failed");
    return out;
}

Hash256 sha256(ByteSpan message) {
    Hash256 out{};
    SHA256(message.data(), message.size(), out.data());
    return out;
}

bool constant_time_equal(ByteSpan a, ByteSpan b) {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace twofold::base
