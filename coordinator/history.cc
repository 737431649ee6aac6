#include "coordinator/history.h"

namespace twofold::coordinator {

namespace {
constexpr std::size_t kMomentsMax = 16;
}

using std::chrono::floor;
using std::chrono::milliseconds;

void History::note(const protocol::TxnId& txn, std::string_view state, Time now) {
    if (state.empty()) return;
    auto [found, is_new] = tracks_.try_emplace(txn);
    Track& track = found->second;
    if (is_new) track.first = now;
    if (!track.moments.empty() && track.moments.back().state == state) return;
    if (track.moments.size() == kMomentsMax) track.moments.pop_back();
    track.moments.push_back({std::string(state), floor<milliseconds>(now - track.first)});
}

void History::ended(const protocol::TxnId& txn) {
    auto found = tracks_.find(txn);
    if (found == tracks_.end() || found->second.has_ended) return;
    found->second.has_ended = true;
    ended_.push_back(txn);
    if (ended_.size() <= ended_max_) return;
    tracks_.erase(ended_.front());
    ended_.pop_front();
}

std::optional<milliseconds> History::age(const protocol::TxnId& txn, Time now) const {
    auto found = tracks_.find(txn);
    if (found == tracks_.end()) return std::nullopt;
    return floor<milliseconds>(now - found->second.first);
}

std::vector<History::Moment> History::timeline(const protocol::TxnId& txn) const {
    auto found = tracks_.find(txn);
    return found == tracks_.end() ? std::vector<Moment>() : found->second.moments;
}

}  // namespace twofold::coordinator
