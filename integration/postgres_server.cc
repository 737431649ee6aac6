#include "integration/postgres_server.h"

#include "base/rng.h"

#include <libpq-fe.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <utility>

namespace twofold::integration {

namespace {

namespace fs = std::filesystem;
using base::Errc;
using base::fail;
using base::Result;
using std::chrono::milliseconds;

constexpr milliseconds kStartLimit{30'000};
constexpr milliseconds kStopLimit{10'000};

// The user that the server runs as: PostgreSQL refuses to run as root.
const passwd* server_user() {
    if (geteuid() != 0) return nullptr;
    const passwd* user = getpwnam("postgres");
    return user != nullptr ? user : getpwnam("nobody");
}

std::string find_bin() {
    if (const char* given = std::getenv("TWOFOLD_PG_BIN")) return given;
    Result<Finished> asked = run_program("pg_config", {"--bindir"});
    if (asked.has_value() && asked.value().status.exited_with(0)) {
        std::string path = asked.value().output;
        path.erase(path.find_last_not_of(" \n") + 1);
        if (fs::exists(path + "/initdb")) return path;
    }
    std::string best;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator("/usr/lib/postgresql", none)) {
        std::string path = entry.path().string() + "/bin";
        if (fs::exists(path + "/initdb") && path > best) best = path;
    }
    return best;
}

// A command line that runs `program` as the server's user. The parent-death signal is set again
// because the kernel forgets it when the user changes.
std::vector<std::string> as_server_user(const std::string& program,
                                        std::vector<std::string> arguments) {
    std::vector<std::string> words;
    if (const passwd* user = server_user()) {
        words = {"setpriv",
                 "--reuid=" + std::to_string(user->pw_uid),
                 "--regid=" + std::to_string(user->pw_gid),
                 "--clear-groups",
                 "--pdeathsig=KILL"};
    }
    words.push_back(program);
    words.insert(words.end(),
                 std::make_move_iterator(arguments.begin()),
                 std::make_move_iterator(arguments.end()));
    return words;
}

Result<void> run_as_server_user(const std::string& program, std::vector<std::string> arguments) {
    std::vector<std::string> words = as_server_user(program, std::move(arguments));
    std::string first = words.front();
    words.erase(words.begin());
    TWOFOLD_TRY(Finished done, run_program(first, std::move(words), {}, kStartLimit));
    if (!done.status.exited_with(0)) {
        return fail(Errc::io_error, program + ": " + done.status.text() + ": " + done.output);
    }
    return base::ok();
}

void give_to_server_user(const std::string& path) {
    if (const passwd* user = server_user()) {
        if (chown(path.c_str(), user->pw_uid, user->pw_gid) != 0) return;  // initdb will say it
    }
}

uid_t server_uid() {
    const passwd* user = server_user();
    return user != nullptr ? user->pw_uid : geteuid();
}

// A directory under a well-known name is used only if nobody else can have made it.
bool is_ours(const std::string& path) {
    struct stat info {};
    return lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
           info.st_uid == server_uid() && (info.st_mode & 077U) == 0;
}

Result<void> copy_tree(const std::string& from, const std::string& to) {
    TWOFOLD_TRY(Finished done, run_program("cp", {"-a", "--reflink=auto", from, to}));
    if (!done.status.exited_with(0)) return fail(Errc::io_error, "cp: " + done.output);
    return base::ok();
}

// "15.20"
Result<std::string> server_version(const std::string& bin) {
    TWOFOLD_TRY(Finished done, run_program(bin + "/postgres", {"--version"}));
    std::size_t begin = done.output.find(") ");
    if (begin == std::string::npos)
        return fail(Errc::io_error, "postgres --version: " + done.output);
    begin += 2;
    return done.output.substr(begin, done.output.find_first_not_of("0123456789.", begin) - begin);
}

// The result of initdb, made once and kept for the next test program.
Result<std::string> template_directory(const std::string& bin) {
    TWOFOLD_TRY(std::string version, server_version(bin));
    std::string name = "twofold-initdb-" + std::to_string(server_uid()) + "-" + version;
    const char* parent = std::getenv("TMPDIR");
    std::string path =
        std::string(parent != nullptr && *parent != '\0' ? parent : "/tmp") + "/" + name;
    if (is_ours(path)) return path;
    TWOFOLD_TRY(TempDir work, TempDir::create("twofold-initdb"));
    give_to_server_user(work.path());
    std::string made = work.path() + "/data";
    TWOFOLD_TRY(run_as_server_user(bin + "/initdb",
                                   {"--pgdata=" + made,
                                    "--username=postgres",
                                    "--auth=trust",
                                    "--no-sync",
                                    "--no-instructions",
                                    "--encoding=UTF8",
                                    "--locale=C"}));
    std::error_code error;
    fs::rename(made, path, error);  // fails when another test program was faster
    if (!is_ours(path)) return fail(Errc::io_error, path + ": not a directory of our own");
    return path;
}

// Gives the copy a system identifier of its own: the first eight bytes of its control file.
// pg_resetwal then mends the checksum and writes an empty log that carries the new number.
Result<void> renumber(const std::string& bin, const std::string& data) {
    auto identifier = base::random_bytes<8>();
    identifier[7] &= 0x3fU;
    std::fstream control(data + "/global/pg_control",
                         std::ios::binary | std::ios::in | std::ios::out);
    std::array<char, 8> bytes{};
    std::memcpy(bytes.data(), identifier.data(), bytes.size());
    control.write(bytes.data(), bytes.size());
    control.close();
    return run_as_server_user(bin + "/pg_resetwal", {"-f", data});
}

struct PqFree {
    void operator()(PGconn* connection) const { PQfinish(connection); }
    void operator()(PGresult* result) const { PQclear(result); }
};

std::vector<pid_t> children_of(pid_t parent) {
    std::ifstream list("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) +
                       "/children");
    std::vector<pid_t> children;
    for (pid_t child = 0; list >> child;) children.push_back(child);
    return children;
}

// A zombie counts as gone: it holds neither files nor shared memory, and nobody may be there to
// collect it.
bool is_alive(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    std::string text;
    std::getline(file, text);
    std::size_t name_end = text.rfind(')');
    return name_end != std::string::npos && name_end + 2 < text.size() && text[name_end + 2] != 'Z';
}

}  // namespace

namespace {

// A value of a conninfo: 'it''s' is 'it\'s' there.
std::string conninfo_value(const std::string& value) {
    std::string out = "'";
    for (char c : value) {
        if (c == '\'' || c == '\\') out += '\\';
        out += c;
    }
    return out + "'";
}

}  // namespace

std::string conninfo_with(const std::string& given,
                          const std::map<std::string, std::string>& replaced) {
    char* problem = nullptr;
    std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
        PQconninfoParse(given.c_str(), &problem), &PQconninfoFree);
    if (!options) {
        std::fprintf(stderr, "PostgreSQL: %s\n", problem != nullptr ? problem : "no conninfo");
        PQfreemem(problem);
        return {};
    }
    std::string out;
    for (const PQconninfoOption* one = options.get(); one->keyword != nullptr; ++one) {
        auto found = replaced.find(one->keyword);
        if (found == replaced.end() && one->val == nullptr) continue;
        std::string value = found != replaced.end() ? found->second : one->val;
        if (!out.empty()) out += ' ';
        out += std::string(one->keyword) + "=" + conninfo_value(value);
    }
    return out;
}

bool postgres_is_installed() { return !find_bin().empty(); }

Result<std::unique_ptr<PostgresServer>> PostgresServer::create(
    const PostgresServerOptions& options) {
    std::unique_ptr<PostgresServer> server(new PostgresServer);
    server->bin_ = find_bin();
    if (server->bin_.empty()) {
        return fail(Errc::not_found, "no PostgreSQL server is installed (pg_config, initdb)");
    }
    TWOFOLD_TRY(std::string stock, template_directory(server->bin_));
    TWOFOLD_TRY(server->dir_, TempDir::create("twofold-pg"));
    give_to_server_user(server->dir_.path());
    std::string data = server->dir_.path() + "/data";
    TWOFOLD_TRY(copy_tree(stock, data));
    TWOFOLD_TRY(renumber(server->bin_, data));
    server->port_ = free_port();
    server->settings_ = {{"max_prepared_transactions", "64"},
                         {"shared_buffers", "'32MB'"},
                         {"max_connections", "100"},
                         {"listen_addresses", "'127.0.0.1'"},
                         {"unix_socket_directories", "'" + server->dir_.path() + "'"},
                         {"port", std::to_string(server->port_)},
                         {"autovacuum", "off"}};
    TWOFOLD_TRY(std::string version, server_version(server->bin_));
    if (std::strtol(version.c_str(), nullptr, 10) >= 14) {
        // Restarting after a crash otherwise opens and forces each of a thousand files: seconds.
        server->settings_["recovery_init_sync_method"] = "syncfs";
    }
    for (const auto& [name, value] : options.settings) server->settings_[name] = value;
    TWOFOLD_TRY(server->start());
    TWOFOLD_TRY(server->query("postgres",
                              "DO $$BEGIN CREATE ROLE app LOGIN; "
                              "EXCEPTION WHEN duplicate_object THEN END$$"));
    return server;
}

PostgresServer::~PostgresServer() { kill(); }

void PostgresServer::write_settings() const {
    std::string text;
    for (const auto& [name, value] : settings_) text += name + " = " + value + "\n";
    write_file(dir_.path() + "/data/postgresql.auto.conf", text);
}

Result<void> PostgresServer::start() {
    write_settings();
    std::vector<std::string> words =
        as_server_user(bin_ + "/postgres", {"-D", dir_.path() + "/data"});
    ProcessOptions options;
    options.program = words.front();
    options.arguments.assign(words.begin() + 1, words.end());
    options.output_path = dir_.path() + "/server.log";
    TWOFOLD_TRY(process_, Process::start(options));
    return wait_ready(kStartLimit);
}

Result<void> PostgresServer::wait_ready(milliseconds limit) {
    auto until = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < until) {
        if (!process_.running()) break;
        if (query("postgres", "SELECT 1").has_value()) return base::ok();
        std::this_thread::sleep_for(milliseconds(10));
    }
    return fail(Errc::unavailable, "the server did not start: " + process_.output_tail(20));
}

