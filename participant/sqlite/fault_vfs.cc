#include "participant/sqlite/fault_vfs.h"

#include <sqlite3.h>

#include <cstring>
#include <utility>

namespace twofold::participant::sqlite::test {

namespace {

sqlite3_vfs* real() {
    static sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
    return vfs;
}

// SQLite allocates szOsFile bytes: this header, then the real file.
struct File {
    sqlite3_file base;
    bool is_log;
    sqlite3_file* inner() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* in(sqlite3_file* file) { return of(file)->inner(); }
const sqlite3_io_methods* m(sqlite3_file* file) { return in(file)->pMethods; }

int x_close(sqlite3_file* f) { return m(f)->xClose(in(f)); }
int x_read(sqlite3_file* f, void* p, int n, sqlite3_int64 at) {
    return m(f)->xRead(in(f), p, n, at);
}
int x_write(sqlite3_file* f, const void* p, int n, sqlite3_int64 at) {
    if (of(f)->is_log && fault_plan().fail_log_write) return SQLITE_FULL;
    if (of(f)->is_log && fault_plan().fail_log_write_io) return SQLITE_IOERR_WRITE;
    return m(f)->xWrite(in(f), p, n, at);
}
int x_truncate(sqlite3_file* f, sqlite3_int64 size) { return m(f)->xTruncate(in(f), size); }
int x_sync(sqlite3_file* f, int flags) {
    if (of(f)->is_log) ++fault_plan().log_syncs;
    if (of(f)->is_log && fault_plan().fail_log_sync) return SQLITE_IOERR_FSYNC;
    return m(f)->xSync(in(f), flags);
}
int x_size(sqlite3_file* f, sqlite3_int64* size) { return m(f)->xFileSize(in(f), size); }
int x_lock(sqlite3_file* f, int level) { return m(f)->xLock(in(f), level); }
int x_unlock(sqlite3_file* f, int level) { return m(f)->xUnlock(in(f), level); }
int x_reserved(sqlite3_file* f, int* out) { return m(f)->xCheckReservedLock(in(f), out); }
int x_control(sqlite3_file* f, int op, void* arg) { return m(f)->xFileControl(in(f), op, arg); }
int x_sector(sqlite3_file* f) { return m(f)->xSectorSize(in(f)); }
int x_device(sqlite3_file* f) { return m(f)->xDeviceCharacteristics(in(f)); }
int x_map(sqlite3_file* f, int page, int size, int extend, void volatile** out) {
    return m(f)->xShmMap(in(f), page, size, extend, out);
}
int x_shm_lock(sqlite3_file* f, int offset, int n, int flags) {
    constexpr int kWriteLock = 0;
    int code = m(f)->xShmLock(in(f), offset, n, flags);
    bool write_unlock =
        offset == kWriteLock && n == 1 && flags == (SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
    if (write_unlock && fault_plan().on_write_unlock) {
        std::exchange(fault_plan().on_write_unlock, nullptr)();
    }
    return code;
}
void x_barrier(sqlite3_file* f) { m(f)->xShmBarrier(in(f)); }
int x_unmap(sqlite3_file* f, int remove) { return m(f)->xShmUnmap(in(f), remove); }

const sqlite3_io_methods kMethods = {2,
                                     x_close,
                                     x_read,
                                     x_write,
                                     x_truncate,
                                     x_sync,
                                     x_size,
                                     x_lock,
                                     x_unlock,
                                     x_reserved,
                                     x_control,
                                     x_sector,
                                     x_device,
                                     x_map,
                                     x_shm_lock,
                                     x_barrier,
                                     x_unmap,
                                     nullptr,
                                     nullptr};

int x_open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
    of(file)->base.pMethods = nullptr;
    of(file)->is_log = (flags & SQLITE_OPEN_WAL) != 0;
    int code = real()->xOpen(real(), name, in(file), flags, out);
    if (in(file)->pMethods != nullptr) of(file)->base.pMethods = &kMethods;
    return code;
}

}  // namespace

FaultPlan& fault_plan() {
    static FaultPlan plan;
    return plan;
}

std::string fault_vfs() {
    static sqlite3_vfs vfs = *real();
    static bool registered = false;
    if (!registered) {
        vfs.zName = "twofold-fault";
        vfs.szOsFile = real()->szOsFile + static_cast<int>(sizeof(File));
        vfs.xOpen = x_open;
        vfs.pNext = nullptr;
        sqlite3_vfs_register(&vfs, 0);
        registered = true;
    }
    return "twofold-fault";
}

}  // namespace twofold::participant::sqlite::test
