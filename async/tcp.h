// The TCP types of the house: bound to the loop's own executor, which is cheaper per operation than
// the type-erased default. Heavy: only for .cc files, and for headers that only such files include.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/basic_resolver.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <fcntl.h>

namespace twofold::async {

using Tcp = boost::asio::ip::tcp;
using TcpSocket = boost::asio::basic_stream_socket<Tcp, boost::asio::io_context::executor_type>;
using TcpAcceptor = boost::asio::basic_socket_acceptor<Tcp, boost::asio::io_context::executor_type>;
using TcpResolver = boost::asio::ip::basic_resolver<Tcp, boost::asio::io_context::executor_type>;

// Asio opens sockets without it. A program that we start, or that a library starts for us, must not
// keep our port or our peers' connections open.
inline void set_close_on_exec(int descriptor) noexcept {
    static_cast<void>(::fcntl(descriptor, F_SETFD, FD_CLOEXEC));
}

}  // namespace twofold::async
