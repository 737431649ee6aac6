// Answers of requests that came under an Idempotency-Key, so that a repeated request gets the same
// one and nothing is done twice. For calls that are idempotent by nature (enlist, commit, abort):
// the memory need not survive a crash. The keys of whole transactions are the machine's.
//
// Only definite answers are kept. After 202, 429 or 5xx the outcome is not known, so the same
// request runs again; but the key stays bound to its body. Keys live in generations, without a
// clock: the owner says when a quarter of a lifetime is over. Nothing is forgotten early: a full
// memory takes no new keys.
// Thread: the owner's.
#pragma once

#include "http/message.h"
#include "protocol/types.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace twofold::coordinator {

class ReplayMemory {
public:
    static constexpr std::size_t kGenerationsPerLifetime = 4;

    struct Limits {
        std::size_t keys_max = 4'000'000;
        std::size_t bytes_max = std::size_t{256} << 20U;  // of answers
    };
    enum class Verdict : std::uint8_t {
        fresh,        // to be done now; finish() or release() follows
        in_progress,  // the first request is not answered yet
        other_body,   // the key belongs to another request
        known,        // `answer` is the first one's
        full,         // too much is remembered
    };
    struct Found {
        Verdict verdict = Verdict::fresh;
        std::optional<http::Response> answer;
    };

    explicit ReplayMemory(Limits limits) : limits_(limits) {}

    [[nodiscard]] Found begin(const protocol::IdempotencyKey& key);
    void finish(const protocol::IdempotencyKey& key, const http::Response& answer);
    // It was given up without an answer.
    void release(const protocol::IdempotencyKey& key);

    // A quarter of the lifetime is over: what is older than a whole one goes.
    void rotate();
    [[nodiscard]] std::size_t size() const { return entries_.size(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

private:
    using KeyHash = std::array<std::uint8_t, 16>;
    struct Entry {
        std::array<std::uint8_t, 16> fingerprint{};
        bool in_progress = true;
        std::optional<http::Response> answer;
    };

    Limits limits_;
    std::size_t bytes_ = 0;
    std::map<KeyHash, Entry> entries_;
    std::deque<std::vector<KeyHash>> generations_;  // oldest first
};

}  // namespace twofold::coordinator
