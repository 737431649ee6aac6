#include "coordinator/driver.h"

#include "base/assert.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/planted_bug.h"
#include "coordinator/driver_peer.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace twofold::coordinator {

using base::log_event;
using base::LogLevel;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {
constexpr milliseconds kRoomInterval{200};
}

struct Driver::Watcher {
    std::multimap<protocol::TxnId, WatchId>::iterator place;
    async::Timer timer;
    async::UniqueFunction<void()> done;
};

Driver::Driver(async::EventLoop& loop,
               Machine machine,
               LogPort& log,
               MetricsPort& metrics,
               std::vector<ParticipantEntry> participants,
               DriverOptions options)
    : loop_(loop),
      machine_(std::move(machine)),
      log_(log),
      metrics_(metrics),
      options_(options),
      events_(options.events_max, std::uint64_t{machine_.epoch()} << 32U),
      history_(options.histories_max),
      jitter_(options.jitter_seed),
      timers_(loop, [this](std::uint64_t number) { submit(TimerFired{TimerId(number)}); }),
      room_timer_(loop) {
    for (ParticipantEntry& entry : participants) add_peer(std::move(entry));
}

Driver::Peer& Driver::add_peer(ParticipantEntry entry) {
    auto peer = std::make_unique<Peer>();
    peer->status.name = entry.name;
    peer->timer = std::make_unique<async::Timer>(loop_);
    peer->put = entry.uuid;
    connect(*peer, std::move(entry.port));
    peers_.push_back(std::move(peer));
    return *peers_.back();
}

void Driver::connect(Peer& peer, std::unique_ptr<ParticipantPort> port) {
    if (peer.outbox) {
        peer.former.push_back({std::move(peer.port), std::move(peer.outbox), peer.calls});
        peer.calls = std::make_shared<bool>();
    }
    peer.port = std::move(port);
    peer.status.url = peer.port->url();
    peer.status.problem = "not reached yet";
    peer.looking = false;
    peer.outbox = std::make_unique<Outbox>(
        *peer.port,
        options_.outbox,
        [this, &peer](protocol::BatchRequest& batch) { complete(peer, batch); },
        [this, &peer](protocol::ItemResult result) { on_result(peer, std::move(result)); },
        [this, &peer, via = peer.port.get()](const protocol::Item& item, const BatchEnd& end) {
            on_failure(peer, via, item, end);
        });
}

void Driver::put_participant(ParticipantEntry entry) {
    auto known = std::ranges::find_if(
        peers_, [&entry](const auto& peer) { return peer->status.name == entry.name; });
    if (known == peers_.end()) {
        Peer& peer = add_peer(std::move(entry));
        recognise(peer);
        return look_at(peer);
    }
    (*known)->put = entry.uuid;
    if ((*known)->status.url == entry.port->url()) {
        // Not here: this may be called by the port itself.
        loop_.post([unused = std::move(entry.port)] {});
    } else {
        connect(**known, std::move(entry.port));
    }
    look_at(**known);
}

void Driver::recognise(Peer& peer) {
    for (const auto& [number, record] : machine_.participants()) {
        if (peer.status.name != record.name || record.retired) continue;
        peer.status.number = number;
        peer.status.info.uuid = record.uuid;
        peer.status.info.identity = record.identity;
        by_number_[number] = &peer;
    }
}

Driver::~Driver() = default;

void Driver::start() {
    // The log knows participants by name from earlier runs: decisions for them must find their way
    // even before the participant was seen in this run.
    for (auto& peer : peers_) recognise(*peer);
    // What recovery found is as old as this start, as far as anybody can tell.
    Machine::ListFilter all;
    all.limit = std::numeric_limits<std::size_t>::max();
    for (const TransactionReport& report : machine_.list(all)) {
        history_.note(report.txn, report.state, std::chrono::steady_clock::now());
    }
    Effects effects;
    machine_.start(effects);
    for (Effect& effect : effects) execute(std::move(effect));
    schedule_flush();
    report_missing();
    TWOFOLD_CRASH_POINT(coord_recovery_after_redrive);
    for (auto& peer : peers_) look_at(*peer);
}

