// Error codes of operating failures (not of protocol outcomes: those are values of their own).
// One meaning per enumerator; the names are stable because they appear in logs and tests.
#pragma once

#include <cstdint>
#include <string_view>

namespace twofold::base {

enum class Errc : std::uint8_t {
    invalid_argument,     // the caller's input is malformed; context names the field and the fix
    not_found,            // the named thing does not exist
    already_exists,       // a thing of that name exists and is different
    permission_denied,    // the operating system or a peer refused for lack of rights
    io_error,             // a read, write or force failed; the state on the medium is unknown
    disk_full,            // ENOSPC or EDQUOT; nothing was written partially that counts
    corrupt,              // stored bytes are damaged in a way that no crash explains
    unsupported_version,  // the format is newer than this program
    locked,               // another process owns the resource; context names the holder
    unavailable,          // the peer cannot be reached; nothing was sent
    timed_out,            // no answer in time; whether the peer acted is unknown
    protocol_violation,   // the peer answered something that the protocol forbids
    limit_exceeded,       // a stated limit (size, depth, count) was exceeded
    cancelled,            // the operation was cancelled by our own shutdown
    precondition_failed,  // the environment is not as required; context says which setting to
                          // change
};

// The stable lower-case name, for example "disk_full".
[[nodiscard]] std::string_view to_string(Errc code) noexcept;

}  // namespace twofold::base
