// How many bytes of foreign text are held: work and results of what is in flight, and results of
// what has ended. Numbers of transactions alone are no bound: each may bring a megabyte.
#include "base/assert.h"
#include "coordinator/core/machine_impl.h"

namespace twofold::coordinator {

namespace {

std::size_t size_of(const protocol::JsonText& text) { return text ? text->size() : 0; }

std::size_t size_of(const std::map<std::string, std::string>& labels) {
    std::size_t bytes = 0;
    for (const auto& [name, value] : labels) bytes += name.size() + value.size();
    return bytes;
}

std::size_t results_of(const Transaction& txn) {
    std::size_t bytes = 0;
    for (const Branch& branch : txn.branches) bytes += size_of(branch.results);
    return bytes;
}

}  // namespace

std::size_t bytes_of(const BeginOptions& options) { return size_of(options.labels); }

std::size_t bytes_of(const SubmitOneShot& input) {
    std::size_t bytes = bytes_of(input.options);
    for (const BranchRequest& branch : input.branches) bytes += size_of(branch.work);
    return bytes;
}

bool Machine::Impl::has_room_for(std::size_t bytes) {
    if (held_work_.empty()) held_bytes_ = 0;
    std::size_t taken = work_bytes_ + held_bytes_;
    return taken <= config_.work_size_max && bytes <= config_.work_size_max - taken;
}

// After each change of its work or results, and at its end.
void Machine::Impl::count_bytes(Transaction& txn) {
    std::size_t bytes = 0;
    if (!is_ended(txn.state)) {
        bytes = size_of(txn.member().labels) + results_of(txn);
        for (const Branch& branch : txn.branches) bytes += size_of(branch.work);
    }
    TWOFOLD_ASSERT(work_bytes_ >= txn.bytes, "what is released was counted");
    work_bytes_ = work_bytes_ - txn.bytes + bytes;
    txn.bytes = bytes;
}

// It has ended. Whoever waited has its results; for those who ask later there is a budget.
void Machine::Impl::keep_results(Transaction& txn) {
    txn.results_bytes = results_of(txn);
    if (txn.results_bytes == 0) return;
    results_bytes_ += txn.results_bytes;
    txn.results_kept = ++last_results_;
    with_results_[txn.results_kept] = txn.position;
    while (results_bytes_ > config_.results_size_max) {
        Transaction* oldest = find(with_results_.begin()->second);
        TWOFOLD_ASSERT(oldest != nullptr, "results are kept with their report");
        release_results(*oldest);
        for (Branch& branch : oldest->branches) branch.results = nullptr;
        oldest->results_lost = true;
        ++results_dropped_;
    }
}

void Machine::Impl::release_results(Transaction& txn) {
    if (txn.results_kept == 0) return;
    with_results_.erase(txn.results_kept);
    results_bytes_ -= txn.results_bytes;
    txn.results_kept = 0;
    txn.results_bytes = 0;
}

// One that has ended, or holds nothing.
void Machine::Impl::erase(Transaction& txn) {
    release_results(txn);
    --by_state_[static_cast<std::size_t>(txn.state)];
    transactions_.erase(protocol::IdPosition(txn.position));
}

}  // namespace twofold::coordinator
