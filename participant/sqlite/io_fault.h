// In builds with crash points, SQLite's own writes fail or are cut short when one says so; in
// others nothing. What SQLite makes of an error of the system is then seen with the real VFS.
#pragma once

namespace twofold::participant::sqlite {

// For all connections of the process; only the first call does something. Before any is opened.
void install_io_faults();

}  // namespace twofold::participant::sqlite
