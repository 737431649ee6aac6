// Waits until a file descriptor that belongs to somebody else (PQsocket) is readable or writable.
// It watches a duplicate: whatever the owner does with its descriptor, be it closing it or getting
// another socket under the same number, this object never touches a stranger's registration and
// never closes the owner's. The duplicate keeps the connection open, so release() before the owner
// closes for good. Thread: the loop's. Callbacks run on the loop, never inside the wait_ calls.
#pragma once

#include "async/event_loop.h"
#include "async/unique_function.h"
#include "base/result.h"

#include <memory>

namespace twofold::async {

class FdWatch {
public:
    using Callback = UniqueFunction<void()>;

    explicit FdWatch(EventLoop& loop);
    ~FdWatch();  // releases
    FdWatch(FdWatch&&) noexcept;
    FdWatch& operator=(FdWatch&&) noexcept;

    // Watches `fd` from now on. The same open socket again: nothing happens. Another socket (also
    // one with the same number): waits on the old one are cancelled. While libpq connects, call it
    // after each PQconnectPoll. Errors: invalid_argument (not open, not pollable), limit_exceeded
    // (no descriptors left).
    [[nodiscard]] base::Result<void> watch(int fd);

    // Calls back once when the descriptor is ready or in error (the owner's next call tells which).
    // At most one wait of each direction: another one replaces it.
    void wait_readable(Callback on_ready);
    void wait_writable(Callback on_ready);

    // On return no callback of an earlier wait will run.
    void cancel() noexcept;

    // cancel(), then forgets the descriptor.
    void release() noexcept;

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace twofold::async
