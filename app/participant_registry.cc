#include "app/participant_registry.h"

#include "app/participant_client.h"
#include "base/log.h"

#include <algorithm>
#include <utility>

namespace twofold::app {

using base::Errc;
using base::Result;

Result<std::vector<coordinator::ParticipantEntry>> ParticipantRegistry::load() {
    TWOFOLD_TRY(entries_, file_.load());
    std::vector<coordinator::ParticipantEntry> out;
    for (const NamedAddress& named : config_.participants) {
        ParticipantClientOptions options;
        options.host = named.address.host;
        options.port = named.address.port;
        out.push_back({named.name, std::make_unique<ParticipantClient>(loop_, options)});
    }
    for (const DirectoryEntry& entry : entries_) {
        if (is_configured(entry.name)) {
            base::log_event(base::LogLevel::warning,
                            "participant_put_and_configured",
                            "the configuration's address counts, not the one that was put",
                            {{"participant", entry.name}, {"put", entry.url}});
            continue;
        }
        // Its branches need it, even if such an address could not be put any more.
        out.push_back({entry.name, connect(entry.url), entry.uuid});
    }
    return out;
}

Result<void> ParticipantRegistry::check(const std::string& url) const {
    const std::vector<std::string>& allowed = config_.registration_allow;
    if (allowed.empty()) {
        return base::fail(Errc::permission_denied,
                          "to let calls name them, set registration_allow to the hosts that they "
                          "may be at");
    }
    auto address = parse_http_url(url);
    if (!address.has_value()) {
        return base::fail(Errc::precondition_failed, "url: " + address.error().context);
    }
    const HostPort& to = address.value();
    bool is_allowed = std::ranges::any_of(allowed, [&to](const std::string& one) {
        return one == to.host || one == to.host + ":" + std::to_string(to.port);
    });
    if (is_allowed) return base::ok();
    return base::fail(Errc::precondition_failed,
                      "url: " + to.host + ":" + std::to_string(to.port) +
                          " is not among registration_allow of the configuration");
}

bool ParticipantRegistry::is_configured(std::string_view name) const {
    return std::ranges::find(config_.participants, name, &NamedAddress::name) !=
           config_.participants.end();
}

std::unique_ptr<coordinator::ParticipantPort> ParticipantRegistry::connect(const std::string& url) {
    auto address = parse_http_url(url);
    ParticipantClientOptions options;
    if (address.has_value()) {
        options.host = address.value().host;
        options.port = address.value().port;
    }
    return std::make_unique<ParticipantClient>(loop_, options);
}

Result<void> ParticipantRegistry::keep(const std::string& name,
                                       const std::string& url,
                                       const protocol::ParticipantUuid& uuid) {
    // Nothing to write, and nothing to force on the loop: clients put what they need at every
    // start.
    DirectoryEntry entry{name, url, uuid};
    if (std::ranges::find(entries_, entry) != entries_.end()) return base::ok();
    std::vector<DirectoryEntry> next = entries_;
    std::erase_if(next, [&name](const DirectoryEntry& one) { return one.name == name; });
    next.push_back(std::move(entry));
    TWOFOLD_TRY(file_.store(next));
    entries_ = std::move(next);
    return base::ok();
}

}  // namespace twofold::app
