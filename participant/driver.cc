#include "participant/driver.h"

#include "base/assert.h"
#include "base/crash_point.h"
#include "base/log.h"

#include <algorithm>
#include <utility>

namespace twofold::participant {

using base::Errc;
using base::log_event;
using base::LogLevel;
using protocol::FinishResult;
using protocol::ItemOp;
using std::chrono::milliseconds;

Driver::Driver(async::EventLoop& loop,
               Machine machine,
               ResourcePort& resource,
               MetricsPort& metrics,
               std::vector<std::unique_ptr<CoordinatorPort>> coordinators,
               DriverOptions options)
    : loop_(loop),
      machine_(std::move(machine)),
      resource_(resource),
      metrics_(metrics),
      coordinators_(std::move(coordinators)),
      options_(std::move(options)),
      jitter_(options_.jitter_seed),
      timers_(loop, [this](std::uint64_t number) { submit(TimerFired{TimerId(number)}); }),
      start_timer_(loop),
      probe_timer_(loop) {}

Driver::~Driver() = default;

void Driver::start(std::function<void(const base::Error&)> on_hopeless) {
    on_hopeless_ = std::move(on_hopeless);
    try_start();
}

void Driver::note_listing(const std::vector<protocol::PreparedBranch>& prepared) {
    auto now = std::chrono::steady_clock::now();
    prepared_since_.clear();
    for (const protocol::PreparedBranch& branch : prepared) {
        prepared_since_[branch.key] = now - milliseconds(branch.age_ms);
    }
}

milliseconds Driver::oldest_prepared_age() const {
    auto now = std::chrono::steady_clock::now();
    milliseconds oldest{0};
    for (const auto& [key, since] : prepared_since_) {
        if (!machine_.is_unfinished(key)) continue;  // finished since it was listed
        oldest = std::max(oldest, std::chrono::duration_cast<milliseconds>(now - since));
    }
    return oldest;
}

void Driver::cut_off() {
    TWOFOLD_ASSERT(!stepping_, "cut off by an effect");
    cut_off_ = true;
}

void Driver::try_start() {
    if (cut_off_) return;
    TWOFOLD_CRASH_POINT(part_start_before_database);
    resource_.start([this](base::Result<protocol::ResourceStart> started) {
        if (cut_off_) return;
        if (started.has_value()) {
            started_ = started.value();
            not_ready_reason_.clear();
            TWOFOLD_CRASH_POINT(part_recovery_after_list);
            log_event(LogLevel::info,
                      "resource_ready",
                      "the database is ready",
                      {{"participant", options_.name},
                       {"identity", started_.identity.text()},
                       {"epoch", started_.epoch},
                       {"prepared", static_cast<std::uint64_t>(started_.prepared.size())}});
            note_listing(started_.prepared);
            submit(ResourceStarted{std::move(started.value())});
            if (options_.on_ready) options_.on_ready();
            return;
        }
        const base::Error& error = started.error();
        not_ready_reason_ = error.context;
        log_event(LogLevel::warning,
                  "resource_not_ready",
                  error.context,
                  {{"code", to_string(error.code)}});
        bool hopeless = error.code == Errc::precondition_failed ||
                        error.code == Errc::permission_denied || error.code == Errc::locked ||
                        error.code == Errc::corrupt || error.code == Errc::unsupported_version ||
                        error.code == Errc::invalid_argument;
        if (hopeless) {
            on_hopeless_(error);
            return;
        }
        start_timer_.start(options_.start_retry, [this] { try_start(); });
    });
}

void Driver::receive(const protocol::BatchRequest& batch,
                     const ResultCallback& on_result,
                     std::vector<ReplyTicket>& tickets) {
    // All tickets exist before the first step: a step may answer at once.
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
        ReplyTicket ticket(next_ticket_++);
        tickets.push_back(ticket);
        replies_.emplace(ticket.value, on_result);
    }
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
        submit(ItemReceived{tickets[i],
                            batch.sender,
                            batch.participant,
                            batch.identity,
                            batch.low_water,
                            batch.horizon,
                            batch.items[i]});
    }
}

