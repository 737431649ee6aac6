#include "async/task_group.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>

#include <list>
#include <utility>

namespace twofold::async {

// Shared with the tasks' ends: they may come after the group is gone.
struct TaskGroup::Impl {
    explicit Impl(boost::asio::any_io_executor e) : executor(std::move(e)) {}

    void tell_if_empty() {
        if (signals.empty() && on_empty) {
            boost::asio::post(executor, std::move(on_empty));
            on_empty = nullptr;
        }
    }

    boost::asio::any_io_executor executor;
    std::list<boost::asio::cancellation_signal> signals;  // one for each task
    UniqueFunction<void()> on_empty;
    bool cancelled = false;
};

TaskGroup::TaskGroup(boost::asio::any_io_executor executor)
    : impl_(std::make_shared<Impl>(std::move(executor))) {}

TaskGroup::~TaskGroup() {
    impl_->on_empty = nullptr;
    cancel();
}

void TaskGroup::spawn(std::string_view name,
                      OnEscape on_escape,
                      boost::asio::awaitable<void> task) {
    if (impl_->cancelled) {
        return;
    }
    const auto place = impl_->signals.emplace(impl_->signals.end());
    spawn_cancellable(
        impl_->executor, name, on_escape, std::move(task), *place, [impl = impl_, place] {
            impl->signals.erase(place);
            impl->tell_if_empty();
        });
}

void TaskGroup::cancel() {
    impl_->cancelled = true;
    // Cancelling a task can end it inside of emit(), which removes its signal from the list.
    for (auto next = impl_->signals.begin(); next != impl_->signals.end();) {
        const auto current = next++;
        current->emit(boost::asio::cancellation_type::terminal);
    }
}

void TaskGroup::on_empty(UniqueFunction<void()> callback) {
    impl_->on_empty = std::move(callback);
    impl_->tell_if_empty();
}

std::size_t TaskGroup::size() const noexcept { return impl_->signals.size(); }

}  // namespace twofold::async
