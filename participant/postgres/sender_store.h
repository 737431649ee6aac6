// Remembers who has spoken to this participant, so that an older start is refused over restarts.
// Everything that a new start of the coordinator says waits for it, commits too; so a session of
// ours whose branch has locked the table is ended rather than waited for.
#pragma once

#include "participant/postgres/pool.h"
#include "participant/resource.h"

namespace twofold::participant::postgres {

// The row is committed when `done` is told so. A crash before leaves the old row or the new one.
void persist_sender(Context& context,
                    Pool& admin,
                    const protocol::SenderStamp& sender,
                    ResourcePort::DoneCallback done);

}  // namespace twofold::participant::postgres
