// What an SQLite result code allows to be answered: one row per code, as data. A definite answer
// comes from this table only; codes that are not in it end the process when a COMMIT returned them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace twofold::participant::sqlite {

enum class Consequence : std::uint8_t {
    success,      // not an error
    definite_no,  // nothing of the transaction is or will be in the file
    unknown,      // nothing is in the file now; do not promise that to others, try again
    must_exit,  // the file may or may not have it after a restart: end the process, answer nothing
};

struct ErrorClass {
    int code;                   // extended result code
    std::string_view name;      // "SQLITE_BUSY_SNAPSHOT"
    Consequence before_commit;  // returned by anything but COMMIT
    Consequence at_commit;      // returned by COMMIT
    std::string_view reason;    // code of a refusal, one of protocol::reason::k…
};

// All rows, sorted by code.
[[nodiscard]] std::span<const ErrorClass> error_classes();

// The row of the code; else that of its primary code; else one that ends the process at COMMIT.
[[nodiscard]] const ErrorClass& error_class(int code);

}  // namespace twofold::participant::sqlite
