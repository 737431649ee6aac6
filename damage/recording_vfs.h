// A SQLite VFS over the system's that writes down what SQLite does to the files of one folder, in a
// history. SQLite itself is the library as it is.
//
// The system's VFS forces the folder by itself where nobody sees it: with the first force of a
// journal or log by each connection that may create it, and with a deletion when told. Both are
// written down here.
#pragma once

#include "damage/disk_history.h"

#include <string>

namespace twofold::damage {

// While it lives, files in `folder` that SQLite opens through the VFS vfs_name() are recorded. One
// at a time; the connections must be closed before it goes. The history must outlive it and begin
// with what the folder holds.
class VfsRecording {
public:
    VfsRecording(const std::string& folder, DiskHistory& history);
    ~VfsRecording();
    VfsRecording(const VfsRecording&) = delete;
    VfsRecording& operator=(const VfsRecording&) = delete;

    [[nodiscard]] static std::string vfs_name();
};

}  // namespace twofold::damage
