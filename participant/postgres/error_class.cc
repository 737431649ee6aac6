#include "participant/postgres/error_class.h"

#include "protocol/messages.h"

#include <algorithm>
#include <array>

namespace twofold::participant::postgres {

namespace {

namespace reason = protocol::reason;

constexpr Meaning kNo = Meaning::definite_no;
constexpr Meaning kRetry = Meaning::retry;
constexpr Meaning kUnknown = Meaning::unknown;

// At the end of a branch fewer codes are definite than during its work: an error of a statement
// makes the server skip PREPARE, an error of PREPARE itself may come from any place inside of it.
constexpr std::array kClasses = std::to_array<ErrorClass>({
    // connection exceptions
    {"08", kUnknown, kUnknown, kUnknown, ""},
    // triggered action exception
    {"09", kNo, kUnknown, kUnknown, reason::kStatementFailed},
    // feature not supported; at PREPARE: temporary objects, LISTEN or NOTIFY, foreign tables; at
    // COMMIT PREPARED: we are in another database than the one that prepared
    {"0A000", kNo, kNo, kUnknown, reason::kNotAllowed},
    {"20", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // case not found
    {"21", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // cardinality violation
    {"22", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // data exception
    {"22023", kNo, kNo, kUnknown, reason::kStatementFailed},    // at PREPARE: identifier too long
    {"23", kNo, kNo, kUnknown, reason::kConstraint},            // integrity constraint violation
    {"24", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // invalid cursor state
    {"25", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // invalid transaction state
    {"25P02", kNo, kNo, kUnknown, reason::kStatementFailed},    // the transaction has failed before
    {"25P03", kUnknown, kUnknown, kUnknown, ""},  // idle in transaction: session ended
    {"27", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // triggered data change violation
    {"28", kUnknown, kUnknown, kUnknown, ""},                   // invalid authorization: log-in
    {"2B", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // dependent objects
    {"2D", kNo, kUnknown, kUnknown, reason::kNotAllowed},       // COMMIT inside of a function
    {"2F", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // SQL routine exception
    {"34", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // invalid cursor name
    {"38", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // external routine exception
    {"39", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // external routine invocation
    {"3B", kNo, kUnknown, kUnknown, reason::kNotAllowed},       // savepoint exception
    {"3D", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // invalid catalog name
    {"3F", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // invalid schema name
    {"40", kUnknown, kUnknown, kUnknown, ""},                   // 40003: completion unknown
    {"40001", kNo, kNo, kRetry, reason::kSerialization},
    {"40002", kNo, kNo, kUnknown, reason::kConstraint},
    {"40P01", kNo, kNo, kRetry, reason::kDeadlock},
    {"42", kNo, kUnknown, kUnknown, reason::kStatementFailed},  // syntax error or access rule
    {"42501", kNo, kUnknown, kUnknown, reason::kNotAllowed},  // finishing: another role prepared it
    {"42704", kNo, kUnknown, Meaning::gone, reason::kStatementFailed},  // undefined object
    // duplicate object; at PREPARE this gid is prepared already: "nothing is left" would be a lie
    {"42710", kNo, kUnknown, kUnknown, reason::kStatementFailed},
    {"44", kNo, kUnknown, kUnknown, reason::kConstraint},  // WITH CHECK OPTION
    // insufficient resources
    {"53", kNo, kUnknown, kRetry, reason::kUnavailable},
    // out of memory; at PREPARE: max_prepared_transactions are in use
    {"53200", kNo, kNo, kRetry, reason::kUnavailable},
    {"53300", kUnknown, kUnknown, kRetry, ""},                    // too many connections: log-in
    {"54", kNo, kUnknown, kUnknown, reason::kStatementFailed},    // program limit exceeded
    {"55", kNo, kUnknown, kUnknown, reason::kStatementFailed},    // object not in required state
    {"55000", kNo, kNo, kRetry, reason::kStatementFailed},        // finishing: the gid is busy
    {"55P03", kNo, kUnknown, kRetry, reason::kLockTimeout},       // lock not available
    {"57", kUnknown, kUnknown, kRetry, ""},                       // operator intervention
    {"57014", kNo, kUnknown, kRetry, reason::kStatementTimeout},  // query cancelled
    {"58", kUnknown, kUnknown, kRetry, ""},                       // system error
    {"72", kNo, kUnknown, kUnknown, reason::kStatementFailed},    // snapshot too old
    {"F0", kUnknown, kUnknown, kUnknown, ""},                     // configuration file error
    {"HV", kNo, kUnknown, kUnknown, reason::kStatementFailed},    // foreign data wrapper
    {"P0", kNo, kUnknown, kUnknown, reason::kStatementFailed},    // PL/pgSQL: RAISE
    {"XX", kUnknown, kUnknown, kUnknown, ""},                     // internal error
});

constexpr ErrorClass kEverythingElse{"", kUnknown, kUnknown, kUnknown, ""};

const ErrorClass* find(std::string_view code) {
    auto found = std::ranges::lower_bound(kClasses, code, {}, &ErrorClass::code);
    return found != kClasses.end() && found->code == code ? &*found : nullptr;
}

}  // namespace

std::span<const ErrorClass> error_classes() { return kClasses; }

const ErrorClass& error_class(std::string_view sqlstate) {
    if (const ErrorClass* exact = find(sqlstate)) return *exact;
    if (sqlstate.size() == 5) {
        if (const ErrorClass* whole = find(sqlstate.substr(0, 2))) return *whole;
    }
    return kEverythingElse;
}

}  // namespace twofold::participant::postgres
