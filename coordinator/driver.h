// The shell around the coordinator's machine: feeds it inputs, does its effects, decides nothing.
// Everything that happens in one turn of the loop shares one append and one force of the log (group
// commit) and one batch per participant.
// Thread: the loop's.
#pragma once

#include "async/event_loop.h"
#include "async/timer.h"
#include "async/timer_set.h"
#include "base/rng.h"
#include "base/strong_id.h"
#include "coordinator/core/machine.h"
#include "coordinator/event_ring.h"
#include "coordinator/history.h"
#include "coordinator/outbox.h"
#include "coordinator/phase_times.h"
#include "coordinator/ports.h"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace twofold::coordinator {

struct DriverOptions {
    std::uint64_t jitter_seed = 0;
    std::chrono::milliseconds info_interval{5'000};      // between looks at a participant
    std::chrono::milliseconds info_retry_interval{500};  // while it is not there
    std::chrono::milliseconds offer_deadline{2'000};
    OutboxOptions outbox;
    std::size_t events_max = 4'096;     // remembered for readers who come back
    std::size_t histories_max = 4'096;  // of transactions that have ended
};

// A participant of the configuration.
struct ParticipantEntry {
    std::string name;
    std::unique_ptr<ParticipantPort> port;
    // Who was found there when it was put; nothing: whoever answers first.
    std::optional<protocol::ParticipantUuid> uuid{};
};

struct ParticipantStatus {
    std::string name;
    std::string url;
    protocol::ParticipantNumber number;  // 0: never seen
    bool up = false;
    bool retired = false;
    std::string problem;  // why it cannot be used; empty when it can
    protocol::ParticipantInfo info;
};

// Committed, and not acknowledged by everybody.
struct InDoubt {
    std::map<std::string, std::size_t> at;         // transactions, by the participant that has not
    std::chrono::steady_clock::duration oldest{};  // since this start has known of the decision
};

using WatchId = base::StrongId<struct WatchIdTag>;

class Driver {
public:
    using AnswerCallback = async::UniqueFunction<void(const Answer&)>;
    using InquiryCallback = async::UniqueFunction<void(protocol::InquiryReply)>;

    Driver(async::EventLoop& loop,
           Machine machine,
           LogPort& log,
           MetricsPort& metrics,
           std::vector<ParticipantEntry> participants,
           DriverOptions options);
    ~Driver();
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    // Re-drives what recovery found and starts to look for the participants.
    void start();

    // A new participant, or another address of one that is known by this name: what was sent to the
    // old address may still be answered from there.
    void put_participant(ParticipantEntry entry);

    // Runs one step. For requests that carry a ticket, take it from open_ticket first.
    void submit(Input input);
    [[nodiscard]] Ticket open_ticket(AnswerCallback done);
    // The client, or whoever inquired, is gone: the answer has no reader any more. The work goes
    // on.
    void close_ticket(Ticket ticket);
    [[nodiscard]] Ticket open_inquiry(InquiryCallback done);

    // Calls back when the transaction's version is above `since`, or after `limit`; at once when it
    // is already, or when it is not in memory. 0: it has called back already.
    WatchId watch(const protocol::TxnId& txn,
                  std::uint64_t since,
                  std::chrono::milliseconds limit,
                  async::UniqueFunction<void()> done);
    // Nobody watches any more: it is not called back. Nothing when it was already.
    void unwatch(WatchId watch);

    // What is left of a time that began with the transaction; zero when it is over.
    [[nodiscard]] std::chrono::milliseconds time_left(const protocol::TxnId& txn,
                                                      std::chrono::milliseconds whole) const;

    // An unfinished transaction that this start has known for at least so long.
    [[nodiscard]] bool is_older_than(const protocol::TxnId& txn,
                                     std::chrono::milliseconds age) const;

    [[nodiscard]] InDoubt in_doubt() const;

    // What happens, for readers.
    [[nodiscard]] EventRing& events() { return events_; }
    [[nodiscard]] const History& history() const { return history_; }
    [[nodiscard]] async::EventLoop& loop() const { return loop_; }
    [[nodiscard]] const Machine& machine() const { return machine_; }
    [[nodiscard]] std::vector<ParticipantStatus> participants() const;
    [[nodiscard]] const ParticipantStatus* find_participant(std::string_view name) const;
    // Of a configured participant, or of one that once had this name; 0: it was never reached.
    [[nodiscard]] protocol::ParticipantNumber number_of(std::string_view name) const;
    [[nodiscard]] std::string participant_name(protocol::ParticipantNumber number) const;
    [[nodiscard]] protocol::SenderStamp stamp() const;

    // No new work, and nobody watches any more; calls back when nothing is undecided any more, or
    // after `limit`.
    void drain(std::chrono::milliseconds limit, async::UniqueFunction<void()> done);
    // From now on nothing is stepped, appended, sent or answered, whoever still calls back: the log
    // may be closed. What is unfinished is the next start's. Not to be called by an effect.
    void cut_off();

private:
    struct Peer;
    struct Watcher;

    Peer& add_peer(ParticipantEntry entry);
    void connect(Peer& peer, std::unique_ptr<ParticipantPort> port);
    // The log may know it by its name from earlier runs.
    void recognise(Peer& peer);
    void schedule_flush();
    void flush();
    void execute(Effect&& effect);
    void handle(Append&& effect);
    void handle(AppendForced&& effect);
    void handle(Propose&& effect);
    void handle(Seal&& effect);
    void handle(Send&& effect);
    void handle(Offer&& effect);
    void handle(ArmTimer&& effect);
    void handle(CancelTimer&& effect);
    void handle(Answer&& effect);
    void handle(AnswerInquiry&& effect);
    void handle(Changed&& effect);
    void handle(Finished&& effect);
    void handle(ParticipantRegistered&& effect);
    void handle(RaiseAlarm&& effect);

    void on_durable(std::vector<Input> inputs);
    void phase_took(std::string_view phase, std::optional<PhaseTimes::Duration> took);
    void maybe_checkpoint();
    void look_at_room();
    void look_at(Peer& peer);
    void report_missing();
    void on_info(Peer& peer, base::Result<protocol::ParticipantInfo> info);
    void schedule_look(Peer& peer, std::chrono::milliseconds delay);
    void peer_failed(Peer& peer, const std::string& why);
    void tell_participant(const Peer& peer);
    void complete(const Peer& peer, protocol::BatchRequest& batch) const;
    void on_result(Peer& peer, protocol::ItemResult result);
    void on_failure(Peer& peer,
                    const ParticipantPort* via,
                    const protocol::Item& item,
                    const BatchEnd& end);
    void wake(const protocol::TxnId& txn);
    void wake(WatchId watch);
    void await_the_last(std::chrono::steady_clock::time_point end,
                        async::UniqueFunction<void()> done);

    async::EventLoop& loop_;
    Machine machine_;
    LogPort& log_;
    MetricsPort& metrics_;
    DriverOptions options_;
    EventRing events_;
    History history_;
    base::SeededRng jitter_;
    async::TimerSet timers_;
    async::Timer room_timer_;
    std::vector<std::unique_ptr<Peer>> peers_;
    std::map<protocol::ParticipantNumber, Peer*> by_number_;
    std::unordered_map<std::uint64_t, AnswerCallback> answers_;
    std::unordered_map<std::uint64_t, InquiryCallback> inquiries_;
    std::map<WatchId, std::unique_ptr<Watcher>> watchers_;
    std::multimap<protocol::TxnId, WatchId> watched_;
    PhaseTimes times_;
    std::vector<Input> waiting_for_log_;  // become inputs when what was appended is durable
    std::uint64_t next_ticket_ = 1;
    std::uint64_t last_watch_ = 0;
    bool flush_scheduled_ = false;
    bool checkpoint_running_ = false;
    bool room_ = true;
    bool stepping_ = false;
    bool draining_ = false;
    bool cut_off_ = false;
    bool missing_reported_ = false;
    std::deque<Input> queued_inputs_;
};

}  // namespace twofold::coordinator
