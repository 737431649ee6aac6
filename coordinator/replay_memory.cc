#include "coordinator/replay_memory.h"

#include <utility>

namespace twofold::coordinator {

namespace {

// What an answer takes, the bookkeeping around it included.
std::size_t size_of(const http::Response& answer) {
    constexpr std::size_t kBookkeeping = 256;
    std::size_t size = kBookkeeping + answer.body.size() + answer.content_type.size();
    for (std::size_t i = 0; i < answer.headers.size(); ++i) {
        size += answer.headers.name_at(i).size() + answer.headers.value_at(i).size();
    }
    return size;
}

bool is_definite(int status) { return status != 202 && status != 429 && status < 500; }

}  // namespace

ReplayMemory::Found ReplayMemory::begin(const protocol::IdempotencyKey& key) {
    auto known = entries_.find(key.key_hash);
    if (known == entries_.end()) {
        if (entries_.size() >= limits_.keys_max || bytes_ >= limits_.bytes_max) {
            return {Verdict::full, {}};
        }
        if (generations_.empty()) generations_.emplace_back();
        generations_.back().push_back(key.key_hash);
        entries_.emplace(key.key_hash, Entry{key.fingerprint, true, {}});
        return {Verdict::fresh, {}};
    }
    Entry& entry = known->second;
    if (entry.fingerprint != key.fingerprint) return {Verdict::other_body, {}};
    if (entry.in_progress) return {Verdict::in_progress, {}};
    if (entry.answer) return {Verdict::known, entry.answer};
    entry.in_progress = true;
    return {Verdict::fresh, {}};
}

void ReplayMemory::finish(const protocol::IdempotencyKey& key, const http::Response& answer) {
    auto known = entries_.find(key.key_hash);
    if (known == entries_.end()) return;
    known->second.in_progress = false;
    if (!is_definite(answer.status)) return;
    known->second.answer = answer;
    bytes_ += size_of(answer);
}

void ReplayMemory::release(const protocol::IdempotencyKey& key) {
    auto known = entries_.find(key.key_hash);
    if (known != entries_.end()) known->second.in_progress = false;
}

void ReplayMemory::rotate() {
    generations_.emplace_back();
    if (generations_.size() <= kGenerationsPerLifetime + 1) return;
    std::vector<KeyHash> leaving = std::move(generations_.front());
    generations_.pop_front();
    for (const KeyHash& hash : leaving) {
        auto known = entries_.find(hash);
        if (known->second.in_progress) {  // not even answered: it stays
            generations_.back().push_back(hash);
            continue;
        }
        if (known->second.answer) bytes_ -= size_of(*known->second.answer);
        entries_.erase(known);
    }
}

}  // namespace twofold::coordinator
