// Which idempotency keys were used, for what request, by which transaction, and how that ended.
//
// A key is open while its transaction may still end either way, and settled when its outcome is
// fixed. Keys live in generations: begin() begins a new one, drop() drops the oldest as a whole. A
// key belongs to the generation that was the newest when it was last changed, and lives for four
// more. It is written with its generation, so that memory never drops it before the disk does: a
// key that comes back after it was used again would answer for the wrong transaction.
//
// Settled keys are loose until they were put into a sealed file: only loose ones are written by a
// checkpoint. How many there may be is up to the caller.
//
// Nothing here takes time that grows with the number of keys, but for copying and comparing.
#pragma once

#include "coordinator/core/sharded.h"
#include "protocol/records.h"

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace twofold::coordinator {

class KeyMemory {
public:
    using Hash = std::array<std::uint8_t, 16>;

    // A generation is a fourth of the time for which keys are remembered.
    static constexpr std::uint32_t kGenerationsPerLifetime = 4;
    // In one record: it must fit into the smallest segment.
    static constexpr std::size_t kKeysPerRecord = 64;

    struct Known {
        std::array<std::uint8_t, 16> fingerprint{};
        protocol::IdPosition position;
        protocol::ParticipantNumber participant;
        std::optional<protocol::TxnId> foreign;  // the whole id, of one that this log did not make
        bool committed = false;
        bool settled = false;
        std::uint32_t generation = 0;
    };

    [[nodiscard]] std::optional<Known> find(const Hash& hash) const;
    // Of a settled abort; nullptr when there is none.
    [[nodiscard]] const std::string* abort_reason(protocol::IdPosition position) const;
    [[nodiscard]] std::size_t size() const;
    [[nodiscard]] std::size_t reserved_bytes() const;

    // An open key. `txn` is kept as a whole when it is not one of this log's.
    void add(const protocol::IdempotencyKey& key, const protocol::TxnId& txn, bool is_foreign);
    void set_committed(const Hash& hash);
    // Settles it, whether it was known or not. One that the log need not know does not become
    // loose.
    void settle(const protocol::SettledKey& key, bool for_the_log);
    void erase(const Hash& hash);
    // Counts as changed now.
    void refresh(const Hash& hash);

    [[nodiscard]] std::uint32_t generation() const { return generation_; }
    // Keys belong to it from now on.
    void begin(std::uint32_t generation);
    // What is over in this one is forgotten: it must have begun on the disk, too.
    void drop(std::uint32_t generation);
    // Both.
    void turn(std::uint32_t generation);
    [[nodiscard]] static bool is_over(std::uint32_t generation, std::uint32_t now) {
        return generation + kGenerationsPerLifetime < now;
    }

    [[nodiscard]] std::size_t loose() const { return loose_.size(); }
    // The oldest loose ones, at most `limit`, as records of their own generations.
    [[nodiscard]] std::vector<protocol::KeysRecord> loose_records(std::size_t limit) const;
    // They are in a sealed file.
    void forget_loose(std::size_t count);
    // What was read from a checkpoint or a sealed file.
    void restore(const protocol::KeysRecord& record, bool is_loose);

    // All settled keys, in a fixed order.
    friend bool operator==(const KeyMemory& a, const KeyMemory& b);

private:
    enum class State : std::uint8_t { open, deciding, committed, aborted };
    // 48 bytes: this is what a key costs.
    struct Entry {
        Hash hash{};
        std::array<std::uint8_t, 16> fingerprint{};
        std::uint64_t sequence = 0;
        std::uint32_t epoch = 0;
        std::uint16_t participant = 0;
        std::uint8_t reason = 0;  // in reasons_
        State state = State::open;

        [[nodiscard]] const Hash& key() const { return hash; }
        [[nodiscard]] static std::size_t shard(const Hash& hash) {
            return std::size_t{hash[0]} | std::size_t{hash[1]} << 8U;
        }
    };
    static_assert(sizeof(Entry) == 48);
    struct Abort {
        std::uint64_t sequence = 0;
        std::uint32_t epoch = 0;
        std::uint8_t reason = 0;

        [[nodiscard]] protocol::IdPosition key() const { return {epoch, sequence}; }
        [[nodiscard]] static std::size_t shard(const protocol::IdPosition& position) {
            return static_cast<std::size_t>(position.sequence);
        }
    };
    struct Generation {
        std::uint32_t number = 0;
        Sharded<Entry> keys;
        Sharded<Abort> aborts;
        std::map<Hash, protocol::TxnId> foreign;
    };

    // With the number of its generation; {nullptr, 0}: there is none.
    [[nodiscard]] std::pair<const Entry*, std::uint32_t> find_entry(const Hash& hash) const;
    [[nodiscard]] Generation& at(std::uint32_t generation);
    [[nodiscard]] std::uint8_t reason_number(const std::string& reason);
    [[nodiscard]] Entry settled_entry(const protocol::SettledKey& key);
    [[nodiscard]] protocol::SettledKey settled_key(const Entry& entry) const;
    void put_entry(Generation& generation, const Entry& entry);
    [[nodiscard]] std::vector<protocol::KeysRecord> sorted() const;

    std::deque<Generation> generations_;  // by number, newest last; without empty ones
    std::uint32_t generation_ = 0;
    std::vector<std::string> reasons_{{}};
    std::vector<Hash> loose_;  // oldest first
};

}  // namespace twofold::coordinator
