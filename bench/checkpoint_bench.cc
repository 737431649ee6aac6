// What remembering costs: the size of a checkpoint, and how long the event loop is busy with making
// it, for many remembered outcomes and many idempotency keys; and the same for the largest step
// that puts some into a file. docs/benchmarks.md has a run.
//
//   twofold-checkpoint-bench
#include "coordinator/core/machine.h"
#include "coordinator/core/outcomes.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace {

using namespace twofold;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

coordinator::RecoveredState empty_state() {
    coordinator::RecoveredState state;
    state.epoch = 1;
    state.epochs[1] = protocol::EpochRecord{{}, 1, {}};
    return state;
}

struct Cost {
    std::size_t bytes = 0;
    double make_ms = 0;
    double encode_ms = 0;
};

Cost measure(const coordinator::Machine& machine) {
    Cost cost;
    Clock::time_point start = Clock::now();
    std::vector<protocol::Record> records = machine.checkpoint();
    cost.make_ms = milliseconds_since(start);
    start = Clock::now();
    for (const protocol::Record& record : records) {
        cost.bytes += protocol::encode_record(record).size();
    }
    cost.encode_ms = milliseconds_since(start);
    return cost;
}

void print(const char* what, std::uint64_t count, const Cost& cost) {
    std::printf("%-10s %10llu %9.1f KiB %9.1f ms to make %9.1f ms to encode\n",
                what,
                static_cast<unsigned long long>(count),
                static_cast<double>(cost.bytes) / (1U << 10U),
                cost.make_ms,
                cost.encode_ms);
}

// What the loop does when there are enough loose words.
std::vector<base::Bytes> seal_words(coordinator::RecoveredState& state, Cost& largest) {
    Clock::time_point start = Clock::now();
    Cost cost;
    std::size_t words = state.outcomes.loose();
    auto records = state.outcomes.loose_records(state.horizon, words);
    state.outcomes.forget_loose(words);
    coordinator::OutcomesCount count;
    for (const protocol::OutcomesRecord& record : records) count.add(record);
    cost.make_ms = milliseconds_since(start);
    start = Clock::now();
    std::vector<base::Bytes> encoded;
    for (protocol::OutcomesRecord& record : records) {
        encoded.push_back(protocol::encode_record(std::move(record)));
        cost.bytes += encoded.back().size();
    }
    cost.encode_ms = milliseconds_since(start);
    if (cost.make_ms + cost.encode_ms > largest.make_ms + largest.encode_ms) largest = cost;
    std::uint64_t number = coordinator::first_sealed_file(1) + state.sealed_outcomes.size();
    state.sealed_outcomes[number] = {number, count.newest, count.committed};
    return encoded;
}

double read_back(const std::vector<std::vector<base::Bytes>>& files) {
    Clock::time_point start = Clock::now();
    coordinator::OutcomeMemory memory;
    for (const auto& file : files) {
        for (const base::Bytes& bytes : file) {
            auto record = protocol::decode_record(bytes);
            memory.restore(std::get<protocol::OutcomesRecord>(record.value()), false);
        }
    }
    return milliseconds_since(start);
}

// All of them were committed. The last ones are loose: as many as make the checkpoint as large as
// it can be.
void outcomes(std::uint64_t count) {
    coordinator::RecoveredState state = empty_state();
    coordinator::Config config;
    constexpr std::uint64_t kWordBytes = 8;
    const std::uint64_t words = count / coordinator::IdBits::kWordBits /
                                    config.outcome_words_per_file * config.outcome_words_per_file +
                                config.outcome_words_per_file - 1;
    Cost largest;
    std::vector<std::vector<base::Bytes>> files;
    for (std::uint64_t word = 0; word < words; ++word) {
        protocol::OutcomesRecord record{
            1, word * coordinator::IdBits::kWordBits, base::Bytes(kWordBytes, 0xff)};
        state.outcomes.restore(record, true);
        bool is_full = state.outcomes.loose() >= config.outcome_words_per_file;
        if (is_full) files.push_back(seal_words(state, largest));
    }
    auto remembered = static_cast<double>(state.outcomes.reserved_bytes());
    double read_ms = read_back(files);
    coordinator::OutcomeMemory older = state.outcomes;
    Clock::time_point start = Clock::now();
    older.move_horizon({1, count / coordinator::kTurnsPerRetention});
    double forget_ms = milliseconds_since(start);
    print("outcomes", count, measure(coordinator::Machine(config, std::move(state))));
    print("  a file", config.outcome_words_per_file * coordinator::IdBits::kWordBits, largest);
    std::printf(
        "           %10zu files named; read back in %.0f ms; a turn forgets in %.1f ms; "
        "%.3f bytes of memory each\n",
        files.size(),
        read_ms,
        forget_ms,
        remembered / static_cast<double>(count));
}

protocol::SettledKey key_of(std::uint64_t number) {
    protocol::SettledKey key;
    for (unsigned byte = 0; byte < 8; ++byte) {
        key.idempotency.key_hash[byte] = static_cast<std::uint8_t>(number >> (8 * byte));
    }
    key.position = {1, number};
    key.committed = true;
    return key;
}

// What the loop does when a file is full.
void seal(coordinator::RecoveredState& state, std::size_t keys_per_file, Cost& largest) {
    Clock::time_point start = Clock::now();
    Cost cost;
    std::vector<protocol::KeysRecord> records = state.keys.loose_records(keys_per_file);
    state.keys.forget_loose(keys_per_file);
    cost.make_ms = milliseconds_since(start);
    start = Clock::now();
    for (const protocol::KeysRecord& record : records) {
        cost.bytes += protocol::encode_record(record).size();
    }
    cost.encode_ms = milliseconds_since(start);
    if (cost.make_ms + cost.encode_ms > largest.make_ms + largest.encode_ms) largest = cost;
    std::uint64_t number = coordinator::first_sealed_file(1) + state.sealed.size();
    state.sealed[number] = {number, 0, static_cast<std::uint32_t>(keys_per_file)};
}

// As many as make the checkpoint as large as it can be.
void keys(std::uint64_t at_least) {
    coordinator::RecoveredState state = empty_state();
    coordinator::Config config;
    std::uint64_t count = at_least / config.keys_per_file * config.keys_per_file;
    count += config.keys_per_file - 1;
    Cost largest;
    for (std::uint64_t i = 1; i <= count; ++i) {
        state.keys.settle(key_of(i), true);
        if (state.keys.loose() == config.keys_per_file) seal(state, config.keys_per_file, largest);
    }
    auto remembered = static_cast<double>(state.keys.reserved_bytes());
    std::size_t loose = state.keys.loose();
    std::size_t files = state.sealed.size();
    print("keys", count, measure(coordinator::Machine(config, std::move(state))));
    if (files > 0) print("  a file", config.keys_per_file, largest);
    std::printf(
        "           %10zu of them written by the checkpoint, %zu files named, %.0f bytes of "
        "memory each\n",
        loose,
        files,
        remembered / static_cast<double>(count));
}

}  // namespace

int main() {
    for (std::uint64_t count : {1'000'000U, 8'000'000U, 64'000'000U, 640'000'000U}) outcomes(count);
    for (std::uint64_t count : {10'000U, 100'000U, 1'000'000U, 4'000'000U}) keys(count);
    return 0;
}
