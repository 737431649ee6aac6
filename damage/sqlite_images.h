// Power cuts of SQLite while the real store prepares, commits and aborts branches: what SQLite does
// to its files is recorded, and the real store is opened on every state of the disk.
#pragma once

#include "damage/image_report.h"

namespace twofold::damage {

[[nodiscard]] ImageReport sqlite_images(const ImageOptions& options);

}  // namespace twofold::damage
