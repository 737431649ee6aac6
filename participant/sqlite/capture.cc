// sqlite3.h declares the preupdate functions only with this.
#define SQLITE_ENABLE_PREUPDATE_HOOK 1  // NOLINT(readability-identifier-naming): its name

#include "participant/sqlite/capture.h"

#include <sqlite3.h>

namespace twofold::participant::sqlite {

namespace {

// The library defines SQLITE_CDECL nowhere outside of Windows, so this is the plain signature.
void on_preupdate(void* context,
                  sqlite3* handle,
                  int operation,
                  const char* database,
                  const char* table,
                  sqlite3_int64 old_rowid,
                  sqlite3_int64 new_rowid) {
    static_cast<Capture*>(context)->on_change(
        handle, operation, database, table, old_rowid, new_rowid);
}

Value value_of(sqlite3_value* value) {
    switch (sqlite3_value_type(value)) {
        case SQLITE_INTEGER: return {std::int64_t{sqlite3_value_int64(value)}};
        case SQLITE_FLOAT: return {sqlite3_value_double(value)};
        case SQLITE_TEXT: {
            const unsigned char* text = sqlite3_value_text(value);
            auto size = static_cast<std::size_t>(sqlite3_value_bytes(value));
            return {std::string(reinterpret_cast<const char*>(text), size)};
        }
        case SQLITE_BLOB: {
            const auto* data = static_cast<const std::uint8_t*>(sqlite3_value_blob(value));
            auto size = static_cast<std::size_t>(sqlite3_value_bytes(value));
            return {data == nullptr ? base::Bytes() : base::Bytes(data, data + size)};
        }
        default: return {};
    }
}

}  // namespace

Capture::Capture(Connection& connection) : connection_(connection) {
    sqlite3_preupdate_hook(connection_.handle(), on_preupdate, this);
}

Capture::~Capture() { sqlite3_preupdate_hook(connection_.handle(), nullptr, nullptr); }

void Capture::begin(std::shared_ptr<const Schema> schema, std::size_t bytes_max) {
    tables_.clear();
    schema_ = std::move(schema);
    changes_ = 0;
    bytes_ = 0;
    bytes_max_ = bytes_max;
    not_recordable_.clear();
    active_ = true;
}

void Capture::refuse(std::string why) {
    if (not_recordable_.empty()) not_recordable_ = std::move(why);
}

void Capture::on_change(sqlite3* handle,
                        int operation,
                        const char* database,
                        const char* table_name,
                        std::int64_t old_rowid,
                        std::int64_t new_rowid) {
    if (!active_) return;
    ++changes_;
    // The first thing that cannot be recorded decides; the rest of the work is in vain.
    if (!not_recordable_.empty()) return;
    if (std::string_view(database) != "main") return refuse("a temporary table was changed");
    TouchedTable& touched = tables_[table_name];
    if (touched.table == nullptr) touched.table = schema_->find(table_name);
    const Table* table = touched.table;
    if (table == nullptr) {
        return refuse("table " + std::string(table_name) + " is not a table that can be recorded");
    }
    if (!table->not_recordable.empty()) {
        return refuse("changes to table " + table->name +
                      " cannot be recorded: " + table->not_recordable);
    }
    bool update = operation == SQLITE_UPDATE;
    for (bool old : {true, false}) {
        if (old ? operation == SQLITE_INSERT : operation == SQLITE_DELETE) continue;
        Row key;
        if (table->rowid_is_key) {
            key.push_back({old ? old_rowid : new_rowid});
        } else if (!read_key(handle, *table, old, update, key)) {
            return;
        }
        add_key(touched, std::move(key));
    }
}

// Where SQLite 3.40 expects which column number: the stored position, except for the old values and
// the inserted values of a WITHOUT ROWID table, which it looks up by position in the table.
bool Capture::read_key(sqlite3* handle, const Table& table, bool old, bool update, Row& key) {
    for (std::size_t i : table.key) {
        const Column& column = table.columns[i];
        bool by_table_index = table.without_rowid && (old || !update);
        int index = by_table_index ? column.table_index : column.storage_index;
        sqlite3_value* value = nullptr;
        int code = old ? sqlite3_preupdate_old(handle, index, &value)
                       : sqlite3_preupdate_new(handle, index, &value);
        if (code != SQLITE_OK) {
            refuse("the key of a changed row of table " + table.name + " could not be read");
            return false;
        }
        key.push_back(value_of(value));
        if (key.back().is_null()) {
            refuse("a row of table " + table.name + " has NULL in its primary key column " +
                   column.name + ", so it cannot be named");
            return false;
        }
    }
    return true;
}

void Capture::add_key(TouchedTable& touched, Row key) {
    base::Bytes bytes = row_bytes(key);
    std::size_t size = bytes.size();
    if (!touched.keys.emplace(std::move(bytes), std::move(key)).second) return;
    bytes_ += size;
    if (bytes_ > bytes_max_) {
        refuse("the branch changes more than fits into a prepared record of " +
               std::to_string(bytes_max_) + " bytes");
    }
}

Redo Capture::touched() const {
    Redo redo;
    for (const auto& [name, touched] : tables_) {
        RedoTable table;
        table.name = name;
        for (const auto& [bytes, key] : touched.keys) table.keys.push_back({key, std::nullopt});
        redo.tables.push_back(std::move(table));
    }
    return redo;
}

}  // namespace twofold::participant::sqlite
