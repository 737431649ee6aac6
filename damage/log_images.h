// Power cuts of the log writer: a script of everything that it does is recorded, and the real
// recovery reads, starts and reads again on every state of the disk.
#pragma once

#include "damage/image_report.h"

namespace twofold::damage {

[[nodiscard]] ImageReport log_images(const ImageOptions& options);

}  // namespace twofold::damage
