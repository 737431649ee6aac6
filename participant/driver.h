// The shell around the participant's machine: feeds it inputs, does its effects on the resource,
// asks the coordinators, decides nothing.
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "async/timer.h"
#include "async/timer_set.h"
#include "base/rng.h"
#include "participant/core/machine.h"
#include "participant/ports.h"
#include "participant/resource.h"

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace twofold::participant {

struct DriverOptions {
    std::string name;
    std::uint64_t jitter_seed = 0;
    std::chrono::milliseconds start_retry{1'000};
    std::chrono::milliseconds listing_retry{1'000};  // while the database does not answer
    std::function<void()> on_ready;  // the resource has started; once for each start
};

class Driver {
public:
    using ResultCallback = std::function<void(const protocol::ItemResult&)>;
    using OfferCallback = std::function<void(const protocol::OfferReply&)>;

    Driver(async::EventLoop& loop,
           Machine machine,
           ResourcePort& resource,
           MetricsPort& metrics,
           std::vector<std::unique_ptr<CoordinatorPort>> coordinators,
           DriverOptions options);
    ~Driver();
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    // Starts the resource and keeps trying. `on_hopeless` is called with the reason when only a
    // person can mend it (a setting, a permission).
    void start(std::function<void(const base::Error&)> on_hopeless);

    // A batch without items: a coordinator shows itself.
    ReplyTicket receive_offer(const protocol::BatchRequest& batch, OfferCallback on_answer);
    // All items of one batch, at least one; `on_result` once per item, in any order.
    void receive(const protocol::BatchRequest& batch,
                 const ResultCallback& on_result,
                 std::vector<ReplyTicket>& tickets);
    // One call of an interactive branch; its answer once.
    using ExecuteCallback = std::function<void(const ExecuteReply&, const protocol::ItemResult&)>;
    void execute(ExecuteReceived call, ExecuteCallback done);
    // A person's decision about a branch; its answer once, or twice: `accepted`, and then the end.
    using ResolveCallback = std::function<void(const AnswerResolve&)>;
    void resolve(ResolveReceived request, ResolveCallback said, ResultCallback ended);
    // See ResourcePort::check_work().
    [[nodiscard]] std::optional<protocol::Reason> check_work(const protocol::JsonText& work) const {
        return resource_.check_work(work);
    }
    [[nodiscard]] const std::vector<std::unique_ptr<CoordinatorPort>>& coordinators() const {
        return coordinators_;
    }
    [[nodiscard]] async::EventLoop& loop() const { return loop_; }
    [[nodiscard]] const std::string& name() const { return options_.name; }
    [[nodiscard]] std::uint32_t epoch() const { return started_.epoch; }
    [[nodiscard]] const protocol::ParticipantUuid& uuid() const { return started_.uuid; }

    // Nobody reads these answers any more.
    void abandon(const std::vector<ReplyTicket>& tickets);

    // Of the branch that has been prepared longest, as of the last listing; zero: none is.
    [[nodiscard]] std::chrono::milliseconds oldest_prepared_age() const;

    // From now on nothing is stepped and the resource is not called, whoever still calls back: it
    // may be stopped. Prepared branches are the next start's. Not to be called by an effect.
    void cut_off();

    // The resource has started, and its last listing did not fail. What arrives all the same is
    // stepped: a decision is tried, whatever was seen last.
    [[nodiscard]] bool ready() const { return machine_.ready() && not_ready_reason_.empty(); }
    [[nodiscard]] const std::string& not_ready_reason() const { return not_ready_reason_; }
    [[nodiscard]] const Machine& machine() const { return machine_; }
    [[nodiscard]] protocol::ParticipantInfo info() const;

private:
    void submit(Input input);
    void try_start();
    void note_listing(const std::vector<protocol::PreparedBranch>& prepared);
    void note_listing_failed(const base::Error& error);
    void note_database_answers();
    void probe();
    void execute(Effect&& effect);
    void handle(RunAndPrepare&& effect);
    void handle(RunOnePhase&& effect);
    void handle(ExecuteWork&& effect);
    void handle(PrepareExecuted&& effect);
    void handle(CancelWork&& effect);
    void handle(CommitPrepared&& effect);
    void handle(RollbackPrepared&& effect);
    void handle(SettleOnePhase&& effect);
    void handle(PersistSender&& effect);
    void handle(NoteMarks&& effect);
    void handle(ListPrepared&& effect);
    void handle(SendInquiry&& effect);
    void handle(AskCoordinators&& effect);
    void handle(AnswerResolve&& effect);
    void handle(SendReply&& effect);
    void handle(AnswerOffer&& effect);
    void handle(ArmTimer&& effect);
    void handle(RaiseAlarm&& effect);

    async::EventLoop& loop_;
    Machine machine_;
    ResourcePort& resource_;
    MetricsPort& metrics_;
    std::vector<std::unique_ptr<CoordinatorPort>> coordinators_;
    DriverOptions options_;
    base::SeededRng jitter_;
    async::TimerSet timers_;
    async::Timer start_timer_;
    async::Timer probe_timer_;
    std::function<void(const base::Error&)> on_hopeless_;
    protocol::ResourceStart started_;
    std::map<protocol::BranchKey, std::chrono::steady_clock::time_point> prepared_since_;
    std::string not_ready_reason_ = "starting";
    std::unordered_map<std::uint64_t, ResultCallback> replies_;
    std::unordered_map<std::uint64_t, ExecuteCallback> execute_replies_;
    std::unordered_map<std::uint64_t, OfferCallback> offers_;
    std::unordered_map<std::uint64_t, ResolveCallback> resolve_replies_;
    std::uint64_t next_ticket_ = 1;
    bool stepping_ = false;
    bool cut_off_ = false;
    std::deque<Input> queued_inputs_;
};

}  // namespace twofold::participant
