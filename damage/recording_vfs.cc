#include "damage/recording_vfs.h"

#include "base/assert.h"

#include <sqlite3.h>

#include <string_view>

namespace twofold::damage {

namespace {

struct Recorder {
    std::string folder;
    DiskHistory* history = nullptr;
};

// The VFS has no other way to know.
Recorder& recorder() {
    static Recorder current;
    return current;
}

sqlite3_vfs* real() {
    static sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
    return vfs;
}

// SQLite allocates szOsFile bytes: this header, then the real file.
struct File {
    sqlite3_file base;
    DiskHistory* history;  // null: not recorded
    DiskHistory::Inode inode;
    bool folder_is_due;  // the next force is one of the folder too
    sqlite3_file* inner() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

File* of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* in(sqlite3_file* file) { return of(file)->inner(); }
const sqlite3_io_methods* m(sqlite3_file* file) { return in(file)->pMethods; }

// The name within the folder; empty: not one of it.
std::string name_of(const char* path) {
    if (path == nullptr || recorder().history == nullptr) return {};
    std::string_view text(path);
    std::string prefix = recorder().folder + "/";
    if (!text.starts_with(prefix)) return {};
    return std::string(text.substr(prefix.size()));
}

int x_close(sqlite3_file* f) { return m(f)->xClose(in(f)); }
int x_read(sqlite3_file* f, void* p, int n, sqlite3_int64 at) {
    return m(f)->xRead(in(f), p, n, at);
}
int x_write(sqlite3_file* f, const void* p, int n, sqlite3_int64 at) {
    int code = m(f)->xWrite(in(f), p, n, at);
    if (code == SQLITE_OK && of(f)->history != nullptr) {
        base::ByteSpan bytes(static_cast<const std::uint8_t*>(p), static_cast<std::size_t>(n));
        of(f)->history->write(of(f)->inode, static_cast<std::uint64_t>(at), bytes);
    }
    return code;
}
int x_truncate(sqlite3_file* f, sqlite3_int64 size) {
    int code = m(f)->xTruncate(in(f), size);
    if (code == SQLITE_OK && of(f)->history != nullptr) {
        of(f)->history->truncate(of(f)->inode, static_cast<std::uint64_t>(size));
    }
    return code;
}
int x_sync(sqlite3_file* f, int flags) {
    int code = m(f)->xSync(in(f), flags);
    if (code != SQLITE_OK || of(f)->history == nullptr) return code;
    of(f)->history->force(of(f)->inode);
    if (of(f)->folder_is_due) of(f)->history->force_directory();
    of(f)->folder_is_due = false;
    return code;
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
    return m(f)->xShmLock(in(f), offset, n, flags);
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

int x_open(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out) {
    File& opened = *of(file);
    opened.base.pMethods = nullptr;
    opened.history = nullptr;
    opened.folder_is_due = false;
    int code = real()->xOpen(real(), path, in(file), flags, out);
    if (in(file)->pMethods != nullptr) opened.base.pMethods = &kMethods;
    std::string name = name_of(path);
    if (code != SQLITE_OK || name.empty()) return code;
    DiskHistory& history = *recorder().history;
    opened.history = &history;
    opened.inode = history.has(name) ? history.find(name) : history.create(name);
    constexpr int kForcesFolder =
        SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL;
    opened.folder_is_due = (flags & kForcesFolder) != 0 && (flags & SQLITE_OPEN_CREATE) != 0;
    return code;
}

int x_delete(sqlite3_vfs*, const char* path, int force_folder) {
    int code = real()->xDelete(real(), path, force_folder);
    std::string name = name_of(path);
    if (code != SQLITE_OK || name.empty() || !recorder().history->has(name)) return code;
    recorder().history->remove(name);
    if (force_folder != 0) recorder().history->force_directory();
    return code;
}

}  // namespace

VfsRecording::VfsRecording(const std::string& folder, DiskHistory& history) {
    TWOFOLD_ASSERT(recorder().history == nullptr, "one recording at a time");
    recorder() = {.folder = folder, .history = &history};
}

VfsRecording::~VfsRecording() { recorder() = {}; }

std::string VfsRecording::vfs_name() {
    static sqlite3_vfs vfs = *real();
    static bool registered = false;
    if (!registered) {
        vfs.zName = "twofold-recording";
        vfs.szOsFile = real()->szOsFile + static_cast<int>(sizeof(File));
        vfs.xOpen = x_open;
        vfs.xDelete = x_delete;
        vfs.pNext = nullptr;
        sqlite3_vfs_register(&vfs, 0);
        registered = true;
    }
    return "twofold-recording";
}

}  // namespace twofold::damage
