#include "coordinator/submit_request.h"

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

protocol::BranchOptions read_options(ObjectReader& in) {
    protocol::BranchOptions options;
    if (in.has("isolation")) {
        auto isolation = protocol::parse_isolation(in.text("isolation"));
        if (isolation) {
            options.isolation = *isolation;
        } else {
            in.fail("isolation",
                    "one of \"read_committed\", \"repeatable_read\", \"serializable\", "
                    "\"default\"");
        }
    }
    constexpr std::uint32_t kTimeoutMax = 3'600'000;
    if (in.has("lock_timeout_ms")) {
        options.lock_timeout_ms = in.integer<std::uint32_t>("lock_timeout_ms", 1, kTimeoutMax);
    }
    if (in.has("statement_timeout_ms")) {
        options.statement_timeout_ms =
            in.integer<std::uint32_t>("statement_timeout_ms", 1, kTimeoutMax);
    }
    return options;
}

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
    branch.options = read_options(in);
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

Result<void> read_labels(const boost::json::value& value,
                         const SubmitLimits& limits,
                         std::map<std::string, std::string>& labels) {
    const boost::json::object* object = value.if_object();
    if (object == nullptr || object->size() > limits.labels_max) {
        return base::fail(Errc::invalid_argument,
                          "labels: must be an object of at most " +
                              std::to_string(limits.labels_max) + " strings");
    }
    for (const auto& member : *object) {
        std::string name(member.key());
        const boost::json::string* text = member.value().if_string();
        bool fits = !name.empty() && name.size() <= 64 && text != nullptr && text->size() <= 256;
        if (!fits) {
            return base::fail(Errc::invalid_argument,
                              "labels." + name.substr(0, 64) +
                                  ": must be a string of at most 256 bytes under a name of 1 to "
                                  "64 bytes");
        }
        labels.emplace(std::move(name), std::string(*text));
    }
    return base::ok();
}

void read_wait(ObjectReader& in, BeginOptions& options) {
    if (!in.has("wait")) return;
    std::string wait = in.text("wait");
    if (wait == "applied") {
        options.wait = WaitFor::applied;
    } else if (wait == "decided") {
        options.wait = WaitFor::decided;
    } else {
        in.fail("wait", "\"applied\" or \"decided\"");
    }
}

}  // namespace

Result<SubmitBody> parse_submit_body(std::string_view text, const SubmitLimits& limits) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, limits.json_depth_max));
    ObjectReader in(value, "");
    SubmitBody body;
    body.options.deadline = limits.deadline_default;
    const boost::json::value* branches = in.required("branches");
    if (in.has("deadline_ms")) {
        auto longest = static_cast<std::uint32_t>(limits.deadline_max.count());
        body.options.deadline = Milliseconds(in.integer<std::uint32_t>("deadline_ms", 1, longest));
    }
    read_wait(in, body.options);
    if (in.has("answer_within_ms")) {
        body.options.answer_within =
            Milliseconds(in.integer<std::uint32_t>("answer_within_ms", 1, 3'600'000));
    }
    if (const boost::json::value* labels = in.optional("labels")) {
        TWOFOLD_TRY(read_labels(*labels, limits, body.options.labels));
    }
    TWOFOLD_TRY(in.finish());
    TWOFOLD_TRY(read_branches(*branches, limits, body));
    return body;
}

Result<protocol::IdempotencyKey> parse_idempotency_key(std::string_view field,
                                                       std::string_view body) {
    std::string_view key = field;
    if (key.size() >= 2 && key.front() == '"' && key.back() == '"') {
        key = key.substr(1, key.size() - 2);
    }
    bool visible = std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7f; });
    if (key.empty() || key.size() > 255 || !visible) {
        return base::fail(Errc::invalid_argument,
                          "Idempotency-Key: must be 1 to 255 visible ASCII characters, with or "
                          "without quotes");
    }
    protocol::IdempotencyKey out;
    base::Hash256 key_hash = base::sha256(base::as_bytes(key));
    base::Hash256 body_hash = base::sha256(base::as_bytes(body));
    std::copy_n(key_hash.begin(), out.key_hash.size(), out.key_hash.begin());
    std::copy_n(body_hash.begin(), out.fingerprint.size(), out.fingerprint.begin());
    return out;
}

}  // namespace twofold::coordinator
