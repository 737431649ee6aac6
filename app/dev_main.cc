// `twofold dev`: a coordinator and two SQLite participants in one process on loopback, with a small
// bank in them and a curl to paste. For trying things out: everything is real, but one crash takes
// all of it down at once.
#include "app/commands.h"
#include "app/coordinator_service.h"
#include "app/participant_service.h"
#include "app/serve.h"
#include "participant/sqlite/script.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace twofold::app {

namespace {

constexpr const char* kBank =
    "CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));"
    "INSERT INTO account VALUES (1, 100);";

// The participants must know the coordinator's port before it listens, so "any" is decided here.
std::uint16_t free_port() {
    int socket_fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    bool bound =
        ::bind(socket_fd, generic, size) == 0 && ::getsockname(socket_fd, generic, &size) == 0;
    ::close(socket_fd);
    return bound ? ntohs(address.sin_port) : std::uint16_t{0};
}

// A folder that goes away with the object, unless the user named it.
class DataFolder {
public:
    explicit DataFolder(const std::string& wanted) : path_(wanted), temporary_(wanted.empty()) {
        if (!temporary_) {
            std::filesystem::create_directories(path_);
            return;
        }
        std::string pattern =
            (std::filesystem::temp_directory_path() / "twofold-dev-XXXXXX").string();
        if (mkdtemp(pattern.data()) != nullptr) path_ = pattern;
    }
    ~DataFolder() {
        std::error_code ignored;
        if (temporary_ && !path_.empty()) std::filesystem::remove_all(path_, ignored);
    }
    DataFolder(const DataFolder&) = delete;
    DataFolder& operator=(const DataFolder&) = delete;

    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
    bool temporary_;
};

struct Dev {
    std::vector<std::unique_ptr<ParticipantService>> participants;
    std::unique_ptr<CoordinatorService> coordinator;
    std::size_t ready = 0;  // of all three
};

// What clients call by name. Its SQL is part of the program: it compiles.
participant::work::Catalog statements() {
    namespace work = participant::work;
    auto compile = [](const char* sql) {
        work::StatementText text{sql, {{"id", "integer"}, {"amount", "integer"}}, 1};
        return work::compile(text, work::kSqliteSql).value();
    };
    return {{"debit",
             compile("UPDATE account SET balance = balance - :amount"
                     " WHERE id = :id AND balance >= :amount")},
            {"credit", compile("UPDATE account SET balance = balance + :amount WHERE id = :id")}};
}

ParticipantConfig participant_config(const DevOptions& options,
                                     const std::string& folder,
                                     const std::string& name,
                                     std::uint16_t offset) {
    ParticipantConfig config;
    config.name = name;
    config.listen.port = options.first_participant_port == 0
                             ? std::uint16_t{0}
                             : static_cast<std::uint16_t>(options.first_participant_port + offset);
    config.raw_sql = true;
    config.statements = statements();
    config.inquiry_interval = std::chrono::milliseconds(500);
    config.in_doubt_age = std::chrono::milliseconds(500);
    config.coordinators = {{"127.0.0.1", options.coordinator_port}};
    config.sqlite = SqliteConfig{folder + "/" + name + ".db", true, false};
    return config;
}

void print_welcome(const Dev& dev, const std::string& folder) {
    std::string url = dev.coordinator->url();
    std::printf(
        "\n"
        "  +------------------------------------------------------------------+\n"
        "  |  twofold dev: for trying things out, not for data that you need.  |\n"
        "  +------------------------------------------------------------------+\n\n"
        "  coordinator   %s\n"
        "  participants  north %s, south %s (SQLite files in %s)\n\n"
        "Each has a table account(id, balance) with 100 in account 1. Move 30 from north to "
        "south,\n"
        "all or nothing, by pasting this into another terminal:\n\n"
        "  curl -s %s/v1/transactions -H 'Content-Type: application/json' -d '{\"branches\": [\n"
        "    {\"participant\": \"north\", \"work\": [{\"sql\": \"UPDATE account SET balance = "
        "balance - ?"
        " WHERE id = ? AND balance >= ?\", \"params\": [30, 1, 30], \"expect\": {\"rows\": 1}}]},\n"
        "    {\"participant\": \"south\", \"work\": [{\"statement\": \"credit\", "
        "\"params\": {\"id\": 1, \"amount\": 30}}]}]}'\n\n"
        "north gets SQL text, south a statement of its configuration (debit and credit are "
        "there).\n"
        "Paste it four times: the fourth is refused by north, and south keeps what it has.\n"
        "Stop with Ctrl-C.\n\n",
        url.c_str(),
        dev.participants[0]->url().c_str(),
        dev.participants[1]->url().c_str(),
        folder.c_str(),
        url.c_str());
    std::fflush(stdout);
}

base::Result<void> start_coordinator(async::EventLoop& loop,
                                     const DevOptions& options,
                                     const std::string& folder,
                                     CoordinatorService::Events events,
                                     Dev& dev) {
    CoordinatorConfig config;
    config.listen.port = options.coordinator_port;
    config.data_dir = folder + "/log";
    config.info_interval = std::chrono::milliseconds(500);
    const char* names[] = {"north", "south"};
    for (std::size_t i = 0; i < dev.participants.size(); ++i) {
        config.participants.push_back({names[i], {"127.0.0.1", dev.participants[i]->port()}});
    }
    TWOFOLD_TRY(dev.coordinator, CoordinatorService::create(loop, config, std::move(events)));
    return base::ok();
}

int fail(const base::Error& error) {
    std::fprintf(stderr, "twofold dev: %s\n", error.context.c_str());
    return kExitError;
}

}  // namespace

int run_dev(const DevOptions& wanted) {
    set_up_logging();
    prepare_process();
    DevOptions options = wanted;
    if (options.coordinator_port == 0) options.coordinator_port = free_port();
    DataFolder folder(options.data_dir);
    if (folder.path().empty()) {
        return fail(
            base::fail(base::Errc::io_error, "no temporary folder can be made; use --data"));
    }
    async::EventLoop loop;
    Dev dev;
    int code = kExitOk;
    auto on_ready = [&dev, &folder] {
        if (++dev.ready == 3) print_welcome(dev, folder.path());
    };
    auto on_hopeless = [&loop, &code](const base::Error& error) {
        code = fail(error);
        loop.stop();
    };
    for (std::uint16_t i = 0; i < 2; ++i) {
        ParticipantConfig config =
            participant_config(options, folder.path(), i == 0 ? "north" : "south", i);
        auto seeded = participant::sqlite::create_from_script(config.sqlite->path, kBank);
        if (!seeded.has_value()) return fail(seeded.error());
        auto service = ParticipantService::create(loop, config, {on_ready, on_hopeless});
        if (!service.has_value()) return fail(service.error());
        dev.participants.push_back(std::move(service.value()));
    }
    auto started = start_coordinator(loop, options, folder.path(), {on_ready, on_hopeless}, dev);
    if (!started.has_value()) return fail(started.error());
    run_until_signal(loop, [&dev](std::function<void()> done) {
        dev.coordinator->stop([&dev, done = std::move(done)] {
            dev.participants[0]->stop([&dev, done] { dev.participants[1]->stop(done); });
        });
    });
    return code;
}

}  // namespace twofold::app
