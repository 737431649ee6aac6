// Configuration files: YAML to the configuration of both servers. Whatever the file says, there is
// an answer, and an accepted configuration is within its limits.
#include "app/configs.h"
#include "base/assert.h"
#include "fuzz/targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <set>
#include <string>

namespace twofold::fuzz {

namespace {

// A file in memory: the reader takes a path.
class TemporaryFile {
public:
    explicit TemporaryFile(base::ByteSpan content) : fd_(::memfd_create("config", MFD_CLOEXEC)) {
        TWOFOLD_ASSERT(fd_ >= 0, "no file in memory");
        TWOFOLD_ASSERT(
            ::write(fd_, content.data(), content.size()) == static_cast<ssize_t>(content.size()),
            "no room in memory");
    }
    ~TemporaryFile() { ::close(fd_); }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

private:
    int fd_;
};

void check_listen(const app::HostPort& listen, bool insecure) {
    TWOFOLD_ASSERT(!listen.host.empty(), "no host to listen on");
    TWOFOLD_ASSERT(insecure || app::is_loopback(listen.host), "open to everybody without asking");
}

void check(const app::CoordinatorConfig& config) {
    check_listen(config.listen, config.insecure_public_bind);
    TWOFOLD_ASSERT(!config.data_dir.empty(), "no data_dir");
    std::set<std::string> names;
    for (const app::NamedAddress& one : config.participants) {
        TWOFOLD_ASSERT(names.insert(one.name).second && one.address.port != 0, "a bad participant");
    }
    TWOFOLD_ASSERT(config.retry_min.count() > 0 && config.retry_max >= config.retry_min,
                   "retries without a pause");
    TWOFOLD_ASSERT(config.segment_size_bytes % 4096 == 0, "a segment of no whole blocks");
}

void check(const app::ParticipantConfig& config) {
    check_listen(config.listen, config.insecure_public_bind);
    TWOFOLD_ASSERT(!config.name.empty() && !config.coordinators.empty(), "what is required");
    TWOFOLD_ASSERT(config.sqlite.has_value() != config.postgres.has_value(), "one database");
    for (const auto& [name, statement] : config.statements) {
        TWOFOLD_ASSERT(!name.empty() && !statement.sql.empty(), "an empty statement");
    }
}

template <class Config>
void check_result(const base::Result<Config>& loaded) {
    if (loaded.has_value()) {
        check(loaded.value());
    } else {
        TWOFOLD_ASSERT(!loaded.error().context.empty(), "a refusal without a reason");
    }
}

}  // namespace

void config_file(base::ByteSpan input) {
    TemporaryFile file(input);
    check_result(app::load_coordinator_config(file.path()));
    check_result(app::load_participant_config(file.path()));
}

}  // namespace twofold::fuzz
