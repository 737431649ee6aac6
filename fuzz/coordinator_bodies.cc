// Text to the request objects of applications: the body of every call that has one. Accepted bodies
// keep their limits, and their fields mean the same when they are written down again.
#include "base/assert.h"
#include "coordinator/interactive_request.h"
#include "coordinator/submit_request.h"
#include "fuzz/cursor.h"
#include "fuzz/targets.h"
#include "participant/execute_api.h"
#include "protocol/json_reader.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace twofold::fuzz {

namespace {

constexpr coordinator::SubmitLimits kLimits{
    .json_depth_max = 12, .branches_max = 4, .statements_max = 4, .labels_max = 3};

// A refusal is for a person: it is a sentence, and one of the two kinds.
template <class T>
void check_refusal(const base::Result<T>& result) {
    if (result.has_value()) return;
    bool known = result.error().code == base::Errc::invalid_argument ||
                 result.error().code == base::Errc::precondition_failed ||
                 result.error().code == base::Errc::limit_exceeded;
    TWOFOLD_ASSERT(known && !result.error().context.empty(), "a refusal without a reason");
    TWOFOLD_ASSERT(result.error().context.size() < 8192, "a refusal as long as its request");
}

void check_submit(std::string_view text) {
    auto body = coordinator::parse_submit_body(text, kLimits);
    check_refusal(body);
    if (!body.has_value()) return;
    const coordinator::SubmitBody& read = body.value();
    TWOFOLD_ASSERT(read.branches.size() <= kLimits.branches_max, "too many branches");
    TWOFOLD_ASSERT(read.one_shot == !read.branches.empty(), "one-shot without branches");
    TWOFOLD_ASSERT(read.options.labels.size() <= kLimits.labels_max, "too many labels");
    TWOFOLD_ASSERT(
        read.options.deadline.count() >= 1 && read.options.deadline <= kLimits.deadline_max,
        "a deadline outside of its limits");
    for (const coordinator::SubmitBranch& branch : read.branches) {
        TWOFOLD_ASSERT(branch.work != nullptr, "a branch without work");
        boost::system::error_code error;
        boost::json::value work = boost::json::parse(*branch.work, error);
        TWOFOLD_ASSERT(!error && work.is_array() && !work.get_array().empty() &&
                           work.get_array().size() <= kLimits.statements_max,
                       "work is no list of statements");
    }
}

// What the strict reader takes, an ordinary one takes too, and writes it as something that the
// strict one reads as the same.
void check_json(std::string_view text) {
    auto value = protocol::parse_json(text, kLimits.json_depth_max);
    check_refusal(value);
    if (!value.has_value()) return;
    boost::system::error_code error;
    boost::json::parse_options options;
    options.max_depth = kLimits.json_depth_max;
    boost::json::value plain = boost::json::parse(text, error, {}, options);
    TWOFOLD_ASSERT(!error && plain == value.value(), "two readers of JSON differ");
    auto again =
        protocol::parse_json(boost::json::serialize(value.value()), kLimits.json_depth_max);
    TWOFOLD_ASSERT(again.has_value(), "what was read cannot be written");
}

}  // namespace

void coordinator_bodies(base::ByteSpan input) {
    std::string_view text = as_text(input);
    check_json(text);
    check_submit(text);
    auto enlist = coordinator::parse_enlist_body(text, kLimits);
    check_refusal(enlist);
    TWOFOLD_ASSERT(!enlist.has_value() ||
                       (enlist.value().participant_epoch != 0 || enlist.value().session == 0),
                   "a session without an epoch");
    auto commit = coordinator::parse_commit_body(text, kLimits);
    check_refusal(commit);
    TWOFOLD_ASSERT(!commit.has_value() || commit.value().executes.size() <= kLimits.branches_max,
                   "too many counts");
    check_refusal(coordinator::parse_abort_body(text, kLimits));
    auto execute = participant::parse_execute_body(text);
    check_refusal(execute);
    TWOFOLD_ASSERT(!execute.has_value() || execute.value().work != nullptr, "a call without work");
}

}  // namespace twofold::fuzz
