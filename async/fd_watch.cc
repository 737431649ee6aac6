#include "async/fd_watch.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/system/error_code.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

namespace twofold::async {

namespace {

using Descriptor =
    boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

base::Error refuse(int fd, int error) {
    const auto code = error == EMFILE || error == ENFILE ? base::Errc::limit_exceeded
                                                         : base::Errc::invalid_argument;
    return base::fail(code,
                      "file descriptor " + std::to_string(fd) +
                          " cannot be watched: " + std::generic_category().message(error));
}

}  // namespace

struct FdWatch::Impl {
    explicit Impl(EventLoop& loop) : descriptor(loop.context()) {}

    struct Wait {
        Callback on_ready;
        std::uint64_t generation = 0;  // of the Asio wait that may still call back
        bool pending = false;          // that wait is under way
    };

    void forget_waits() noexcept {
        for (Wait* wait : {&readable, &writable}) {
            ++wait->generation;
            wait->pending = false;
            wait->on_ready = nullptr;
        }
    }

    Descriptor descriptor;  // our duplicate
    dev_t device = 0;       // which open socket it is: numbers are used again, these are not
    ino_t inode = 0;
    Wait readable;
    Wait writable;
};

FdWatch::FdWatch(EventLoop& loop) : impl_(std::make_shared<Impl>(loop)) {}

FdWatch::~FdWatch() {
    if (impl_ != nullptr) {
        release();
    }
}

FdWatch::FdWatch(FdWatch&&) noexcept = default;

FdWatch& FdWatch::operator=(FdWatch&& other) noexcept {
    if (this != &other) {
        if (impl_ != nullptr) {
            release();
        }
        impl_ = std::move(other.impl_);
    }
    return *this;
}

base::Result<void> FdWatch::watch(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
        return refuse(fd, errno);
    }
    if (impl_->descriptor.is_open() && impl_->device == status.st_dev &&
        impl_->inode == status.st_ino) {
        return base::ok();
    }
    release();
    const int duplicate = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0) {
        return refuse(fd, errno);
    }
    boost::system::error_code error;
    impl_->descriptor.assign(duplicate, error);
    if (error) {
        ::close(duplicate);
        return refuse(fd, error.value());
    }
    impl_->device = status.st_dev;
    impl_->inode = status.st_ino;
    return base::ok();
}

namespace {

// Which wait of the state a direction is.
template <class Impl, class Wait>
void start_wait(const std::shared_ptr<Impl>& impl,
                Wait Impl::*which,
                Descriptor::wait_type type,
                FdWatch::Callback on_ready) {
    Wait& wait = (*impl).*which;
    wait.on_ready = std::move(on_ready);
    if (std::exchange(wait.pending, true)) {
        return;  // the wait that is under way calls the new callback
    }
    const std::uint64_t generation = ++wait.generation;
    impl->descriptor.async_wait(
        type,
        [weak = std::weak_ptr<Impl>(impl), which, generation](const boost::system::error_code&) {
            // An error counts as ready: the owner's next call on its descriptor names it.
            const auto self = weak.lock();
            if (self == nullptr || ((*self).*which).generation != generation) {
                return;
            }
            ((*self).*which).pending = false;
            auto ready = std::exchange(((*self).*which).on_ready, nullptr);
            ready();
        });
}

}  // namespace

void FdWatch::wait_readable(Callback on_ready) {
    start_wait(impl_, &Impl::readable, Descriptor::wait_read, std::move(on_ready));
}

void FdWatch::wait_writable(Callback on_ready) {
    start_wait(impl_, &Impl::writable, Descriptor::wait_write, std::move(on_ready));
}

void FdWatch::cancel() noexcept {
    impl_->forget_waits();
    boost::system::error_code error;
    impl_->descriptor.cancel(error);
}

void FdWatch::release() noexcept {
    impl_->forget_waits();
    boost::system::error_code error;
    impl_->descriptor.close(error);
}

}  // namespace twofold::async
