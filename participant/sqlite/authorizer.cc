#include "participant/sqlite/authorizer.h"

#include "protocol/messages.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>

namespace twofold::participant::sqlite {

namespace {

namespace reason = protocol::reason;

int on_authorize(void* context,
                 int action,
                 const char* a,
                 const char* b,
                 const char* database,
                 const char* trigger) {
    return static_cast<Authorizer*>(context)->check(action, a, b, database, trigger);
}

struct Forbidden {
    int action;
    std::string_view text;
};

constexpr auto kForbidden = std::to_array<Forbidden>({
    {SQLITE_TRANSACTION, "BEGIN, COMMIT and ROLLBACK are the coordinator's"},
    {SQLITE_SAVEPOINT, "SAVEPOINT and RELEASE are not allowed in a branch"},
    {SQLITE_ATTACH, "ATTACH is not allowed: a branch lives in one file"},
    {SQLITE_DETACH, "DETACH is not allowed in a branch"},
    {SQLITE_PRAGMA, "PRAGMA is not allowed in a branch"},
    {SQLITE_ANALYZE, "ANALYZE is not allowed in a branch"},
    {SQLITE_REINDEX, "REINDEX is not allowed in a branch"},
});

}  // namespace

Authorizer::Authorizer(Connection& connection) : connection_(connection) {
    sqlite3_set_authorizer(connection_.handle(), on_authorize, this);
}

Authorizer::~Authorizer() { sqlite3_set_authorizer(connection_.handle(), nullptr, nullptr); }

void Authorizer::restrict(std::shared_ptr<const Schema> schema, bool recordable) {
    schema_ = std::move(schema);
    recordable_ = recordable;
    restricted_ = true;
    denial_ = {};
}

void Authorizer::lift() { restricted_ = false; }

int Authorizer::deny(std::string text) {
    if (denial_.code.empty()) denial_ = {reason::kNotAllowed, std::move(text)};
    return SQLITE_DENY;
}

int Authorizer::check(
    int action, const char* a, const char* b, const char* database, const char* trigger) {
    if (!restricted_) return SQLITE_OK;
    switch (action) {
        case SQLITE_SELECT:
        case SQLITE_RECURSIVE: return SQLITE_OK;
        case SQLITE_READ: return check_read(a, trigger);
        case SQLITE_INSERT:
        case SQLITE_DELETE:
        case SQLITE_UPDATE: return check_write(a, database);
        case SQLITE_FUNCTION:
            // Compared by SQLite's own rules: names of functions have no case.
            if (sqlite3_stricmp(b, "load_extension") == 0) {
                return deny("load_extension() is not allowed");
            }
            return SQLITE_OK;
        case SQLITE_PRAGMA:
            // Full-text search asks for this one inside of a SELECT.
            if (sqlite3_stricmp(a, "data_version") == 0 && b == nullptr) return SQLITE_OK;
            break;
        default: break;
    }
    auto known = std::ranges::find(kForbidden, action, &Forbidden::action);
    if (known != kForbidden.end()) return deny(std::string(known->text));
    return deny(
        "only SELECT, INSERT, UPDATE and DELETE are allowed in a branch; change the schema "
        "outside of a transaction");
}

int Authorizer::check_write(const char* table, const char* database) {
    std::string name = table == nullptr ? "" : table;
    // SQLite asks this while it compiles the declaration of a virtual table for a mere SELECT.
    // Users cannot write here anyway (DEFENSIVE), and every DDL statement has an action of its own.
    if (name == "sqlite_master" || name == "sqlite_temp_master") return SQLITE_OK;
    if (database != nullptr && std::string_view(database) != "main") {
        return deny("table " + name + " is not in the participant's file");
    }
    if (is_own_name(name)) return deny("table " + name + " belongs to Twofold");
    if (is_sqlite_name(name)) return deny("table " + name + " belongs to SQLite");
    const Table* known = schema_->find(name);
    if (recordable_ && known != nullptr && known->is_virtual && denial_.code.empty()) {
        denial_ = {reason::kNotRecordable,
                   "changes to table " + name +
                       " cannot be recorded: it is a virtual table; they "
                       "are only possible in a transaction of one branch"};
        return SQLITE_DENY;
    }
    return SQLITE_OK;
}

int Authorizer::check_read(const char* table, const char* trigger) {
    if (table == nullptr || !is_own_name(table)) return SQLITE_OK;
    // The guards look into the lock table on behalf of whoever writes.
    if (trigger != nullptr && is_own_name(trigger)) return SQLITE_OK;
    return deny("table " + std::string(table) + " belongs to Twofold");
}

}  // namespace twofold::participant::sqlite
