#include "damage/bank_file.h"

#include "base/assert.h"
#include "base/log.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

namespace twofold::damage {

namespace {

using participant::sqlite::Store;
using participant::sqlite::StoreOptions;

constexpr const char* kSchema =
    "PRAGMA page_size = 1024;"
    "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));"
    "CREATE TABLE entries (txn INTEGER, account INTEGER, amount INTEGER, PRIMARY KEY (txn, "
    "account))"
    " WITHOUT ROWID;"
    "CREATE TABLE notes (txn INTEGER PRIMARY KEY, body TEXT NOT NULL);"
    "INSERT INTO accounts VALUES (1, 100000), (2, 100000), (3, 100000), (4, 100000)";

class Connection {
public:
    Connection(const std::string& path, const std::string& vfs) {
        const char* name = vfs.empty() ? nullptr : vfs.c_str();
        int code = sqlite3_open_v2(path.c_str(), &handle_, SQLITE_OPEN_READWRITE, name);
        TWOFOLD_ASSERT(code == SQLITE_OK, "the bank can be opened");
        sqlite3_busy_timeout(handle_, 2'000);
    }
    ~Connection() { sqlite3_close_v2(handle_); }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    bool exec(const std::string& sql) {
        return sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
    }
    // The first column of every row; an error is a row of its own.
    std::vector<std::string> rows(const std::string& sql) {
        std::vector<std::string> all;
        sqlite3_stmt* statement = nullptr;
        int code = sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr);
        while (code == SQLITE_OK || code == SQLITE_ROW) {
            code = sqlite3_step(statement);
            if (code != SQLITE_ROW) break;
            const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
            all.emplace_back(text == nullptr ? "NULL" : text);
        }
        sqlite3_finalize(statement);
        if (code != SQLITE_DONE) all.emplace_back(std::string("error ") + sqlite3_errmsg(handle_));
        return all;
    }

private:
    sqlite3* handle_ = nullptr;
};

// Some fit into a page, some need several.
std::size_t body_size(std::uint64_t sequence) { return sequence % 3 == 0 ? 2'500 : 40; }
char body_letter(std::uint64_t sequence) { return static_cast<char>('a' + sequence % 26); }

protocol::ParticipantUuid uuid() {
    protocol::ParticipantUuid uuid;
    uuid.bytes.fill(0x5a);
    return uuid;
}

protocol::BranchKey key_of(std::uint64_t sequence) {
    static const base::KeyedHash key(base::HashKey{});
    protocol::Incarnation incarnation;
    incarnation.bytes.fill(0x11);
    auto id = protocol::make_txn_id(incarnation, 1, sequence, protocol::ParticipantNumber(0), key);
    return {id, 1, 1};
}

std::string read_problem(Connection& bank) {
    auto expect =
        [&](const char* what, const std::string& sql, const std::vector<std::string>& rows) {
            std::vector<std::string> found = bank.rows(sql);
            if (found == rows) return std::string();
            return std::string(what) + ": " + (found.empty() ? "nothing" : found.front());
        };
    const std::pair<const char*, std::string> empty[] = {
        {"balance and ledger differ for account",
         "SELECT id FROM accounts WHERE balance <> 100000 + (SELECT coalesce(sum(amount), 0)"
         " FROM entries WHERE account = accounts.id)"},
        {"half a branch",
         "SELECT txn FROM entries GROUP BY txn HAVING count(*) <> 2 OR sum(amount) <> 0"},
        {"a branch without its text", "SELECT txn FROM entries EXCEPT SELECT txn FROM notes"},
        {"a text without its branch", "SELECT txn FROM notes EXCEPT SELECT txn FROM entries"},
        {"another text than was written",
         "SELECT txn FROM notes WHERE body <> replace(hex(zeroblob(CASE txn % 3 WHEN 0 THEN 2500"
         " ELSE 40 END)), '00', char(97 + txn % 26))"},
    };
    for (const auto& [what, sql] : empty) {
        std::string problem = expect(what, sql, {});
        if (!problem.empty()) return problem;
    }
    std::string sum = expect("sum of balances", "SELECT sum(balance) FROM accounts", {"400000"});
    if (!sum.empty()) return sum;
    return expect("integrity_check", "PRAGMA integrity_check", {"ok"});
}

}  // namespace

BankFolder::BankFolder() {
    std::error_code error;
    std::filesystem::path base = "/dev/shm";
    if (!std::filesystem::is_directory(base, error)) base = std::filesystem::temp_directory_path();
    std::string pattern = (base / "twofold-images-XXXXXX").string();
    const char* made = mkdtemp(pattern.data());
    TWOFOLD_ASSERT(made != nullptr, "a temporary folder can be made");
    path_ = made;
}

BankFolder::~BankFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

Files BankFolder::make_bank() {
    put({{kBankName, {}}});
    bool made = Connection(database(), "").exec(kSchema);
    TWOFOLD_ASSERT(made, "the bank can be made");
    std::ifstream file(database(), std::ios::binary);
    base::Bytes content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    return {{kBankName, content}};
}

void BankFolder::put(const Files& files) {
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
        std::filesystem::remove(entry.path());
    }
    for (const auto& [name, content] : files) {
        std::string path = path_ + "/" + name;
        int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        bool written = file >= 0 && ::write(file, content.data(), content.size()) ==
                                        static_cast<ssize_t>(content.size());
        TWOFOLD_ASSERT(written, "a file of an image can be written");
        ::close(file);
    }
}

base::Result<OpenedStore> open_store(const std::string& path, const std::string& vfs) {
    base::set_log_sink([](auto, auto, auto, const auto&) {}, base::LogLevel::error);
    StoreOptions options;
    options.path = path;
    options.vfs = vfs;
    options.raw_sql = true;
    options.uuid_if_new = uuid();
    options.limits.lock_timeout = std::chrono::milliseconds(500);
    options.limits.finish_wait = std::chrono::milliseconds(500);
    OpenedStore opened;
    TWOFOLD_TRY(opened.store, Store::open(std::move(options)));
    TWOFOLD_TRY(opened.start, opened.store->start());
    return opened;
}

std::vector<std::string> bank_statements(std::uint64_t sequence) {
    std::string n = std::to_string(sequence);
    std::string from = std::to_string(1 + sequence % 4);
    std::string to = std::to_string(1 + (sequence + 1) % 4);
    std::string body(body_size(sequence), body_letter(sequence));
    return {"UPDATE accounts SET balance = balance + CASE id WHEN " + from +
                " THEN -3 ELSE 3 END WHERE id IN (" + from + ", " + to + ")",
            "INSERT INTO entries VALUES (" + n + ", " + from + ", -3), (" + n + ", " + to + ", 3)",
            "INSERT INTO notes VALUES (" + n + ", '" + body + "')"};
}

protocol::BranchWork bank_work(std::uint64_t sequence, const std::vector<std::string>& statements) {
    std::string json = "[";
    for (const std::string& sql : statements) {
        if (json.size() > 1) json += ",";
        json += "{\"sql\":";
        base::append_json_string(json, sql);
        json += "}";
    }
    protocol::BranchWork work;
    work.key = key_of(sequence);
    work.gid = protocol::make_gid(work.key, uuid());
    work.work = std::make_shared<const std::string>(json + "]");
    return work;
}

protocol::FinishRequest finish_of(std::uint64_t sequence) {
    protocol::BranchKey key = key_of(sequence);
    return {key, protocol::make_gid(key, uuid()), std::nullopt};
}

Books read_books(const std::string& path) {
    Connection bank(path, "");
    Books books;
    books.problem = read_problem(bank);
    for (const std::string& row : bank.rows("SELECT DISTINCT txn FROM entries")) {
        books.booked.insert(std::strtoull(row.c_str(), nullptr, 10));
    }
    return books;
}

bool run_outside(const std::string& path, const std::string& vfs, const std::string& sql) {
    return Connection(path, vfs).exec(sql);
}

}  // namespace twofold::damage
