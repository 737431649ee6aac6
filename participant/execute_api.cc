#include "participant/execute_api.h"

#include "async/timer.h"
#include "base/crash_point.h"
#include "base/json_writer.h"
#include "http/problem.h"
#include "protocol/json.h"
#include "protocol/request.h"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <utility>

namespace twofold::participant {

namespace {

namespace json = base::json;
namespace reason = protocol::reason;
using http::ProblemCode;
using http::Request;
using http::Response;
using http::ResponseSink;
using protocol::Reason;
using protocol::TxnId;

constexpr std::size_t kJsonDepthMax = 20;

constexpr ProblemCode kMalformedBody{
    "malformed_body", 400, "The body is not the JSON that this call takes", false};
constexpr ProblemCode kInvalidRequest{
    "invalid_request", 422, "The request cannot be carried out as it is", false};
constexpr ProblemCode kNotFound{"transaction_not_found", 404, "No transaction has this id", false};
constexpr ProblemCode kGone{"transaction_ended", 410, "The transaction has ended", false};
constexpr ProblemCode kBranchEnded{
    "branch_ended", 409, "The branch has ended: the transaction can only abort", false};
constexpr ProblemCode kWrongState{
    "wrong_state", 409, "The transaction is not in a state that allows this", false};
constexpr ProblemCode kUnreachable{
    "coordinator_unreachable", 503, "No coordinator could be asked about the transaction", true};
constexpr ProblemCode kEnlistmentRefused{
    "enlistment_refused", 503, "The coordinator takes no branch of this participant", true};
constexpr ProblemCode kBusy{
    "participant_busy", 503, "The participant takes no new work for the moment", true};
constexpr ProblemCode kKeyConflict{
    "idempotency_key_conflict", 422, "The Idempotency-Key came with another body before", false};
constexpr ProblemCode kKeyInProgress{
    "idempotency_key_in_progress", 409, "The first request under this key still runs", true};
constexpr ProblemCode kKeysExhausted{
    "keys_exhausted", 429, "Too many idempotency keys are remembered", true};

const ProblemCode& problem_of(CallStatus status) {
    switch (status) {
        case CallStatus::branch_ended: return kBranchEnded;
        case CallStatus::executed:
        case CallStatus::wrong_state: return kWrongState;
        case CallStatus::refused_by_coordinator: return kEnlistmentRefused;
        case CallStatus::not_found: return kNotFound;
        case CallStatus::gone: return kGone;
        case CallStatus::invalid: return kInvalidRequest;
        case CallStatus::coordinator_unreachable: return kUnreachable;
        case CallStatus::busy: return kBusy;
        case CallStatus::key_conflict: return kKeyConflict;
        case CallStatus::key_in_progress: return kKeyInProgress;
        case CallStatus::keys_exhausted: return kKeysExhausted;
    }
    return kWrongState;
}

Response refusal(const ProblemCode& code, const TxnId& txn, const Reason& why) {
    http::ProblemExtras extras;
    extras.transaction_id = txn.text();
    if (code.retryable) extras.retry_after_seconds = 1;
    if (!why.empty()) {
        std::string text;
        protocol::append_reason(text, why);
        extras.members_json.emplace_back("reason", std::move(text));
    }
    return http::problem(code, why.message, extras);
}

std::int64_t now_ms() {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// The desk with its shell: who waits for which call.
class ExecuteApi : public std::enable_shared_from_this<ExecuteApi> {
public:
    explicit ExecuteApi(Driver& driver)
        : driver_(driver), desk_(options_of(driver)), touch_timer_(driver.loop()) {}

    void receive(const TxnId& txn, const Request& request, ResponseSink sink) {
        auto call = parse_execute_body(request.body);
        if (!call.has_value()) {
            return sink.send(http::problem(kMalformedBody, call.error().context));
        }
        if (auto field = request.headers.find("Idempotency-Key")) {
            auto key = protocol::parse_idempotency_key(*field, request.body);
            if (!key.has_value()) {
                return sink.send(http::problem(kMalformedBody, key.error().context));
            }
            call.value().idempotency = key.value();
        }
        if (!driver_.ready()) {
            Reason why{std::string(reason::kNotReady), driver_.not_ready_reason(), -1, {}};
            return sink.send(refusal(kBusy, txn, why));
        }
        // What could never run does not cost the transaction.
        if (std::optional<Reason> why = driver_.check_work(call.value().work)) {
            return sink.send(refusal(kInvalidRequest, txn, *why));
        }
        call.value().txn = txn;
        call.value().call = CallId(++last_call_);
        // Who has left gives its connection back; the call goes on, as its caller may come again.
        sink.on_closed([weak = weak_from_this(), call = last_call_] {
            if (auto self = weak.lock()) self->waiting_.erase(call);
        });
        waiting_.emplace(last_call_, Waiting{txn, std::move(sink)});
        DeskEffects effects;
        desk_.start(driver_.epoch(), driver_.uuid());
        desk_.receive(std::move(call.value()), now_ms(), effects);
        act(std::move(effects));
    }

private:
    struct Waiting {
        TxnId txn;
        ResponseSink sink;
    };

    static ExecuteDesk::Options options_of(Driver& driver) {
        ExecuteDesk::Options options;
        options.coordinators = driver.coordinators().size();
        options.is_over = [&driver](const protocol::BranchKey& key) {
            return !driver.machine().is_unfinished(key);
        };
        return options;
    }

    void act(DeskEffects effects) {
        for (DeskEffect& effect : effects) {
            std::visit([this](auto& one) { handle(std::move(one)); }, effect);
        }
        watch_running();
    }

    // While a statement runs, its transaction is not idle.
    void watch_running() {
        std::optional<std::int64_t> due = desk_.next_touch();
        if (!due || touch_timer_.armed()) return;
        std::chrono::milliseconds left(std::max<std::int64_t>(*due - now_ms(), 1));
        touch_timer_.start(left, [this] {
            DeskEffects effects;
            desk_.touch(now_ms(), effects);
            act(std::move(effects));
        });
    }

    void handle(TouchCoordinator&& effect) {
        EnlistRequest request;
        request.txn = effect.txn;
        request.participant = driver_.name();
        request.participant_epoch = effect.participant_epoch;
        request.session = effect.session;
        driver_.coordinators()[effect.coordinator]->enlist(request, [](const EnlistReply&) {});
    }

    void handle(AskEnlist&& effect) {
        TWOFOLD_CRASH_POINT(part_before_enlist);
        EnlistRequest request;
        request.txn = effect.txn;
        request.participant = driver_.name();
        request.participant_epoch = driver_.epoch();
        request.session = effect.session;
        request.options = effect.options;
        driver_.coordinators()[effect.coordinator]->enlist(
            request, [weak = weak_from_this(), txn = effect.txn](EnlistReply reply) {
                auto self = weak.lock();
                if (self == nullptr) return;
                DeskEffects next;
                self->desk_.enlisted(txn, std::move(reply), now_ms(), next);
                self->act(std::move(next));
            });
    }

    void handle(RunCall&& effect) {
        driver_.execute(std::move(effect.input),
                        [weak = weak_from_this(), txn = effect.txn](
                            const ExecuteReply& reply, const protocol::ItemResult& result) {
                            auto self = weak.lock();
                            if (self == nullptr) return;
                            DeskEffects next;
                            self->desk_.ran(txn, reply, result, now_ms(), next);
                            self->act(std::move(next));
                        });
    }

    void handle(AnswerCall&& effect) {
        auto found = waiting_.find(effect.call.value);
        if (found == waiting_.end()) return;
        Waiting waiting = std::move(found->second);
        waiting_.erase(found);
        waiting.sink.send(execute_response(waiting.txn, effect.answer));
    }

    Driver& driver_;
    ExecuteDesk desk_;
    async::Timer touch_timer_;
    std::uint64_t last_call_ = 0;
    std::map<std::uint64_t, Waiting> waiting_;
};

void receive(ExecuteApi& api, const Request& request, ResponseSink sink) {
    std::string_view text = request.path_parameter("id");
    auto txn = TxnId::parse(text);
    if (!txn.has_value()) {
        sink.send(
            http::problem(kNotFound, "a transaction id has 48 characters of A-Z a-z 0-9 - _"));
        return;
    }
    auto context = request.headers.find(protocol::kTransactionHeader);
    if (context.has_value() && *context != text) {
        sink.send(http::problem(http::problems::kBadRequest,
                                std::string(protocol::kTransactionHeader) +
                                    ": names another transaction than the path; leave it out, or "
                                    "send the same id"));
        return;
    }
    api.receive(*txn, request, std::move(sink));
}

}  // namespace

base::Result<ExecuteCall> parse_execute_body(std::string_view text) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, kJsonDepthMax));
    protocol::ObjectReader in(value, "");
    ExecuteCall call;
    const boost::json::value* work = in.required("work");
    if (in.has("sequence")) call.sequence = in.integer<std::uint32_t>("sequence", 1);
    call.options = protocol::read_branch_options(in);
    TWOFOLD_TRY(in.finish());
    call.work = std::make_shared<const std::string>(boost::json::serialize(*work));
    return call;
}

Response execute_response(const TxnId& txn, const CallAnswer& answer) {
    Response response;
    if (answer.status == CallStatus::executed) {
        std::string body = "{";
        json::text(body, "transaction", txn.text());
        json::number(body, "branch", answer.key.branch);
        json::number(body, "attempt", answer.key.attempt);
        json::number(body, "sequence", answer.sequence);
        json::member(body, "results");
        body += answer.results == nullptr ? "[]" : *answer.results;
        response = http::json_response(200, body + "}\n");
    } else {
        response = refusal(problem_of(answer.status), txn, answer.reason);
    }
    response.headers.set(protocol::kTransactionHeader, txn.text());
    if (answer.is_replayed) response.headers.set("Idempotency-Replayed", "true");
    return response;
}

void add_execute_route(http::Router& router, Driver& driver) {
    auto api = std::make_shared<ExecuteApi>(driver);
    router.add(http::Method::post,
               "/v1/transactions/{id}/execute",
               http::Role::client,
               [api](const Request& request, ResponseSink sink) {
                   receive(*api, request, std::move(sink));
               });
}

}  // namespace twofold::participant
