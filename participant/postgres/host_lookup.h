// Host names become addresses on a thread of their own: libpq itself would look them up on the
// event loop, and a resolver that does not answer would stop everything else.
//
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "async/worker_thread.h"
#include "base/result.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace twofold::participant::postgres {

using ConnectionParameters = std::map<std::string, std::string>;  // libpq's keywords

class HostLookup {
public:
    using Callback = std::function<void(base::Result<ConnectionParameters>)>;

    explicit HostLookup(async::EventLoop& loop);
    ~HostLookup();  // waits for a lookup that runs; nobody is called any more
    HostLookup(const HostLookup&) = delete;
    HostLookup& operator=(const HostLookup&) = delete;

    // Completes `parameters` with "hostaddr", one entry for each address of each name in "host", in
    // order; "host" and "port" get as many entries. Calls back inside of this call when there is
    // nothing to look up. Equal questions that come while one is being answered share its answer.
    // Errors: unavailable (no name has an address), invalid_argument (as many ports as hosts).
    void complete(ConnectionParameters parameters, Callback done);

private:
    struct State;
    std::shared_ptr<State> state_;
    async::WorkerThread worker_;
};

// What complete() does with its lookup given: the addresses of a name, none when it is not known.
using AddressesOf = std::function<std::vector<std::string>(const std::string& host)>;
[[nodiscard]] bool needs_lookup(const ConnectionParameters& parameters);
[[nodiscard]] base::Result<ConnectionParameters> with_addresses(ConnectionParameters parameters,
                                                                const AddressesOf& addresses_of);

}  // namespace twofold::participant::postgres
