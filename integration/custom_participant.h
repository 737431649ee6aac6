// Participants that are no sidecars: the one of examples/, as a process, and one inside of the test
// that keeps the rules of docs/participants.md or breaks one of them on purpose.
#pragma once

#include "http/message.h"
#include "integration/database.h"
#include "integration/process.h"
#include "integration/temp_dir.h"
#include "protocol/messages.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace twofold::integration {

// examples/try_confirm_cancel.py with 1000 seats for "hamlet".
class SeatsProcess {
public:
    // `directory` keeps its data between starts.
    SeatsProcess(std::string directory, std::uint16_t port, std::uint16_t coordinator_port);

    [[nodiscard]] bool start();
    [[nodiscard]] Process& process() { return process_; }
    [[nodiscard]] std::uint16_t port() const { return port_; }
    // "free/sold", from its database.
    [[nodiscard]] std::string stock();
    // Branches that wait for their decision; -1 when it cannot be told.
    [[nodiscard]] std::int64_t tried();
    [[nodiscard]] static std::string work(int quantity);

private:
    std::string directory_;
    std::uint16_t port_;
    std::uint16_t coordinator_port_;
    Process process_;
    std::unique_ptr<Database> database_;
};

enum class Flaw {
    none,
    foreign_identity,        // echoes another identity
    wrong_attempt,           // echoes another attempt
    unknown_commit_is_done,  // commits what it has never seen
    work_after_abort,        // forgets its aborts
    commit_only_once,        // refuses a second commit
    yes_in_memory,           // loses its promises in a restart
    ignores_address,         // acts on what is meant for others
    half_a_batch,            // does the items before the one that is wrong
    abort_undoes_commit,     // aborts what is committed
    abort_in_memory,         // forgets its aborts in a restart, although it has no epochs
    items_wait,        // lets the items of a batch wait for each other until the lock times out
    claims_epochs,     // says that it has epochs, and looks at none
    claims_one_phase,  // says that it can, and refuses
    ignores_keys,      // says that it has keys, and does work without a look at them
    key_of_failure,    // lets failed work use its key up
};

// Keeps its branches in memory; restart() loses what is not durable. Any thread.
class CustomParticipant {
public:
    explicit CustomParticipant(Flaw flaw);

    [[nodiscard]] http::Response respond(const http::Request& request);
    void restart();
    [[nodiscard]] std::size_t committed();

private:
    enum class State { prepared, committed, aborted };

    [[nodiscard]] http::Response receive(const std::string& body);
    [[nodiscard]] protocol::ItemResult answer(const protocol::BatchRequest& batch,
                                              const protocol::Item& item);
    void decide(const protocol::Item& item, protocol::ItemResult& result);
    void work(const protocol::Item& item, protocol::ItemResult& result);
    // Whether the key has answered.
    [[nodiscard]] bool replay(const protocol::Item& item, protocol::ItemResult& result);
    void one_phase(const protocol::Item& item, protocol::ItemResult& result);
    void settle(const protocol::Item& item, protocol::ItemResult& result);
    void commit(const protocol::Item& item, protocol::ItemResult& result);
    void abort(const protocol::Item& item, protocol::ItemResult& result);

    Flaw flaw_;
    std::mutex mutex_;
    protocol::ParticipantInfo info_;
    std::map<protocol::BranchKey, State> branches_;
    std::map<protocol::IdempotencyKey, protocol::TxnId> keys_;
};

}  // namespace twofold::integration