void Driver::execute(ExecuteReceived call, ExecuteCallback done) {
    call.ticket = ReplyTicket(next_ticket_++);
    execute_replies_.emplace(call.ticket.value, std::move(done));
    submit(std::move(call));
}

ReplyTicket Driver::receive_offer(const protocol::BatchRequest& batch, OfferCallback on_answer) {
    ReplyTicket ticket(next_ticket_++);
    offers_.emplace(ticket.value, std::move(on_answer));
    submit(SenderSeen{
        batch.sender, batch.participant, batch.identity, batch.low_water, batch.horizon, ticket});
    return ticket;
}

void Driver::resolve(ResolveReceived request, ResolveCallback said, ResultCallback ended) {
    request.ticket = ReplyTicket(next_ticket_++);
    resolve_replies_.emplace(request.ticket.value, std::move(said));
    replies_.emplace(request.ticket.value, std::move(ended));
    submit(std::move(request));
}

void Driver::abandon(const std::vector<ReplyTicket>& tickets) {
    for (ReplyTicket ticket : tickets) {
        if (replies_.erase(ticket.value) + offers_.erase(ticket.value) > 0) {
            submit(ReplyAbandoned{ticket});
        }
    }
}

protocol::ParticipantInfo Driver::info() const {
    protocol::ParticipantInfo info;
    info.uuid = started_.uuid;
    info.name = options_.name;
    info.identity = started_.identity;
    info.epoch = started_.epoch;
    info.position = resource_.position();
    info.slots = started_.slots;
    info.exclusive = started_.exclusive;
    info.one_phase = resource_.offers_one_phase();
    return info;
}

void Driver::submit(Input input) {
    if (cut_off_) return;
    // A resource may answer at once; its input waits until the running step's effects are done.
    queued_inputs_.push_back(std::move(input));
    if (stepping_) return;
    stepping_ = true;
    while (!queued_inputs_.empty()) {
        Input next = std::move(queued_inputs_.front());
        queued_inputs_.pop_front();
        Effects effects;
        machine_.step(std::move(next), effects);
        for (Effect& effect : effects) execute(std::move(effect));
    }
    stepping_ = false;
}

void Driver::execute(Effect&& effect) {
    std::visit([this]<class Alternative>(
                   Alternative&& alternative) { handle(std::forward<Alternative>(alternative)); },
               std::move(effect));
}

// ---- work
// ----------------------------------------------------------------------------------------

void Driver::handle(RunAndPrepare&& effect) {
    TWOFOLD_CRASH_POINT(part_before_prepare);
    protocol::BranchKey key = effect.work.key;
    resource_.execute_prepare(std::move(effect.work), [this, key](protocol::WorkResult result) {
        TWOFOLD_CRASH_POINT(part_after_prepare_before_reply);
        submit(WorkDone{key, std::move(result)});
    });
}

void Driver::handle(RunOnePhase&& effect) {
    TWOFOLD_CRASH_POINT(part_before_one_phase);
    protocol::BranchKey key = effect.work.key;
    resource_.one_phase(std::move(effect.work), [this, key](protocol::WorkResult result) {
        TWOFOLD_CRASH_POINT(part_after_one_phase_before_reply);
        submit(WorkDone{key, std::move(result)});
    });
}

void Driver::handle(ExecuteWork&& effect) {
    TWOFOLD_CRASH_POINT(part_before_execute);
    protocol::BranchKey key = effect.work.key;
    std::uint32_t sequence = effect.sequence;
    resource_.execute(
        std::move(effect.work), sequence, [this, key, sequence](protocol::WorkResult result) {
            TWOFOLD_CRASH_POINT(part_after_execute_before_reply);
            submit(ExecuteDone{key, sequence, std::move(result)});
        });
}

void Driver::handle(PrepareExecuted&& effect) {
    TWOFOLD_CRASH_POINT(part_before_prepare);
    resource_.prepare_executed(effect.key, [this, key = effect.key](protocol::WorkResult result) {
        TWOFOLD_CRASH_POINT(part_after_prepare_before_reply);
        submit(WorkDone{key, std::move(result)});
    });
}

