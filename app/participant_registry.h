// The coordinator's DirectoryPort: which addresses a call may name comes from the configuration,
// and what was put is kept in its data_dir. Thread: the loop's.
#pragma once

#include "app/configs.h"
#include "app/directory_file.h"
#include "async/event_loop.h"
#include "coordinator/directory_port.h"
#include "coordinator/driver.h"

#include <memory>
#include <string>
#include <vector>

namespace twofold::app {

class ParticipantRegistry final : public coordinator::DirectoryPort {
public:
    // All must outlive it.
    ParticipantRegistry(async::EventLoop& loop,
                        const CoordinatorConfig& config,
                        wal::Directory& directory)
        : loop_(loop), config_(config), file_(directory) {}

    // Those of the configuration, and what was put and is not named there.
    [[nodiscard]] base::Result<std::vector<coordinator::ParticipantEntry>> load();

    [[nodiscard]] base::Result<void> check(const std::string& url) const override;
    [[nodiscard]] bool is_configured(std::string_view name) const override;
    [[nodiscard]] std::unique_ptr<coordinator::ParticipantPort> connect(
        const std::string& url) override;
    [[nodiscard]] base::Result<void> keep(const std::string& name,
                                          const std::string& url,
                                          const protocol::ParticipantUuid& uuid) override;

private:
    async::EventLoop& loop_;
    const CoordinatorConfig& config_;
    DirectoryFile file_;
    std::vector<DirectoryEntry> entries_;
};

}  // namespace twofold::app
