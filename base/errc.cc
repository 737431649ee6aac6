#include "base/errc.h"

#include "base/assert.h"

namespace twofold::base {

std::string_view to_string(Errc code) noexcept {
    switch (code) {
        case Errc::invalid_argument: return "invalid_argument";
        case Errc::not_found: return "not_found";
        case Errc::already_exists: return "already_exists";
        case Errc::permission_denied: return "permission_denied";
        case Errc::io_error: return "io_error";
        case Errc::disk_full: return "disk_full";
        case Errc::corrupt: return "corrupt";
        case Errc::unsupported_version: return "unsupported_version";
        case Errc::locked: return "locked";
        case Errc::unavailable: return "unavailable";
        case Errc::timed_out: return "timed_out";
        case Errc::protocol_violation: return "protocol_violation";
        case Errc::limit_exceeded: return "limit_exceeded";
        case Errc::cancelled: return "cancelled";
        case Errc::precondition_failed: return "precondition_failed";
    }
    TWOFOLD_UNREACHABLE("unknown Errc");
}

}  // namespace twofold::base