void Driver::handle(CancelWork&& effect) {
    TWOFOLD_CRASH_POINT(part_before_session_end);
    resource_.cancel(effect.key, [this, key = effect.key](const base::Result<void>& done) {
        TWOFOLD_CRASH_POINT(part_after_session_end);
        submit(CancelDone{key, done.has_value()});
    });
}

// ---- finishing
// -----------------------------------------------------------------------------------

void Driver::handle(CommitPrepared&& effect) {
    TWOFOLD_CRASH_POINT(part_before_commit);
    protocol::BranchKey key = effect.request.key;
    resource_.commit(std::move(effect.request), [this, key](FinishResult result) {
        TWOFOLD_CRASH_POINT(part_after_commit_before_reply);
        submit(FinishDone{key, ItemOp::commit, std::move(result)});
    });
}

void Driver::handle(RollbackPrepared&& effect) {
    TWOFOLD_CRASH_POINT(part_before_rollback);
    protocol::BranchKey key = effect.request.key;
    resource_.rollback(std::move(effect.request), [this, key](FinishResult result) {
        TWOFOLD_CRASH_POINT(part_after_rollback_before_reply);
        submit(FinishDone{key, ItemOp::abort, std::move(result)});
    });
}

void Driver::handle(SettleOnePhase&& effect) {
    TWOFOLD_CRASH_POINT(part_before_settle);
    resource_.settle_one_phase(
        effect.key, effect.idempotency, [this, key = effect.key](FinishResult result) {
            TWOFOLD_CRASH_POINT(part_after_settle_before_reply);
            submit(FinishDone{key, ItemOp::settle_one_phase, std::move(result)});
        });
}

void Driver::handle(PersistSender&& effect) {
    TWOFOLD_CRASH_POINT(part_before_sender_persisted);
    resource_.persist_sender(
        effect.sender, [this, sender = effect.sender](const base::Result<void>& done) {
            TWOFOLD_CRASH_POINT(part_after_sender_persisted);
            SenderPersisted persisted{sender, done.has_value(), {}};
            if (!done.has_value() && done.error().code == Errc::timed_out) {
                persisted.reason = {
                    std::string(protocol::reason::kLockTimeout), done.error().context, -1, {}};
            }
            submit(std::move(persisted));
        });
}

void Driver::handle(NoteMarks&& effect) {
    resource_.note_marks(effect.incarnation, effect.low_water, effect.horizon);
}

void Driver::handle(ListPrepared&& /*effect*/) {
    resource_.list([this](base::Result<std::vector<protocol::PreparedBranch>> listed) {
        if (listed.has_value()) {
            note_listing(listed.value());
            note_database_answers();
            submit(Listed{true, std::move(listed.value())});
            return;
        }
        note_listing_failed(listed.error());
        submit(Listed{false, {}});
    });
}

// A database that is away has no use for new work: whoever asks is told so, and asked again are we.
// Until the first start has succeeded its own reason stands.
void Driver::note_listing_failed(const base::Error& error) {
    log_event(LogLevel::warning, "listing_failed", error.context, {});
    if (!machine_.ready() || cut_off_) return;
    if (not_ready_reason_.empty()) {
        log_event(LogLevel::warning,
                  "resource_not_ready",
                  error.context,
                  {{"participant", options_.name}, {"code", to_string(error.code)}});
    }
    not_ready_reason_ = "the database does not answer: " + error.context;
    probe_timer_.start(options_.listing_retry, [this] { probe(); });
}

void Driver::note_database_answers() {
    if (!machine_.ready() || not_ready_reason_.empty()) return;
    not_ready_reason_.clear();
    probe_timer_.cancel();
    log_event(LogLevel::info,
              "resource_ready",
              "the database answers again",
              {{"participant", options_.name}});
}

void Driver::probe() {
    if (cut_off_) return;
    resource_.list([this](const base::Result<std::vector<protocol::PreparedBranch>>& listed) {
        if (cut_off_) return;
        if (!listed.has_value()) return note_listing_failed(listed.error());
        note_database_answers();
    });
}

// ---- the coordinators
// ----------------------------------------------------------------------------

