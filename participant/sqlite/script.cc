#include "participant/sqlite/script.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace twofold::participant::sqlite {

base::Result<void> create_from_script(const std::string& path, const std::string& script) {
    int file = ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0 && errno == EEXIST) return base::ok();
    if (file < 0) {
        return base::fail(base::Errc::io_error,
                          path + ": cannot be created: " + std::strerror(errno));
    }
    ::close(file);
    sqlite3* raw = nullptr;
    int code = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE, nullptr);
    std::unique_ptr<sqlite3, int (*)(sqlite3*)> database(raw, &sqlite3_close);
    if (code == SQLITE_OK) code = sqlite3_exec(raw, script.c_str(), nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return base::ok();
    return base::fail(base::Errc::io_error, path + ": " + sqlite3_errmsg(raw));
}

}  // namespace twofold::participant::sqlite
