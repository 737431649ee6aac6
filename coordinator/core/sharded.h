// A set that never stalls: many small sorted vectors. Adding and removing one costs as much as one
// of them is long, growing it too, and a billion entries are given back in a fixed number of
// pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace twofold::coordinator {

// Entry: key() gives something ordered; shard(key) spreads keys evenly.
template <class Entry>
class Sharded {
public:
    static constexpr std::size_t kShards = 4096;

    template <class Key>
    [[nodiscard]] const Entry* find(const Key& key) const {
        if (shards_.empty()) return nullptr;
        const std::vector<Entry>& shard = shards_[Entry::shard(key) % kShards];
        auto place = std::ranges::lower_bound(shard, key, {}, &Entry::key);
        return place != shard.end() && place->key() == key ? &*place : nullptr;
    }
    template <class Key>
    [[nodiscard]] Entry* find(const Key& key) {
        return const_cast<Entry*>(std::as_const(*this).find(key));
    }

    // Replaces the one with the same key.
    void put(const Entry& entry) {
        if (Entry* known = find(entry.key())) {
            *known = entry;
            return;
        }
        if (shards_.empty()) shards_.resize(kShards);
        std::vector<Entry>& shard = shards_[Entry::shard(entry.key()) % kShards];
        // Doubling would leave a quarter of the memory unused on average.
        if (shard.size() == shard.capacity()) shard.reserve(shard.size() + shard.size() / 4 + 2);
        shard.insert(std::ranges::lower_bound(shard, entry.key(), {}, &Entry::key), entry);
        ++size_;
    }

    template <class Key>
    void erase(const Key& key) {
        const Entry* known = find(key);
        if (known == nullptr) return;
        std::vector<Entry>& shard = shards_[Entry::shard(key) % kShards];
        shard.erase(shard.begin() + (known - shard.data()));
        --size_;
    }

    template <class Visitor>
    void for_each(Visitor visit) const {
        for (const auto& shard : shards_) {
            for (const Entry& entry : shard) visit(entry);
        }
    }

    [[nodiscard]] std::size_t size() const { return size_; }
    [[nodiscard]] std::size_t reserved_bytes() const {
        std::size_t bytes = shards_.capacity() * sizeof(std::vector<Entry>);
        for (const auto& shard : shards_) bytes += shard.capacity() * sizeof(Entry);
        return bytes;
    }

private:
    std::vector<std::vector<Entry>> shards_;  // empty before the first entry
    std::size_t size_ = 0;
};

}  // namespace twofold::coordinator
