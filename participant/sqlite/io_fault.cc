#include "participant/sqlite/io_fault.h"

#if defined(TWOFOLD_CRASH_POINTS)

#include "base/assert.h"
#include "base/crash_point.h"

#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>

namespace twofold::participant::sqlite {

namespace {

// Which of them SQLite uses depends on how it was built.
ssize_t faulty_pwrite(int file, const void* bytes, std::size_t size, off_t offset) {
    if (int error = TWOFOLD_IO_ERROR(); error != 0) {
        errno = error;
        return -1;
    }
    return ::pwrite(file, bytes, TWOFOLD_IO_SIZE(size), offset);
}

ssize_t faulty_write(int file, const void* bytes, std::size_t size) {
    if (int error = TWOFOLD_IO_ERROR(); error != 0) {
        errno = error;
        return -1;
    }
    return ::write(file, bytes, TWOFOLD_IO_SIZE(size));
}

template <class Call>
void replace(sqlite3_vfs& vfs, const char* name, Call call) {
    // A call that this build of SQLite does not use is refused, and then not needed.
    static_cast<void>(vfs.xSetSystemCall(&vfs, name, reinterpret_cast<sqlite3_syscall_ptr>(call)));
}

bool install() {
    sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
    TWOFOLD_ASSERT(vfs != nullptr && vfs->iVersion >= 3, "SQLite has no VFS with system calls");
    static_assert(sizeof(off_t) == 8, "pwrite and pwrite64 are the same");
    replace(*vfs, "pwrite", &faulty_pwrite);
    replace(*vfs, "pwrite64", &faulty_pwrite);
    replace(*vfs, "write", &faulty_write);
    return true;
}

}  // namespace

void install_io_faults() {
    static const bool installed = install();
    static_cast<void>(installed);
}

}  // namespace twofold::participant::sqlite

#else

namespace twofold::participant::sqlite {

void install_io_faults() {}

}  // namespace twofold::participant::sqlite

#endif