// ---- inputs and effects
// --------------------------------------------------------------------------

void Driver::submit(Input input) {
    if (cut_off_) return;
    // An effect may call back at once (a refused connection, a fake in a test): its input waits
    // until the effects of the running step are done, so that a step is never entered twice.
    if (stepping_) {
        queued_inputs_.push_back(std::move(input));
        return;
    }
    stepping_ = true;
    queued_inputs_.push_back(std::move(input));
    while (!queued_inputs_.empty()) {
        Input next = std::move(queued_inputs_.front());
        queued_inputs_.pop_front();
        Effects effects;
        machine_.step(std::move(next), effects);
        for (Effect& effect : effects) execute(std::move(effect));
    }
    stepping_ = false;
    schedule_flush();
}

void Driver::execute(Effect&& effect) {
    std::visit([this]<class Alternative>(
                   Alternative&& alternative) { handle(std::forward<Alternative>(alternative)); },
               std::move(effect));
}

void Driver::handle(Append&& effect) {
    bool is_end = std::holds_alternative<protocol::EndRecord>(effect.record);
    if (is_end) TWOFOLD_CRASH_POINT(coord_before_end_appended);
    log_.append(effect.record);
    if (is_end) TWOFOLD_CRASH_POINT(coord_after_end_appended);
}

void Driver::handle(AppendForced&& effect) {
    log_.append(effect.record);
    waiting_for_log_.emplace_back(Durable{effect.token});
}

void Driver::handle(Propose&& effect) {
    TWOFOLD_CRASH_POINT(coord_before_decision_appended);
    Decided decided{effect.record.group, effect.record.decision};
    phase_took("prepare", times_.propose(decided.group, steady_clock::now()));
    log_.append(protocol::Record(std::move(effect.record)));
    waiting_for_log_.emplace_back(decided);
}

void Driver::handle(Seal&& effect) { log_.seal(effect.file, effect.records); }

void Driver::handle(Send&& effect) {
    auto found = by_number_.find(effect.participant);
    if (found == by_number_.end()) {
        // Known from the log but not configured any more: as if it were down.
        submit(CallFailed{effect.participant,
                          effect.item.key,
                          effect.item.op,
                          protocol::CallOutcome::not_sent,
                          "this participant is not in the configuration"});
        return;
    }
    found->second->outbox->add(std::move(effect.item));
}

void Driver::handle(ArmTimer&& effect) {
    auto low = static_cast<std::uint64_t>(effect.delay_min.count());
    auto high = static_cast<std::uint64_t>(std::max(effect.delay_min, effect.delay_max).count());
    timers_.arm(effect.timer.value, milliseconds(jitter_.between(low, high)));
}

void Driver::handle(CancelTimer&& effect) { timers_.cancel(effect.timer.value); }

void Driver::handle(Answer&& effect) {
    auto found = answers_.find(effect.ticket.value);
    if (found == answers_.end()) return;  // the client has gone
    AnswerCallback done = std::move(found->second);
    answers_.erase(found);
    TWOFOLD_CRASH_POINT(coord_before_client_answer);
    done(effect);
}

void Driver::handle(AnswerInquiry&& effect) {
    auto found = inquiries_.find(effect.ticket.value);
    if (found == inquiries_.end()) return;
    InquiryCallback done = std::move(found->second);
    inquiries_.erase(found);
    TWOFOLD_CRASH_POINT(coord_before_inquiry_answer);
    if (!machine_.stopped()) effect.reply.sender = stamp();
    done(std::move(effect.reply));
}

void Driver::handle(Changed&& effect) {
    // A change without a state, or an odd end that is only listed, is no begin.
    bool may_begin = !effect.state.empty() && effect.state != "heuristic";
    if (may_begin && times_.start(effect.txn, steady_clock::now())) {
        metrics_.transaction_started();
        TWOFOLD_CRASH_POINT(coord_after_begin);
    }
    history_.note(effect.txn, effect.state, std::chrono::steady_clock::now());
    if (effect.forgotten) {
        history_.ended(effect.txn);
        times_.end(effect.txn, steady_clock::now());
    }
    Event event;
    event.txn = effect.txn;
    event.version = effect.version;
    events_.add(std::move(event));
    wake(effect.txn);
}

