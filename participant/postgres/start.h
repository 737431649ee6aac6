// The start of a sidecar on its database. In this order, because each step makes the next one true:
//
//   1. check the server: version, settings, role, direct connection
//   2. create what is missing of the schema "twofold"
//   3. take the next participant epoch, durably: sessions of older starts can open no new branches
//   4. end every backend of an older start, and wait until it is gone: the backend of a dead client
//      can still finish its PREPARE
//   5. list what is prepared: from here on nothing appears that this start did not prepare
// A crash between any two leaves an epoch that nobody uses.
#pragma once

#include "participant/postgres/connection.h"
#include "participant/postgres/context.h"
#include "participant/resource.h"

namespace twofold::participant::postgres {

// Fills the context's uuid, identity, epoch, role and position. The context must outlive the call.
// Returns what must be kept until `done` was called; destroying it ends the attempt.
class StartAttempt;
[[nodiscard]] std::shared_ptr<StartAttempt> begin_start(Context& context,
                                                        ResourcePort::StartCallback done);

// The server's settings as its answer to the check, for the test of the messages.
struct ServerFacts {
    int version = 0;
    std::uint64_t announced_pid = 0;
    std::uint64_t real_pid = 0;
    std::uint32_t max_prepared = 0;
    std::string fsync;
    std::string full_page_writes;
    bool in_recovery = false;
    bool superuser = false;
    std::string role;  // current_user
};
// The first thing that a person must change, or nothing. Pure.
[[nodiscard]] base::Result<void> check_server(const ServerFacts& facts,
                                              const PostgresOptions& options);

}  // namespace twofold::participant::postgres
