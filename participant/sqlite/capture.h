// Which rows a branch touches: SQLite tells the preupdate hook every change of the work connection,
// those of triggers and foreign-key actions included. Only keys are taken; the final images are
// read once the work is done.
#pragma once

#include "participant/sqlite/redo.h"
#include "participant/sqlite/schema.h"

#include <map>
#include <memory>
#include <string>

struct sqlite3;

namespace twofold::participant::sqlite {

class Capture {
public:
    // Installs the hook on the connection, which must outlive the capture. For as long as it is
    // there, SQLite does not use the fast path of DELETE without WHERE, which tells nobody.
    explicit Capture(Connection& connection);
    ~Capture();
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    // From here on changes are noted. bytes_max: of keys, for all tables together.
    void begin(std::shared_ptr<const Schema> schema, std::size_t bytes_max);
    void end() { active_ = false; }

    // Why what was done cannot be recorded; empty: it can.
    [[nodiscard]] const std::string& not_recordable() const { return not_recordable_; }
    [[nodiscard]] std::uint64_t changes() const { return changes_; }
    // The touched tables and keys, without images, in a fixed order.
    [[nodiscard]] Redo touched() const;

    void on_change(sqlite3* handle,
                   int operation,
                   const char* database,
                   const char* table,
                   std::int64_t old_rowid,
                   std::int64_t new_rowid);

private:
    struct TouchedTable {
        const Table* table = nullptr;
        std::map<base::Bytes, Row> keys;
    };

    void add_key(TouchedTable& touched, Row key);
    [[nodiscard]] bool read_key(
        sqlite3* handle, const Table& table, bool old, bool update, Row& key);
    void refuse(std::string why);

    Connection& connection_;
    bool active_ = false;
    std::shared_ptr<const Schema> schema_;
    std::map<std::string, TouchedTable, std::less<>> tables_;
    std::uint64_t changes_ = 0;
    std::size_t bytes_ = 0;
    std::size_t bytes_max_ = 0;
    std::string not_recordable_;
};

}  // namespace twofold::participant::sqlite
