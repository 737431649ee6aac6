#include "coordinator/submit_request.h"

#include "coordinator/request_fields.h"
#include "protocol/json_reader.h"

#include <boost/json/serialize.hpp>

#include <algorithm>
#include <memory>
#include <utility>

namespace twofold::coordinator {

namespace {

using base::Errc;
using base::Result;
using protocol::ObjectReader;

// The statements themselves are the participant's to judge; here only what every participant needs.
protocol::JsonText read_work(ObjectReader& in, const SubmitLimits& limits) {
    const boost::json::value* value = in.required("work");
    if (value == nullptr) return nullptr;
    const boost::json::array* array = value->if_array();
    if (array == nullptr || array->empty() || array->size() > limits.statements_max) {
        in.fail("work",
                "an array of 1 to " + std::to_string(limits.statements_max) + " statements");
        return nullptr;
    }
    for (const boost::json::value& statement : *array) {
        if (!statement.is_object()) {
            in.fail("work", "an array of objects such as {\"sql\": \"…\", \"params\": […]}");
            return nullptr;
        }
    }
    return std::make_shared<const std::string>(boost::json::serialize(*value));
}

Result<SubmitBranch> read_branch(const boost::json::value& value,
                                 std::string path,
                                 const SubmitLimits& limits) {
    ObjectReader in(value, std::move(path));
    SubmitBranch branch;
    branch.participant = in.text("participant");
    branch.work = read_work(in, limits);
    branch.options = read_branch_options(in);
    TWOFOLD_TRY(in.finish());
    return branch;
}

Result<void> read_branches(const boost::json::value& value,
                           const SubmitLimits& limits,
                           SubmitBody& body) {
    const boost::json::array* array = value.if_array();
    if (array == nullptr) {
        return base::fail(
            Errc::invalid_argument,
            "branches: must be an array, found " + std::string(protocol::json_kind_name(value)));
    }
    if (array->empty() || array->size() > limits.branches_max) {
        return base::fail(Errc::precondition_failed,
                          "branches: must be 1 to " + std::to_string(limits.branches_max) +
                              ", found " + std::to_string(array->size()));
    }
    for (std::size_t i = 0; i < array->size(); ++i) {
        std::string path = "branches[" + std::to_string(i) + "]";
        TWOFOLD_TRY(SubmitBranch branch, read_branch((*array)[i], path, limits));
        for (std::size_t k = 0; k < i; ++k) {
            if (body.branches[k].participant != branch.participant) continue;
            return base::fail(Errc::precondition_failed,
                              path + ".participant: \"" + branch.participant +
                                  "\" is already used by branches[" + std::to_string(k) +
                                  "]; put both works into one branch");
        }
        body.branches.push_back(std::move(branch));
    }
    return base::ok();
}

// What only makes sense where the same request ends the transaction, or only where it does not.
Result<void> check_kind(ObjectReader& in, bool one_shot) {
    for (const char* name : {"wait", "answer_within_ms"}) {
        if (one_shot || !in.has(name)) continue;
        return base::fail(Errc::precondition_failed,
                          std::string(name) +
                              ": only together with \"branches\"; without them it belongs to the "
                              "commit of the transaction");
    }
    if (one_shot && in.has("idle_deadline_ms")) {
        return base::fail(Errc::precondition_failed,
                          "idle_deadline_ms: not together with \"branches\": nobody is waited for");
    }
    return base::ok();
}

}  // namespace

Result<SubmitBody> parse_submit_body(std::string_view text, const SubmitLimits& limits) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, limits.json_depth_max));
    ObjectReader in(value, "");
    SubmitBody body;
    const boost::json::value* branches = in.optional("branches");
    body.one_shot = branches != nullptr;
    TWOFOLD_TRY(check_kind(in, body.one_shot));
    BeginOptions& options = body.options;
    options.deadline =
        read_milliseconds(in, "deadline_ms", limits.deadline_default, limits.deadline_max);
    options.idle_deadline =
        read_milliseconds(in, "idle_deadline_ms", Milliseconds{0}, limits.deadline_max);
    options.wait = read_wait(in);
    options.answer_within =
        read_milliseconds(in, "answer_within_ms", Milliseconds{0}, kAnswerWithinMax);
    TWOFOLD_TRY(options.labels, read_labels(in, limits.labels_max));
    TWOFOLD_TRY(in.finish());
    if (branches != nullptr) {
        TWOFOLD_TRY(read_branches(*branches, limits, body));
    }
    return body;
}

}  // namespace twofold::coordinator
