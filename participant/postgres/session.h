// A connection that the database knows as ours: registered in twofold.session with its backend's
// pid and start time, so that any later start can find it and end it even if a statement changed
// its application_name; and checked against the participant epoch and the database's identity.
#pragma once

#include "participant/postgres/connection.h"
#include "participant/postgres/context.h"

#include <cstdint>
#include <functional>
#include <memory>

namespace twofold::participant::postgres {

// Which backend serves a session. The start time tells it from a later one with the same pid.
struct Backend {
    std::uint64_t pid = 0;
    std::uint64_t started_us = 0;  // since 1970, by the server's clock

    friend bool operator==(const Backend&, const Backend&) = default;
};

// Backend start as an integer: the same expression everywhere, so that both sides compare equal.
inline constexpr std::string_view kStartedUs =
    "(extract(epoch FROM a.backend_start) * 1000000)::bigint";

enum class Cleanliness : std::uint8_t {
    clean,   // as opened
    used,    // settings, temporary objects and session locks of a branch may be left: DISCARD ALL
    failed,  // the same inside of a failed transaction: ROLLBACK first
    broken,  // of no use
};

struct Session {
    explicit Session(Context& context)
        : connection(context.loop, context.deadlines, context.counters) {}

    Connection connection;
    Backend backend;
    Cleanliness cleanliness = Cleanliness::clean;
};
using SessionPtr = std::shared_ptr<Session>;

enum class SessionUse : std::uint8_t {
    work,    // runs clients' SQL; its settings are the role's own
    finish,  // COMMIT PREPARED, ROLLBACK PREPARED
    admin,   // everything else
};

// Connects, registers and checks. A newer epoch, or another database, fences the context. Closing
// the session that is returned ends the attempt; it owns itself until `done` was called.
using SessionCallback = std::function<void(base::Result<SessionPtr>)>;
SessionPtr open_session(Context& context, SessionUse use, const SessionCallback& done);

// What must run before anything else on a session in this state.
[[nodiscard]] std::vector<Statement> cleaning_statements(Cleanliness cleanliness);

}  // namespace twofold::participant::postgres
