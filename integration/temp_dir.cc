#include "integration/temp_dir.h"

#include "base/rng.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace twofold::integration {

namespace {

constexpr std::uint16_t kFirstPort = 20'000;
constexpr std::uint16_t kPortCount = 12'000;

bool can_bind(std::uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    // The sockets interface is made of casts between address types.
    bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(fd);
    return bound;
}

}  // namespace

base::Result<TempDir> TempDir::create(std::string_view prefix) {
    const char* parent = std::getenv("TMPDIR");
    std::string path = std::string(parent != nullptr && *parent != '\0' ? parent : "/tmp") + "/" +
                       std::string(prefix) + "-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) {
        return base::fail(base::Errc::io_error, path + ": " + std::strerror(errno));
    }
    TempDir dir;
    dir.path_ = std::move(path);
    return dir;
}

TempDir::~TempDir() { remove(); }

TempDir::TempDir(TempDir&& other) noexcept
    : path_(std::exchange(other.path_, {})), keep_(other.keep_) {}

TempDir& TempDir::operator=(TempDir&& other) noexcept {
    if (this != &other) {
        remove();
        path_ = std::exchange(other.path_, {});
        keep_ = other.keep_;
    }
    return *this;
}

void TempDir::remove() noexcept {
    if (path_.empty()) return;
    if (keep_ || std::getenv("TWOFOLD_KEEP_TEMP") != nullptr) {
        std::fprintf(stderr, "kept: %s\n", path_.c_str());
        return;
    }
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::uint16_t free_port() {
    static std::set<std::uint16_t> given;  // two servers of one test never get the same
    for (int attempt = 0; attempt < 1000; ++attempt) {
        auto random = base::random_bytes<2>();
        auto offset = static_cast<unsigned>((random[0] << 8U) | random[1]);
        auto port = static_cast<std::uint16_t>(kFirstPort + offset % kPortCount);
        if (!given.contains(port) && can_bind(port)) {
            given.insert(port);
            return port;
        }
    }
    return 0;
}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

void write_file(const std::string& path, std::string_view text) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text;
}

}  // namespace twofold::integration
