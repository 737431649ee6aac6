// A directory of our own that goes away with its owner, and ports that nobody listens on.
#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace twofold::integration {

// Mode 0700, below $TMPDIR or /tmp. Removed with everything in it, unless keep() was called or
// TWOFOLD_KEEP_TEMP is set (then its path is printed).
class TempDir {
public:
    [[nodiscard]] static base::Result<TempDir> create(std::string_view prefix);
    TempDir() = default;  // no directory
    ~TempDir();
    TempDir(TempDir&& other) noexcept;
    TempDir& operator=(TempDir&& other) noexcept;
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }
    void keep() { keep_ = true; }

private:
    void remove() noexcept;

    std::string path_;
    bool keep_ = false;
};

// A TCP port of the loopback interface that was free a moment ago, outside of the range from which
// the system picks ports for outgoing connections: nobody takes it by accident while we restart a
// server. 0 when there is none.
[[nodiscard]] std::uint16_t free_port();

[[nodiscard]] std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view text);

}  // namespace twofold::integration
