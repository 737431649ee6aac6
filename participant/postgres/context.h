// What all parts of one PostgreSQL resource share. Thread: the loop's.
#pragma once

#include "async/deadline.h"
#include "async/event_loop.h"
#include "participant/postgres/host_lookup.h"
#include "participant/postgres/options.h"
#include "protocol/types.h"

#include <memory>
#include <string>

namespace twofold::participant::postgres {

struct Context {
    Context(async::EventLoop& loop_in, PostgresOptions options_in)
        : loop(loop_in),
          options(std::move(options_in)),
          deadlines(std::make_shared<async::DeadlineQueue>(loop_in)),
          host_lookup(loop_in) {}

    async::EventLoop& loop;
    const PostgresOptions options;
    std::shared_ptr<async::DeadlineQueue> deadlines;
    HostLookup host_lookup;
    Counters counters;

    // Known once start() has taken the epoch.
    protocol::ParticipantUuid uuid;
    protocol::Identity identity;
    std::uint32_t epoch = 0;
    std::string role;  // the setting "role" of a new session: what RESET ROLE leads to

    std::string own_tables = "{}";     // their oids, as an SQL array
    bool has_foreign_servers = false;  // when it was last looked: no one-phase work

    protocol::Position position;  // the newest seen
    bool fenced = false;
    std::string fenced_text;
    bool stopping = false;
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);  // for timers that outlive us

    // "twofold <uuid> <epoch>"; 63 bytes are kept by the server, it has at most 55.
    [[nodiscard]] std::string application_name() const {
        return "twofold " + uuid.text() + " " + std::to_string(epoch);
    }

    // Nothing may be run or finished any more; tells the owner once.
    void fence(std::string text);

    // Never goes back within a timeline.
    void note_position(const protocol::Position& seen) {
        if (seen > position) position = seen;
    }
};

// "1A/2B3C" as a number, 0 when it is none.
[[nodiscard]] std::uint64_t parse_lsn(const std::string& text);
// The first eight digits of a WAL file's name, 0 when they are none.
[[nodiscard]] std::uint32_t parse_timeline(const std::string& hex);
[[nodiscard]] std::uint64_t parse_number(const std::string& text);

}  // namespace twofold::participant::postgres
