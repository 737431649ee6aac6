// What remembering costs: the size of a checkpoint, and how long the event loop is busy with making
// it, for many remembered outcomes and many idempotency keys. docs/benchmarks.md has a run.
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
    std::printf("%-10s %10llu %9.1f MiB %9.1f ms to make %9.1f ms to encode\n",
                what,
                static_cast<unsigned long long>(count),
                static_cast<double>(cost.bytes) / (1U << 20U),
                cost.make_ms,
                cost.encode_ms);
}

void outcomes(std::uint64_t count) {
    coordinator::RecoveredState state = empty_state();
    state.committed[1].assign(count, true);
    coordinator::Config config;
    config.outcomes_max = count;
    print("outcomes", count, measure(coordinator::Machine(config, std::move(state))));
}

void keys(std::uint64_t count) {
    coordinator::RecoveredState state = empty_state();
    base::KeyedHash key(base::HashKey{});
    for (std::uint64_t i = 1; i <= count; ++i) {
        protocol::IdempotencyKey idempotency;
        for (unsigned byte = 0; byte < 8; ++byte) {
            idempotency.key_hash[byte] = static_cast<std::uint8_t>(i >> (8 * byte));
        }
        state.committed_keys[protocol::make_txn_id({}, 1, i, protocol::ParticipantNumber(0), key)] =
            idempotency;
    }
    print("keys", count, measure(coordinator::Machine({}, std::move(state))));
}

}  // namespace

int main() {
    for (std::uint64_t count : {1'000'000U, 8'000'000U, 64'000'000U, 256'000'000U}) outcomes(count);
    for (std::uint64_t count : {10'000U, 100'000U, 1'000'000U}) keys(count);
    return 0;
}
