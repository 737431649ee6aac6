#include "participant/sqlite/test_store.h"

#include "base/base64.h"
#include "base/log.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace twofold::participant::sqlite::test {

namespace {

std::string cell(sqlite3_stmt* statement, int column) {
    int type = sqlite3_column_type(statement, column);  // before text() converts the value
    const char* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
    auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
    switch (type) {
        case SQLITE_NULL: return "NULL";
        case SQLITE_FLOAT: return std::string("r") + text;
        case SQLITE_TEXT: return "'" + std::string(text, size) + "'";
        case SQLITE_BLOB: {
            std::string bytes(text == nullptr ? "" : text, size);
            return "x" + base::hex_encode(base::as_bytes(bytes));
        }
        default: return text;
    }
}

}  // namespace

// In memory where that exists: these tests are about processes that die, not about power failures,
// and thousands of forced writes would make them slow.
TempFolder::TempFolder() {
    std::error_code error;
    std::filesystem::path base = "/dev/shm";
    if (!std::filesystem::is_directory(base, error)) base = std::filesystem::temp_directory_path();
    std::string pattern = (base / "twofold-sqlite-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
}

TempFolder::~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Plain::Plain(const std::string& path) {
    EXPECT_EQ(sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE, nullptr), SQLITE_OK);
    sqlite3_busy_timeout(handle_, 2'000);
}

Plain::~Plain() { sqlite3_close_v2(handle_); }

std::string Plain::try_exec(const std::string& sql) {
    if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return "";
    std::string message = sqlite3_errmsg(handle_);
    return message.empty() ? "error" : message;
}

std::string Plain::query(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
        return std::string("error: ") + sqlite3_errmsg(handle_);
    }
    std::string rows;
    while (sqlite3_step(statement) == SQLITE_ROW) {
        if (!rows.empty()) rows += "\n";
        for (int i = 0; i < sqlite3_column_count(statement); ++i) {
            rows += (i == 0 ? "" : "|") + cell(statement, i);
        }
    }
    sqlite3_finalize(statement);
    return rows;
}

std::string Plain::dump() {
    std::string tables = query(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
        " AND name NOT LIKE '\\_tc\\_%' ESCAPE '\\' AND name <> 'sqlite_schema'"
        " AND name NOT LIKE 'sqlite_stat%' ORDER BY name");
    std::string content;
    for (std::size_t at = 0; at < tables.size();) {
        std::size_t end = std::min(tables.find('\n', at), tables.size());
        std::string name = tables.substr(at + 1, end - at - 2);
        // An entry of 0 means the same as none.
        if (name == "sqlite_sequence") {
            content += "sequences:\n" +
                       query("SELECT * FROM sqlite_sequence WHERE seq <> 0 ORDER BY 1") + "\n";
            at = end + 1;
            continue;
        }
        content += name + ":\n" + query("SELECT * FROM \"" + name + "\" ORDER BY 1, 2") + "\n";
        at = end + 1;
    }
    return content;
}

void make_database(const std::string& path, const std::string& script) {
    int file = ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    ASSERT_GE(file, 0);
    ::close(file);
    Plain plain(path);
    plain.exec(script);
}

StoreOptions options_for(const std::string& path) {
    StoreOptions options;
    options.path = path;
    options.create = true;
    options.raw_sql = true;
    options.uuid_if_new = test_uuid();
    options.limits.lock_timeout = std::chrono::milliseconds(500);
    options.limits.finish_wait = std::chrono::milliseconds(500);
    return options;
}

std::unique_ptr<Store> open_store(StoreOptions options) {
    base::set_log_sink([](auto, auto, auto, const auto&) {}, base::LogLevel::error);
    auto store = Store::open(std::move(options));
    if (!store.has_value()) {
        ADD_FAILURE() << store.error().text();
        std::abort();
    }
    auto started = store.value()->start();
    if (!started.has_value()) {
        ADD_FAILURE() << started.error().text();
        std::abort();
    }
    return std::move(store.value());
}

protocol::ParticipantUuid test_uuid() {
    protocol::ParticipantUuid uuid;
    uuid.bytes.fill(0x5a);
    return uuid;
}

protocol::BranchKey key_of(std::uint64_t sequence) {
    static const base::KeyedHash key(base::HashKey{});
    protocol::Incarnation incarnation;
    incarnation.bytes.fill(0x11);
    protocol::TxnId id =
        protocol::make_txn_id(incarnation, 1, sequence, protocol::ParticipantNumber(0), key);
    return {id, 1, 1};
}

protocol::BranchWork work_of(std::uint64_t sequence, const std::string& json) {
    protocol::BranchWork work;
    work.key = key_of(sequence);
    work.gid = protocol::make_gid(work.key, test_uuid());
    work.work = std::make_shared<const std::string>(json);
    return work;
}

protocol::BranchWork sql_work(std::uint64_t sequence, const std::vector<std::string>& statements) {
    std::string json = "[";
    for (const std::string& sql : statements) {
        if (json.size() > 1) json += ",";
        json += "{\"sql\":";
        base::append_json_string(json, sql);
        json += "}";
    }
    return work_of(sequence, json + "]");
}

protocol::FinishRequest finish_of(std::uint64_t sequence) {
    protocol::BranchKey key = key_of(sequence);
    return {key, protocol::make_gid(key, test_uuid()), std::nullopt};
}

void prepare(Store& store, std::uint64_t sequence, const std::vector<std::string>& statements) {
    protocol::WorkResult result = store.execute_prepare(sql_work(sequence, statements));
    EXPECT_EQ(result.status, protocol::WorkStatus::prepared)
        << result.reason.code << ": " << result.reason.message;
}

void commit(Store& store, std::uint64_t sequence) {
    protocol::FinishResult result = store.commit(finish_of(sequence));
    EXPECT_EQ(result.status, protocol::FinishStatus::committed)
        << result.reason.code << ": " << result.reason.message;
}

int in_child(const std::function<void()>& child) {
    pid_t process = fork();
    if (process == 0) {
        child();
        _exit(::testing::Test::HasFailure() ? 1 : 0);
    }
    int status = 0;
    waitpid(process, &status, 0);
    return status;
}

}  // namespace twofold::participant::sqlite::test
