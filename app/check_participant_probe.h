// A coordinator that nobody knows, for checking a participant: an incarnation of its own, ids and
// marks as a real one makes them. It sends what it is told, one exchange after the other, and says
// what is wrong with the answers. The rules (P-1 …) are those of docs/participants.md.
//
// Nothing is kept: whatever is prepared at the participant when the probe ends has no coordinator
// any more, so clean_up() aborts what was not finished.
// Thread: one.
#pragma once

#include "app/config_reader.h"
#include "async/event_loop.h"
#include "http/client.h"
#include "protocol/messages.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::app {

// What is wrong, and which rule it breaks.
struct Fault {
    std::string_view rule;
    std::string text;
};
using Verdict = std::optional<Fault>;  // nothing: as it must be

using Statuses = std::set<protocol::ItemStatus>;

struct Step {
    protocol::Item item;
    Statuses allowed;
    std::string_view rule;
    std::string_view must;  // completes "…: it must be", for the fault's text
    // Changes the batch, to make it wrong in a way.
    std::function<void(protocol::BatchRequest&)> edit = {};
    // Refusing the whole request with a problem is as good as refusing its item.
    bool may_be_problem = false;
    // Looks at what is not in the status; what must hold, or empty when it does.
    std::function<std::string_view(const protocol::ItemResult&)> judge = {};
};

struct ProbeOptions {
    std::chrono::milliseconds deadline{15'000};  // of one exchange
};

class Probe {
public:
    Probe(HostPort peer, ProbeOptions options);
    ~Probe();
    Probe(const Probe&) = delete;
    Probe& operator=(const Probe&) = delete;

    // Asks for the description and takes it over.
    [[nodiscard]] Verdict look();
    [[nodiscard]] const protocol::ParticipantInfo& info() const { return info_; }
    [[nodiscard]] protocol::SenderStamp& stamp() { return stamp_; }
    // Forgets its connections: those of a process that is gone say nothing about its successor.
    void reconnect();

    // Everything before is finished: low_water moves up to here.
    void begin_check();
    // Aborts what this check has left. Its answers do not matter.
    void clean_up();
    // Tells the participant that nothing of ours is left, so that it may forget everything.
    void say_goodbye();

    [[nodiscard]] protocol::BranchKey new_branch(protocol::ParticipantNumber one_phase = {});
    [[nodiscard]] protocol::Item work(const protocol::BranchKey& key,
                                      const std::string& work_json,
                                      protocol::ItemOp op = protocol::ItemOp::execute_prepare);
    // The proof that came with the vote goes along with a commit.
    [[nodiscard]] protocol::Item finish(const protocol::BranchKey& key, protocol::ItemOp op) const;
    [[nodiscard]] protocol::BatchRequest batch(std::vector<protocol::Item> items) const;

    // One item after the other, until one is answered wrongly.
    [[nodiscard]] Verdict run(const std::vector<Step>& steps);

    // One request and all of its answer.
    struct Exchange {
        std::string no_answer;  // why; empty when there is one
        bool streamed = false;  // 2xx and newline-delimited JSON
        int status = 0;
        std::string content_type;
        std::string body;                           // when not streamed
        std::vector<protocol::ItemResult> results;  // in the order of their lines
        std::string malformed;                      // the first line that is no result, and why
    };
    [[nodiscard]] Exchange exchange(const protocol::BatchRequest& batch);
    [[nodiscard]] Exchange post(std::string body);
    // What the answer says that it is about is not what was asked, or not in the right form.
    [[nodiscard]] Verdict judge_form(const Exchange& exchange,
                                     const std::vector<protocol::Item>& items) const;

private:
    [[nodiscard]] Verdict run_step(const Step& step);
    [[nodiscard]] Verdict judge_echo(const protocol::ItemResult& result) const;
    [[nodiscard]] Exchange call(http::Request request);
    void note(const protocol::ItemResult& result);

    HostPort peer_;
    ProbeOptions options_;
    async::EventLoop loop_;
    std::unique_ptr<http::Client> client_;
    protocol::ParticipantInfo info_;
    protocol::SenderStamp stamp_;
    base::KeyedHash tags_;
    protocol::Sequence sequence_ = 0;
    protocol::IdPosition low_water_;
    std::map<protocol::BranchKey, protocol::ProofToken> proofs_;
    std::set<protocol::BranchKey> open_;
};

// "commit was answered with unknown (not_ready: …)".
[[nodiscard]] std::string describe(const protocol::ItemResult& result);

}  // namespace twofold::app
