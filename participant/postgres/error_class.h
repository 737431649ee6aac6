// What an SQLSTATE allows to be answered: one row per code or class of codes, as data. A definite
// answer comes from this table only; whatever is not in it is unknown.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace twofold::participant::postgres {

enum class Meaning : std::uint8_t {
    definite_no,  // the transaction is rolled back: nothing of it is or will be in the database
    gone,         // finishing: there is no such prepared transaction; proves nothing by itself
    retry,        // nothing was decided; the same request may succeed soon
    unknown,      // nothing may be concluded
};

struct ErrorClass {
    std::string_view code;    // five characters, or two for the rest of a class
    Meaning at_work;          // a statement of the branch
    Meaning at_end;           // PREPARE TRANSACTION, or COMMIT of a one-phase branch
    Meaning at_finish;        // COMMIT PREPARED, ROLLBACK PREPARED
    std::string_view reason;  // of a definite no; one of protocol::reason::k…
};

// All rows, sorted by code.
[[nodiscard]] std::span<const ErrorClass> error_classes();

// The row of the code; else that of its class; else one that is unknown everywhere.
[[nodiscard]] const ErrorClass& error_class(std::string_view sqlstate);

}  // namespace twofold::participant::postgres
