#include "coordinator/outbox.h"

#include "base/crash_point.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace twofold::coordinator {

namespace {

using ItemKey = std::pair<protocol::BranchKey, protocol::ItemOp>;

bool is_work(protocol::ItemOp op) {
    return op == protocol::ItemOp::execute_prepare || op == protocol::ItemOp::one_phase ||
           op == protocol::ItemOp::prepare;
}

std::size_t work_bytes(const protocol::Item& item) { return item.work ? item.work->size() : 0; }

}  // namespace

// Items of one batch that have no result yet.
struct Outbox::InFlight {
    std::map<ItemKey, protocol::Item> open;
};

Outbox::Outbox(ParticipantPort& port,
               OutboxOptions options,
               Stamp stamp,
               OnResult on_result,
               OnFailure on_failure)
    : port_(port),
      options_(options),
      stamp_(std::move(stamp)),
      on_result_(std::move(on_result)),
      on_failure_(std::move(on_failure)) {}

void Outbox::add(protocol::Item item) {
    Queue& queue = is_work(item.op) ? work_ : decisions_;
    queue.push_back(std::move(item));
}

std::size_t Outbox::queued() const { return work_.size() + decisions_.size(); }

void Outbox::drop_queued() {
    work_.clear();
    decisions_.clear();
}

void Outbox::flush() {
    flush_lane(Lane::decisions);
    flush_lane(Lane::work);
}

void Outbox::flush_lane(Lane lane) {
    Queue& queue = lane == Lane::work ? work_ : decisions_;
    while (!queue.empty() && port_.has_free_connection(lane)) send(lane, take(queue));
}

Outbox::Queue Outbox::take(Queue& queue) const {
    std::size_t count_max = batching_ ? options_.batch_items_max : 1;
    std::size_t count = 0;
    std::size_t bytes = 0;
    while (count < queue.size() && count < count_max) {
        bytes += work_bytes(queue[count]);
        if (count > 0 && bytes > options_.batch_bytes_max) break;
        ++count;
    }
    Queue taken;
    auto end = queue.begin() + static_cast<std::ptrdiff_t>(count);
    taken.assign(std::make_move_iterator(queue.begin()), std::make_move_iterator(end));
    queue.erase(queue.begin(), end);
    return taken;
}

void Outbox::send(Lane lane, Queue items) {
    protocol::BatchRequest batch;
    batch.items = std::move(items);
    stamp_(batch);
    auto in_flight = std::make_shared<InFlight>();
    // A work item is answered at the latest at its transaction's deadline; the margin lets the
    // participant's own answer about that win over our giving up.
    std::chrono::milliseconds deadline = options_.decision_deadline;
    for (const protocol::Item& item : batch.items) {
        if (lane == Lane::work) {
            deadline = std::max(deadline, std::chrono::milliseconds(item.deadline_ms + 5'000));
        }
        in_flight->open.insert_or_assign({item.key, item.op}, item);
    }
    if (lane == Lane::decisions) TWOFOLD_CRASH_POINT(coord_before_commit_sent);
    if (lane == Lane::work) TWOFOLD_CRASH_POINT(coord_before_prepare_sent);
    ++in_flight_;
    port_.send(
        batch,
        lane,
        deadline,
        [this, in_flight](protocol::ItemResult result) {
            // A line that we did not ask for, or a second one for the same item, is no answer.
            if (in_flight->open.erase({result.key, result.op}) == 0) return;
            on_result_(std::move(result));
        },
        [this, in_flight](BatchEnd end) {
            --in_flight_;
            auto open = std::move(in_flight->open);
            if (end.why.empty()) end.why = "the answer ended without a result for this branch";
            for (const auto& [key, item] : open) on_failure_(item, end);
            flush();
        });
    if (lane == Lane::decisions) TWOFOLD_CRASH_POINT(coord_after_commit_sent);
    if (lane == Lane::work) TWOFOLD_CRASH_POINT(coord_after_prepare_sent);
}

}  // namespace twofold::coordinator