void Driver::handle(Finished&& effect) {
    TWOFOLD_CRASH_POINT(coord_before_finished);
    auto ended = times_.end(effect.txn, steady_clock::now()).value_or(PhaseTimes::Ended{});
    phase_took("apply", ended.apply);
    // One that waits for a person goes on growing old.
    bool is_plain = effect.outcome == protocol::Outcome::committed ||
                    effect.outcome == protocol::Outcome::aborted;
    if (is_plain) history_.ended(effect.txn);
    Event event;
    event.kind = Event::Kind::finished;
    event.txn = effect.txn;
    event.outcome = effect.outcome;
    event.code = effect.reason_code;
    events_.add(std::move(event));
    std::string_view outcome = to_string(effect.outcome);
    metrics_.transaction_finished(outcome, ended.whole);
    LogLevel level = effect.recovered ? LogLevel::info : LogLevel::debug;
    log_event(level,
              "transaction_finished",
              effect.recovered ? "recovered transaction finished" : "transaction finished",
              {{"transaction_id", effect.txn.text()},
               {"outcome", outcome},
               {"reason", effect.reason_code}});
}

// By the configured name, not by who answers there now: two addresses may show the same database
// for a moment, and a number belongs to one of them.
void Driver::handle(ParticipantRegistered&& effect) {
    TWOFOLD_CRASH_POINT(coord_after_registered);
    const protocol::ParticipantRecord& record = machine_.participants().at(effect.number);
    for (auto& peer : peers_) {
        if (peer->status.number == effect.number) peer->status.retired = record.retired;
        if (peer->status.name != record.name || peer->status.number.value != 0) continue;
        if (!by_number_.try_emplace(effect.number, peer.get()).second) continue;
        peer->status.number = effect.number;
        peer->status.retired = record.retired;
        peer->status.problem.clear();
        peer->status.up = true;
        tell_participant(*peer);
        submit(ParticipantSeen{effect.number, peer->status.info});
    }
}

void Driver::handle(RaiseAlarm&& effect) {
    metrics_.alarm(effect.code);
    Event event;
    event.kind = Event::Kind::alarm;
    event.txn = effect.txn;
    event.name = participant_name(effect.participant);
    event.code = effect.code;
    event.text = effect.text;
    events_.add(std::move(event));
    log_event(LogLevel::error,
              "alarm",
              effect.text,
              {{"code", effect.code},
               {"transaction_id", effect.txn.text()},
               {"participant", participant_name(effect.participant)}});
}

// ---- the log
// -------------------------------------------------------------------------------------

// Everything that the ready events of this turn of the loop appended shares one force.
void Driver::schedule_flush() {
    if (flush_scheduled_) return;
    flush_scheduled_ = true;
    loop_.post([this] { flush(); });
}

void Driver::flush() {
    flush_scheduled_ = false;
    if (cut_off_) return;
    for (auto& peer : peers_) {
        for (Peer::Link& link : peer->former) link.outbox->flush();
        std::erase_if(peer->former, [](const Peer::Link& link) {
            return link.outbox->is_idle() && link.calls.use_count() == 1;
        });
        peer->outbox->flush();
    }
    if (!waiting_for_log_.empty()) {
        std::vector<Input> inputs = std::exchange(waiting_for_log_, {});
        TWOFOLD_CRASH_POINT(coord_before_force);
        log_.force([this, inputs = std::move(inputs)]() mutable { on_durable(std::move(inputs)); });
    }
    maybe_checkpoint();
}

void Driver::on_durable(std::vector<Input> inputs) {
    TWOFOLD_CRASH_POINT(coord_after_decision_forced);
    look_at_room();
    for (Input& input : inputs) {
        if (const auto* decided = std::get_if<Decided>(&input)) {
            phase_took("decide", times_.decide(decided->group, steady_clock::now()));
        }
        submit(std::move(input));
    }
}

