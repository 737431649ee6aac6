// The TCP types of the house: bound to the loop's own executor, which is cheaper per operation than
// the type-erased default. Heavy: only for .cc files, and for headers that only such files include.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/basic_resolver.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace twofold::async {

using Tcp = boost::asio::ip::tcp;
using TcpSocket = boost::asio::basic_stream_socket<Tcp, boost::asio::io_context::executor_type>;
using TcpAcceptor = boost::asio::basic_socket_acceptor<Tcp, boost::asio::io_context::executor_type>;
using TcpResolver = boost::asio::ip::basic_resolver<Tcp, boost::asio::io_context::executor_type>;

}  // namespace twofold::async
