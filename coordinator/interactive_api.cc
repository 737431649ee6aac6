#include "coordinator/interactive_api.h"

#include "base/crash_point.h"
#include "coordinator/interactive_request.h"
#include "coordinator/keyed_calls.h"
#include "coordinator/problems.h"

#include <utility>

namespace twofold::coordinator {

namespace {

using http::Method;
using http::Request;
using http::ResponseSink;
using http::Role;

void enlist(const ApiContext& context,
            const protocol::TxnId& id,
            const Request& request,
            ResponseSink sink) {
    auto body = parse_enlist_body(request.body, context.limits());
    if (!body.has_value()) {
        sink.send(body_problem(body.error()));
        return;
    }
    http::Response refusal;
    const ParticipantStatus* status =
        usable_participant(context.driver, body.value().participant, "participant", refusal);
    if (status == nullptr) {
        sink.send(std::move(refusal));
        return;
    }
    Enlist input;
    input.txn = id;
    input.participant = status->number;
    input.participant_epoch = body.value().participant_epoch;
    input.session = body.value().session;
    input.options = body.value().options;
    context.run(
        std::move(sink),
        [&context, number = status->number](const Answer& answer) {
            TWOFOLD_CRASH_POINT(coord_before_enlist_answer);
            const TransactionReport& report = answer.report;
            return enlist_response(answer,
                                   context.driver.machine().participants().at(number),
                                   context.driver.stamp(),
                                   context.driver.time_left(report.txn, report.deadline));
        },
        [&input](Ticket ticket) {
            input.ticket = ticket;
            return input;
        });
}

void commit(const ApiContext& context,
            const protocol::TxnId& id,
            const Request& request,
            ResponseSink sink) {
    auto body = parse_commit_body(request.body, context.limits());
    if (!body.has_value()) {
        sink.send(body_problem(body.error()));
        return;
    }
    TWOFOLD_CRASH_POINT(coord_commit_received);
    CommitRequest input;
    input.txn = id;
    input.wait = body.value().wait;
    input.answer_within = body.value().answer_within;
    for (const auto& [name, executes] : body.value().executes) {
        http::Response refusal;
        const ParticipantStatus* status =
            usable_participant(context.driver, name, "executes." + name.substr(0, 128), refusal);
        if (status == nullptr) {
            sink.send(std::move(refusal));
            return;
        }
        input.expected_executes[status->number] = executes;
    }
    context.run(
        std::move(sink),
        [&context](const Answer& answer) { return terminate_response(answer, context.names()); },
        [&input](Ticket ticket) {
            input.ticket = ticket;
            return std::move(input);
        });
}

void abort(const ApiContext& context,
           const protocol::TxnId& id,
           const Request& request,
           ResponseSink sink) {
    auto body = parse_abort_body(request.body, context.limits());
    if (!body.has_value()) {
        sink.send(body_problem(body.error()));
        return;
    }
    TWOFOLD_CRASH_POINT(coord_abort_received);
    context.run(
        std::move(sink),
        [&context](const Answer& answer) { return abort_response(answer, context.names()); },
        [&id](Ticket ticket) {
            return AbortRequest{ticket, id};
        });
}

}  // namespace

void add_interactive_routes(http::Router& router, std::shared_ptr<const ApiContext> context) {
    const ApiOptions& options = context->options;
    auto calls =
        std::make_shared<KeyedCalls>(context->driver.loop(),
                                     ReplayMemory::Limits{options.keys_max, options.key_bytes_max},
                                     options.key_lifetime);
    using Handler =
        void (*)(const ApiContext&, const protocol::TxnId&, const Request&, ResponseSink);
    auto route = [&router, &context, &calls](std::string_view pattern, Handler handler) {
        router.add(Method::post,
                   pattern,
                   Role::client,
                   [context, calls, handler](const Request& request, ResponseSink sink) {
                       http::Response refusal;
                       auto id = transaction_of(request, refusal);
                       if (!id) {
                           sink.send(std::move(refusal));
                           return;
                       }
                       calls->run(request, std::move(sink), [&](ResponseSink recorded) {
                           handler(*context, *id, request, std::move(recorded));
                       });
                   });
    };
    route("/v1/transactions/{id}/branches", enlist);
    route("/v1/transactions/{id}/commit", commit);
    route("/v1/transactions/{id}/abort", abort);
}

}  // namespace twofold::coordinator