void PostgresServer::stop() {
    process_.signal(SIGINT);
    if (!process_.wait(kStopLimit).has_value()) kill();
}

void PostgresServer::kill() {
    if (!process_.running()) return;
    // A stopped parent has no new children, and its old ones keep their numbers until it collects
    // them.
    process_.signal(SIGSTOP);
    std::vector<pid_t> children = children_of(process_.pid());
    for (pid_t child : children) ::kill(child, SIGKILL);
    process_.kill();
    // The next start refuses to run beside what is left of this one.
    for (pid_t child : children) {
        for (int i = 0; i < 1000 && is_alive(child); ++i) {
            std::this_thread::sleep_for(milliseconds(2));
        }
    }
}

Result<std::string> PostgresServer::create_database(const std::string& name,
                                                    const std::string& owner) {
    TWOFOLD_TRY(query("postgres", "CREATE DATABASE " + name + " OWNER " + owner));
    return dsn(name, owner);
}

std::string PostgresServer::dsn(const std::string& database, const std::string& role) const {
    return "host=" + dir_.path() + " port=" + std::to_string(port_) + " user=" + role +
           " dbname=" + database;
}

std::string PostgresServer::tcp_dsn(const std::string& database, const std::string& role) const {
    return "host=127.0.0.1 port=" + std::to_string(port_) + " user=" + role + " dbname=" + database;
}