void Driver::handle(SendInquiry&& effect) {
    TWOFOLD_CRASH_POINT(part_before_inquiry);
    protocol::InquiryRequest request;
    request.participant = started_.uuid;
    request.identity = started_.identity;
    request.participant_epoch = started_.epoch;
    request.position = resource_.position();
    request.senders = std::move(effect.senders);
    request.items = std::move(effect.items);
    if (coordinators_.empty()) {
        submit(InquiryFailed{});
        return;
    }
    // The machine hears of each answer; of a failure only when nobody answered.
    struct Round {
        std::size_t open = 0;
        bool answered = false;
    };
    auto round = std::make_shared<Round>();
    round->open = coordinators_.size();
    for (auto& coordinator : coordinators_) {
        coordinator->inquire(request, [this, round](base::Result<protocol::InquiryReply> reply) {
            --round->open;
            if (reply.has_value()) {
                round->answered = true;
                TWOFOLD_CRASH_POINT(part_after_inquiry);
                submit(InquiryAnswered{std::move(reply.value())});
            } else {
                log_event(LogLevel::info, "inquiry_failed", reply.error().context, {});
            }
            if (round->open == 0 && !round->answered) submit(InquiryFailed{});
        });
    }
}

void Driver::handle(AskCoordinators&& effect) {
    protocol::InquiryRequest request;
    request.participant = started_.uuid;
    request.identity = started_.identity;
    request.participant_epoch = started_.epoch;
    request.position = resource_.position();
    request.items = {std::move(effect.item)};
    auto round = std::make_shared<CoordinatorsAnswered>();
    round->ticket = effect.ticket;
    if (coordinators_.empty()) return submit(std::move(*round));
    for (auto& coordinator : coordinators_) {
        coordinator->inquire(
            request,
            [this, round, url = coordinator->url()](base::Result<protocol::InquiryReply> reply) {
                CoordinatorWord word;
                word.coordinator = url;
                if (reply.has_value()) {
                    word.reply = std::move(reply.value());
                } else {
                    word.error = reply.error().context;
                }
                round->words.push_back(std::move(word));
                if (round->words.size() == coordinators_.size()) submit(std::move(*round));
            });
    }
}

void Driver::handle(AnswerResolve&& effect) {
    auto found = resolve_replies_.find(effect.ticket.value);
    if (found == resolve_replies_.end()) return;
    auto said = std::move(found->second);
    resolve_replies_.erase(found);
    if (effect.status != ResolveStatus::accepted) replies_.erase(effect.ticket.value);
    said(effect);
}

void Driver::handle(SendReply&& effect) {
    if (effect.execute.has_value()) {
        auto execute = execute_replies_.find(effect.ticket.value);
        if (execute == execute_replies_.end()) return;
        auto done = std::move(execute->second);
        execute_replies_.erase(execute);
        metrics_.item_answered("execute", to_string(effect.execute->status));
        return done(*effect.execute, effect.result);
    }
    auto found = replies_.find(effect.ticket.value);
    if (found == replies_.end()) return;
    auto on_result = std::move(found->second);
    replies_.erase(found);
    effect.result.position = resource_.position();
    metrics_.item_answered(to_string(effect.result.op), to_string(effect.result.status));
    on_result(effect.result);
}

void Driver::handle(AnswerOffer&& effect) {
    auto found = offers_.find(effect.ticket.value);
    if (found == offers_.end()) return;
    OfferCallback on_answer = std::move(found->second);
    offers_.erase(found);
    on_answer(effect.reply);
}

void Driver::handle(ArmTimer&& effect) {
    auto low = static_cast<std::uint64_t>(effect.delay_min.count());
    auto high = static_cast<std::uint64_t>(std::max(effect.delay_min, effect.delay_max).count());
    timers_.arm(effect.timer.value, milliseconds(jitter_.between(low, high)));
}

void Driver::handle(RaiseAlarm&& effect) {
    metrics_.alarm(effect.code);
    log_event(LogLevel::error,
              "alarm",
              effect.text,
              {{"code", effect.code}, {"branch", effect.key.text()}});
}

}  // namespace twofold::participant
