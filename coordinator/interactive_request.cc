#include "coordinator/interactive_request.h"

#include "coordinator/request_fields.h"
#include "protocol/json_reader.h"

#include <utility>

namespace twofold::coordinator {

using base::Errc;
using base::Result;
using protocol::ObjectReader;

namespace {

std::string_view object_text(std::string_view text) { return text.empty() ? "{}" : text; }

Result<std::map<std::string, std::uint32_t>> read_executes(ObjectReader& in,
                                                           const SubmitLimits& limits) {
    std::map<std::string, std::uint32_t> executes;
    const boost::json::value* value = in.optional("executes");
    if (value == nullptr) return executes;
    const boost::json::object* object = value->if_object();
    if (object == nullptr || object->size() > limits.branches_max) {
        return base::fail(Errc::invalid_argument,
                          "executes: must be an object of at most " +
                              std::to_string(limits.branches_max) +
                              " numbers under the names of participants");
    }
    ObjectReader counts(*value, "executes");
    for (const auto& member : *object) {
        executes.emplace(member.key(), counts.integer<std::uint32_t>(member.key()));
    }
    TWOFOLD_TRY(counts.finish());
    return executes;
}

}  // namespace

Result<EnlistBody> parse_enlist_body(std::string_view text, const SubmitLimits& limits) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, limits.json_depth_max));
    ObjectReader in(value, "");
    EnlistBody body;
    body.participant = in.text("participant");
    bool has_epoch = in.has("participant_epoch");
    bool has_session = in.has("session");
    if (has_epoch) body.participant_epoch = in.integer<std::uint32_t>("participant_epoch", 1);
    if (has_session) body.session = in.big_integer("session");
    body.options = read_branch_options(in);
    TWOFOLD_TRY(in.finish());
    if (has_epoch != has_session) {
        return base::fail(Errc::precondition_failed,
                          std::string(has_epoch ? "session" : "participant_epoch") +
                              ": missing; participant_epoch and session come together, from the "
                              "participant itself, or not at all");
    }
    return body;
}

Result<CommitBody> parse_commit_body(std::string_view text, const SubmitLimits& limits) {
    TWOFOLD_TRY(boost::json::value value,
                protocol::parse_json(object_text(text), limits.json_depth_max));
    ObjectReader in(value, "");
    CommitBody body;
    body.wait = read_wait(in);
    body.answer_within =
        read_milliseconds(in, "answer_within_ms", Milliseconds{0}, kAnswerWithinMax);
    TWOFOLD_TRY(body.executes, read_executes(in, limits));
    TWOFOLD_TRY(in.finish());
    return body;
}

Result<void> parse_abort_body(std::string_view text, const SubmitLimits& limits) {
    TWOFOLD_TRY(boost::json::value value,
                protocol::parse_json(object_text(text), limits.json_depth_max));
    return ObjectReader(value, "").finish();
}

}  // namespace twofold::coordinator
