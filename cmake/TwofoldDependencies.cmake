# Every library that is not ours. tools/packages.txt has the Debian packages that bring them.
# Their include directories are system directories, so that our warnings do not look into them.
include_guard(GLOBAL)

set(CMAKE_THREAD_PREFER_PTHREAD ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)  # Boost::headers, Boost::json, Boost::url
find_package(OpenSSL REQUIRED)                         # OpenSSL::SSL, OpenSSL::Crypto
find_package(PostgreSQL REQUIRED)                      # PostgreSQL::PostgreSQL (libpq)
find_package(SQLite3 REQUIRED)                         # SQLite::SQLite3
find_package(yaml-cpp REQUIRED)                        # yaml-cpp
find_package(spdlog REQUIRED)                          # spdlog::spdlog (compiled mode)
find_package(prometheus-cpp REQUIRED COMPONENTS core)  # prometheus-cpp::core
find_package(CLI11 REQUIRED)                           # CLI11::CLI11
find_package(GTest REQUIRED)                           # GTest::gtest, GTest::gmock
find_package(benchmark REQUIRED)                       # benchmark::benchmark

# Settings of Asio and Beast that must be the same in every file of a program: mixed settings break the one-definition
# rule. `async` lists asio_options in its DEPS and `http` lists beast_options; everybody else inherits them from there.
#   async/asio_impl.cc  includes <boost/asio/impl/src.hpp> (and <boost/asio/ssl/impl/src.hpp>), once in the program
#   http/beast_impl.cc  includes <boost/beast/src.hpp>, once in the program
add_library(twofold_asio_options INTERFACE)
add_library(twofold::asio_options ALIAS twofold_asio_options)
target_compile_definitions(twofold_asio_options INTERFACE
    BOOST_ASIO_SEPARATE_COMPILATION
    BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(twofold_asio_options INTERFACE Boost::headers Threads::Threads)

add_library(twofold_beast_options INTERFACE)
add_library(twofold::beast_options ALIAS twofold_beast_options)
target_compile_definitions(twofold_beast_options INTERFACE BOOST_BEAST_SEPARATE_COMPILATION)
target_link_libraries(twofold_beast_options INTERFACE twofold::asio_options)
