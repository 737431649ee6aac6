#include "async/deadline.h"

#include "base/assert.h"

#include <algorithm>
#include <utility>

namespace twofold::async {

Deadline::Deadline(DeadlineQueue& queue, UniqueFunction<void()> on_expired)
    : queue_(queue), on_expired_(std::move(on_expired)) {}

Deadline::~Deadline() {
    disarm();
    if (queue_.firing_ == this) {
        queue_.firing_ = nullptr;
    }
}

void Deadline::arm(TimePoint when) {
    if (when == TimePoint::max()) {
        disarm();
        return;
    }
    when_ = when;
    if (!armed_) {
        queue_.link(*this);
    }
    if (when < queue_.wake_at_) {
        queue_.wake_by(when);
    }
}

void Deadline::disarm() noexcept {
    if (armed_) {
        queue_.unlink(*this);
    }
}

DeadlineQueue::DeadlineQueue(EventLoop& loop, std::chrono::milliseconds resolution)
    : timer_(loop), resolution_(resolution) {}

DeadlineQueue::~DeadlineQueue() {
    TWOFOLD_ASSERT(first_ == nullptr, "a deadline outlives its queue");
    if (alive_ != nullptr) {
        *alive_ = false;
    }
}

void DeadlineQueue::link(Deadline& deadline) noexcept {
    deadline.armed_ = true;
    deadline.previous_ = nullptr;
    deadline.next_ = first_;
    if (first_ != nullptr) {
        first_->previous_ = &deadline;
    }
    first_ = &deadline;
}

void DeadlineQueue::unlink(Deadline& deadline) noexcept {
    deadline.armed_ = false;
    if (cursor_ == &deadline) {
        cursor_ = deadline.next_;
    }
    (deadline.previous_ != nullptr ? deadline.previous_->next_ : first_) = deadline.next_;
    if (deadline.next_ != nullptr) {
        deadline.next_->previous_ = deadline.previous_;
    }
}

void DeadlineQueue::wake_by(Deadline::TimePoint when) {
    // Never sooner after the last scan than the resolution: a scan looks at every armed deadline.
    const auto wake_at = std::max(when, last_scan_ + resolution_);
    if (wake_at >= wake_at_) {
        return;
    }
    wake_at_ = wake_at;
    timer_.start_at(wake_at, [this] { scan(); });
}

void DeadlineQueue::scan() {
    wake_at_ = Deadline::TimePoint::max();
    const auto now = std::chrono::steady_clock::now();
    last_scan_ = now;
    bool alive = true;
    alive_ = &alive;
    cursor_ = first_;
    auto earliest = Deadline::TimePoint::max();
    while (cursor_ != nullptr) {
        Deadline& deadline = *cursor_;
        cursor_ = deadline.next_;
        if (deadline.when_ > now) {
            earliest = std::min(earliest, deadline.when_);
            continue;
        }
        unlink(deadline);
        // The callback may destroy the deadline, and with it the function that is running.
        firing_ = &deadline;
        auto on_expired = std::move(deadline.on_expired_);
        on_expired();
        if (!alive) {
            return;
        }
        if (firing_ == &deadline) {
            deadline.on_expired_ = std::move(on_expired);
            firing_ = nullptr;
        }
    }
    alive_ = nullptr;
    // Deadlines armed meanwhile have asked for their wake-up themselves.
    if (earliest != Deadline::TimePoint::max()) {
        wake_by(earliest);
    }
}

}  // namespace twofold::async