// Without room nothing new is accepted, so nothing new is forced either: a timer has to notice when
// there is room again.
void Driver::look_at_room() {
    if (cut_off_) return;
    bool room = log_.has_room_for_new_work();
    if (room != room_) {
        room_ = room;
        log_event(room ? LogLevel::info : LogLevel::error,
                  room ? "log_has_room" : "log_has_no_room",
                  room ? "new transactions are accepted again"
                       : "the log has no room for new transactions; old ones are finished",
                  {});
        submit(LogRoom{room});
    }
    if (room) return;
    room_timer_.start(kRoomInterval, [this] {
        schedule_flush();
        look_at_room();
    });
}

void Driver::maybe_checkpoint() {
    if (checkpoint_running_ || !log_.wants_checkpoint()) return;
    checkpoint_running_ = true;
    TWOFOLD_CRASH_POINT(coord_before_checkpoint);
    log_.checkpoint(machine_.checkpoint(), [this] { checkpoint_running_ = false; });
}

// ---- requests
// ------------------------------------------------------------------------------------

Ticket Driver::open_ticket(AnswerCallback done) {
    Ticket ticket(next_ticket_++);
    answers_.emplace(ticket.value, std::move(done));
    return ticket;
}

void Driver::close_ticket(Ticket ticket) {
    answers_.erase(ticket.value);
    inquiries_.erase(ticket.value);
}

Ticket Driver::open_inquiry(InquiryCallback done) {
    Ticket ticket(next_ticket_++);
    inquiries_.emplace(ticket.value, std::move(done));
    return ticket;
}

WatchId Driver::watch(const protocol::TxnId& txn,
                      std::uint64_t since,
                      milliseconds limit,
                      async::UniqueFunction<void()> done) {
    Answer now = machine_.query(txn);
    bool settled = now.kind != AnswerKind::undecided && now.kind != AnswerKind::decided;
    if (draining_ || settled || now.report.version > since || limit.count() <= 0) {
        done();
        return {};
    }
    WatchId id(++last_watch_);
    auto& watcher = watchers_[id];
    watcher = std::make_unique<Watcher>(
        Watcher{watched_.emplace(txn, id), async::Timer(loop_), std::move(done)});
    watcher->timer.start(limit, [this, id] { wake(id); });
    return id;
}

void Driver::unwatch(WatchId watch) {
    auto found = watchers_.find(watch);
    if (found == watchers_.end()) return;
    // Last, because what it holds may look at us when it goes.
    std::unique_ptr<Watcher> gone = std::move(found->second);
    watched_.erase(gone->place);
    watchers_.erase(found);
}

void Driver::wake(const protocol::TxnId& txn) {
    std::vector<WatchId> due;
    auto [first, last] = watched_.equal_range(txn);
    for (; first != last; ++first) due.push_back(first->second);
    for (WatchId watch : due) wake(watch);
}

void Driver::wake(WatchId watch) {
    auto found = watchers_.find(watch);
    if (found == watchers_.end()) return;
    std::unique_ptr<Watcher> taken = std::move(found->second);
    watched_.erase(taken->place);
    watchers_.erase(found);
    taken->done();
}

// ---- participants
// --------------------------------------------------------------------------------

protocol::SenderStamp Driver::stamp() const { return machine_.stamp(log_.durable_position()); }

void Driver::complete(const Peer& peer, protocol::BatchRequest& batch) const {
    batch.sender = stamp();
    // Whom the log knows under this number, not who answers at the address now.
    const protocol::ParticipantRecord& enlisted = machine_.participants().at(peer.status.number);
    batch.participant = enlisted.uuid;
    batch.identity = enlisted.identity;
    batch.low_water = machine_.low_water(peer.status.number);
    batch.horizon = machine_.horizon();
    for (protocol::Item& item : batch.items) {
        if (item.deadline_ms == 0) continue;
        if (TWOFOLD_PLANTED_BUG("edge.deadline_starts_again")) continue;
        milliseconds left = time_left(item.key.group, milliseconds(item.deadline_ms));
        // Zero would mean: no deadline. The abort of what is over is on its way.
        item.deadline_ms = static_cast<std::uint32_t>(std::max(left, milliseconds{1}).count());
    }
}

