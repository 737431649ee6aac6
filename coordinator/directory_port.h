// Participants that were put into the directory by a call, not by the configuration. The program
// supplies the adapter: where addresses may lead, how to reach them, and a durable place.
// Thread: the loop's.
#pragma once

#include "base/result.h"
#include "coordinator/ports.h"
#include "protocol/types.h"

#include <memory>
#include <string>
#include <string_view>

namespace twofold::coordinator {

class DirectoryPort {
public:
    DirectoryPort() = default;
    DirectoryPort(const DirectoryPort&) = delete;
    DirectoryPort& operator=(const DirectoryPort&) = delete;
    virtual ~DirectoryPort() = default;

    // permission_denied: no participant may be put by a call. precondition_failed: this address is
    // none, or may not be named; the text says what may.
    [[nodiscard]] virtual base::Result<void> check(const std::string& url) const = 0;
    [[nodiscard]] virtual bool is_configured(std::string_view name) const = 0;
    [[nodiscard]] virtual std::unique_ptr<ParticipantPort> connect(const std::string& url) = 0;
    // On success the entry is on stable storage; it replaces one of the same name.
    [[nodiscard]] virtual base::Result<void> keep(const std::string& name,
                                                  const std::string& url,
                                                  const protocol::ParticipantUuid& uuid) = 0;
};

}  // namespace twofold::coordinator