Result<PostgresServer::TextRows> PostgresServer::query(const std::string& database,
                                                       const std::string& sql,
                                                       const std::string& role) const {
    return run_query(dsn(database, role) + " connect_timeout=5", sql);
}

Result<PostgresServer::TextRows> run_query(const std::string& dsn, const std::string& sql) {
    std::unique_ptr<PGconn, PqFree> connection(PQconnectdb(dsn.c_str()));
    if (PQstatus(connection.get()) != CONNECTION_OK) {
        return fail(Errc::unavailable, PQerrorMessage(connection.get()));
    }
    PQsetNoticeProcessor(
        connection.get(), [](void*, const char*) {}, nullptr);
    std::unique_ptr<PGresult, PqFree> result(PQexec(connection.get(), sql.c_str()));
    ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        return fail(Errc::io_error, PQresultErrorMessage(result.get()));
    }
    PostgresServer::TextRows rows;
    for (int row = 0; row < PQntuples(result.get()); ++row) {
        auto& values = rows.emplace_back();
        for (int column = 0; column < PQnfields(result.get()); ++column) {
            values.emplace_back(PQgetvalue(result.get(), row, column));
        }
    }
    return rows;
}

std::string PostgresServer::value(const std::string& database,
                                  const std::string& sql,
                                  const std::string& role) const {
    Result<TextRows> rows = query(database, sql, role);
    if (!rows.has_value() || rows.value().empty() || rows.value()[0].empty()) return "";
    return rows.value()[0][0];
}

}  // namespace twofold::integration