void Driver::on_result(Peer& peer, protocol::ItemResult result) {
    metrics_.item_answered(peer.status.name, to_string(result.op), to_string(result.status));
    using protocol::ItemOp;
    bool vote = result.op == ItemOp::execute_prepare || result.op == ItemOp::prepare;
    bool ack = result.op == ItemOp::commit;
    if (result.op == ItemOp::one_phase) TWOFOLD_CRASH_POINT(coord_after_one_phase_result);
    if (vote) TWOFOLD_CRASH_POINT(coord_after_first_vote);
    submit(Reply{peer.status.number, std::move(result)});
    if (vote) TWOFOLD_CRASH_POINT(coord_after_last_vote);
    if (ack) TWOFOLD_CRASH_POINT(coord_after_first_commit_ack);
}

void Driver::on_failure(Peer& peer,
                        const ParticipantPort* via,
                        const protocol::Item& item,
                        const BatchEnd& end) {
    metrics_.item_answered(peer.status.name, to_string(item.op), to_string(end.outcome));
    submit(CallFailed{peer.status.number, item.key, item.op, end.outcome, end.why});
    if (via != peer.port.get()) return;  // an address that it has no more
    // A refused connection says that it is down; a lost answer may be one connection's bad luck.
    if (end.outcome == protocol::CallOutcome::not_sent) {
        peer_failed(peer, end.why);
    } else {
        look_at(peer);
    }
}

std::vector<ParticipantStatus> Driver::participants() const {
    std::vector<ParticipantStatus> out;
    out.reserve(peers_.size());
    for (const auto& peer : peers_) out.push_back(peer->status);
    return out;
}

const ParticipantStatus* Driver::find_participant(std::string_view name) const {
    for (const auto& peer : peers_) {
        if (peer->status.name == name) return &peer->status;
    }
    return nullptr;
}

protocol::ParticipantNumber Driver::number_of(std::string_view name) const {
    const ParticipantStatus* status = find_participant(name);
    if (status != nullptr && status->number.value != 0) return status->number;
    protocol::ParticipantNumber newest;
    for (const auto& [number, record] : machine_.participants()) {
        if (record.name == name) newest = number;
    }
    return newest;
}

std::string Driver::participant_name(protocol::ParticipantNumber number) const {
    const auto& all = machine_.participants();
    auto found = all.find(number);
    return found == all.end() ? std::string() : found->second.name;
}

// ---- shutdown
// ------------------------------------------------------------------------------------

void Driver::drain(milliseconds limit, async::UniqueFunction<void()> done) {
    draining_ = true;
    submit(Drain{});
    events_.close();
    // What they wait for may not come before the end; they ask again, elsewhere.
    while (!watchers_.empty()) wake(watchers_.begin()->first);
    await_the_last(steady_clock::now() + limit, std::move(done));
}

void Driver::await_the_last(steady_clock::time_point end, async::UniqueFunction<void()> done) {
    // Looks often enough that an idle coordinator stops at once for a person's sense of time.
    constexpr milliseconds kStep{20};
    auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
    if (machine_.counts().active == 0 || left.count() <= 0) {
        done();
        return;
    }
    auto timer = std::make_shared<async::Timer>(loop_);
    timer->start(std::min(left, kStep), [this, timer, end, done = std::move(done)]() mutable {
        await_the_last(end, std::move(done));
    });
}

void Driver::cut_off() {
    TWOFOLD_ASSERT(!stepping_, "cut off by an effect");
    cut_off_ = true;
    for (auto& peer : peers_) {
        for (Peer::Link& link : peer->former) link.outbox->drop_queued();
        peer->outbox->drop_queued();
    }
}

}  // namespace twofold::coordinator
