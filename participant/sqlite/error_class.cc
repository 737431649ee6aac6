// Why the two columns: before COMMIT nothing of the transaction can reach the file, so nearly every
// code is a definite no; the errors that put the file itself in doubt still end the process. At
// COMMIT only a few codes prove anything: SQLite returns BUSY, LOCKED, INTERRUPT and CONSTRAINT
// before it writes, and FULL while it still writes the frames of its log. Every other code can come
// after a whole commit frame was written (a failed fsync, a failed update of the index of the log):
// the process sees the old data, and a restart shows the commit.
#include "participant/sqlite/error_class.h"

#include "protocol/messages.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>

namespace twofold::participant::sqlite {

namespace {

namespace reason = protocol::reason;

constexpr Consequence kSuccess = Consequence::success;
constexpr Consequence kNo = Consequence::definite_no;
constexpr Consequence kUnknown = Consequence::unknown;
constexpr Consequence kExit = Consequence::must_exit;

#define TWOFOLD_ROW(code, before_commit, at_commit, reason) \
    { code, #code, before_commit, at_commit, reason }

// clang-format off
constexpr auto kClasses = std::to_array<ErrorClass>({
    TWOFOLD_ROW(SQLITE_OK, kSuccess, kSuccess, {}),
    TWOFOLD_ROW(SQLITE_ERROR, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_INTERNAL, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_PERM, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_ABORT, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_BUSY, kNo, kUnknown, reason::kLockTimeout),
    TWOFOLD_ROW(SQLITE_LOCKED, kNo, kUnknown, reason::kLockTimeout),
    TWOFOLD_ROW(SQLITE_NOMEM, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_READONLY, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_INTERRUPT, kNo, kUnknown, reason::kStatementTimeout),
    TWOFOLD_ROW(SQLITE_IOERR, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CORRUPT, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_NOTFOUND, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_FULL, kNo, kUnknown, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CANTOPEN, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_PROTOCOL, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_EMPTY, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_SCHEMA, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_TOOBIG, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_CONSTRAINT, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_MISMATCH, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_MISUSE, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_NOLFS, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_AUTH, kNo, kExit, reason::kNotAllowed),
    TWOFOLD_ROW(SQLITE_FORMAT, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_RANGE, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_NOTADB, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_NOTICE, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_WARNING, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_ROW, kSuccess, kSuccess, {}),
    TWOFOLD_ROW(SQLITE_DONE, kSuccess, kSuccess, {}),
    TWOFOLD_ROW(SQLITE_OK_LOAD_PERMANENTLY, kSuccess, kSuccess, {}),
    TWOFOLD_ROW(SQLITE_ERROR_MISSING_COLLSEQ, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_READONLY_RECOVERY, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_READ, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CORRUPT_VTAB, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CANTOPEN_NOTEMPDIR, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_CHECK, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_AUTH_USER, kNo, kExit, reason::kNotAllowed),
    TWOFOLD_ROW(SQLITE_NOTICE_RECOVER_WAL, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_WARNING_AUTOINDEX, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_OK_SYMLINK, kSuccess, kSuccess, {}),
    TWOFOLD_ROW(SQLITE_ERROR_RETRY, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_ABORT_ROLLBACK, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_READONLY_CANTLOCK, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_SHORT_READ, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CORRUPT_SEQUENCE, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CANTOPEN_ISDIR, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_COMMITHOOK, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_NOTICE_RECOVER_ROLLBACK, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_ERROR_SNAPSHOT, kNo, kExit, reason::kStatementFailed),
    TWOFOLD_ROW(SQLITE_READONLY_ROLLBACK, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_WRITE, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CORRUPT_INDEX, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CANTOPEN_FULLPATH, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_FOREIGNKEY, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_READONLY_DBMOVED, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_FSYNC, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CANTOPEN_CONVPATH, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_FUNCTION, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_READONLY_CANTINIT, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_DIR_FSYNC, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CANTOPEN_DIRTYWAL, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_NOTNULL, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_READONLY_DIRECTORY, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_TRUNCATE, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CANTOPEN_SYMLINK, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_PRIMARYKEY, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_IOERR_FSTAT, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_TRIGGER, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_IOERR_UNLOCK, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_UNIQUE, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_IOERR_RDLOCK, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_VTAB, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_IOERR_DELETE, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_ROWID, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_IOERR_BLOCKED, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_PINNED, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_IOERR_NOMEM, kNo, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_CONSTRAINT_DATATYPE, kNo, kNo, reason::kConstraint),
    TWOFOLD_ROW(SQLITE_IOERR_ACCESS, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_CHECKRESERVEDLOCK, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_LOCK, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_CLOSE, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_DIR_CLOSE, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_SHMOPEN, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_SHMSIZE, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_SHMLOCK, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_SHMMAP, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_SEEK, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_DELETE_NOENT, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_MMAP, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_GETTEMPPATH, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_CONVPATH, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_VNODE, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_AUTH, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_BEGIN_ATOMIC, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_COMMIT_ATOMIC, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_ROLLBACK_ATOMIC, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_DATA, kExit, kExit, reason::kUnavailable),
    TWOFOLD_ROW(SQLITE_IOERR_CORRUPTFS, kExit, kExit, reason::kUnavailable),
});
// clang-format on

#undef TWOFOLD_ROW

constexpr ErrorClass kUnlisted{-1,
                               "SQLITE_UNLISTED",
                               Consequence::definite_no,
                               Consequence::must_exit,
                               reason::kStatementFailed};

static_assert(std::ranges::is_sorted(kClasses, {}, &ErrorClass::code));

const ErrorClass* find(int code) {
    auto row = std::ranges::lower_bound(kClasses, code, {}, &ErrorClass::code);
    return row != kClasses.end() && row->code == code ? row : nullptr;
}

}  // namespace

std::span<const ErrorClass> error_classes() { return kClasses; }

const ErrorClass& error_class(int code) {
    if (const ErrorClass* exact = find(code)) return *exact;
    if (const ErrorClass* primary = find(code & 0xff)) return *primary;
    return kUnlisted;
}

}  // namespace twofold::participant::sqlite
