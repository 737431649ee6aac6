#include "app/check_participant_cases.h"

#include "app/check_participant_keys.h"
#include "protocol/json.h"

#include <array>
#include <utility>

namespace twofold::app {

namespace {

using protocol::BranchKey;
using protocol::Item;
using protocol::ItemOp;
using protocol::ItemResult;
using protocol::ItemStatus;

const Statuses kYes{ItemStatus::yes};
const Statuses kCommitted{ItemStatus::committed};
const Statuses kAborted{ItemStatus::aborted};
const Statuses kRefused{ItemStatus::refused};
const Statuses kNotDone{ItemStatus::no, ItemStatus::refused};
// What may be said to the commit of something that was never prepared.
const Statuses kNoSuccess{ItemStatus::refused,
                          ItemStatus::unknown,
                          ItemStatus::hazard,
                          ItemStatus::aborted,
                          ItemStatus::heuristic_abort};

// A one-phase id names the number that the coordinator has given its participant.
constexpr protocol::ParticipantNumber kOurNumber(1);

// ---- steps that many cases share ------------------------------------------------------

Step prepared(CheckContext& c, const BranchKey& key) {
    return {c.probe.work(key, c.work),
            kYes,
            "P-4",
            "--work must be work that can be done, again and again, and be answered with yes"};
}

Step committed(CheckContext& c, const BranchKey& key, std::string_view rule, std::string_view why) {
    return {c.probe.finish(key, ItemOp::commit), kCommitted, rule, why};
}

Step aborted(CheckContext& c, const BranchKey& key, std::string_view why) {
    return {c.probe.finish(key, ItemOp::abort), kAborted, "P-6", why};
}

Step late_work(CheckContext& c, const BranchKey& key, std::string_view rule, std::string_view why) {
    return {c.probe.work(key, c.work), kRefused, rule, why};
}

constexpr std::string_view kCommitPrepared = "commit of a prepared branch must be committed";
constexpr std::string_view kAbortPrepared = "abort of a prepared branch must be aborted";

// ---- the cases ------------------------------------------------------------------------

Verdict description_is_stable(CheckContext& c) {
    protocol::ParticipantInfo before = c.probe.info();
    if (Verdict fault = c.probe.look()) return fault;
    const protocol::ParticipantInfo& now = c.probe.info();
    if (now.uuid != before.uuid || now.identity != before.identity || now.epoch != before.epoch) {
        return Fault{"P-1",
                     "uuid, identity or epoch differ between two calls, although it was not "
                     "restarted"};
    }
    return {};
}

Verdict yes_then_commit(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run({prepared(c, key), committed(c, key, "P-5", kCommitPrepared)});
}

Verdict yes_then_abort(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run({prepared(c, key), aborted(c, key, kAbortPrepared)});
}

Verdict commit_is_idempotent(CheckContext& c) {
    constexpr std::string_view kAgain = "commit of a committed branch must be committed again";
    BranchKey key = c.probe.new_branch();
    return c.probe.run({prepared(c, key),
                        committed(c, key, "P-5", kCommitPrepared),
                        committed(c, key, "P-5", kAgain),
                        committed(c, key, "P-5", kAgain)});
}

Verdict abort_is_idempotent(CheckContext& c) {
    constexpr std::string_view kAgain = "abort of an aborted branch must be aborted again";
    BranchKey key = c.probe.new_branch();
    return c.probe.run({prepared(c, key),
                        aborted(c, key, kAbortPrepared),
                        aborted(c, key, kAgain),
                        aborted(c, key, kAgain)});
}

// A `no` would say that nothing is left, and nobody would finish the branch.
Verdict work_is_not_done_twice(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run({prepared(c, key),
                        {c.probe.work(key, c.work),
                         {ItemStatus::yes, ItemStatus::unknown, ItemStatus::refused},
                         "P-10",
                         "a duplicate of work that is prepared must be answered with the same yes, "
                         "or unknown, or refused"},
                        committed(c, key, "P-5", kCommitPrepared),
                        {c.probe.work(key, c.work),
                         {ItemStatus::yes, ItemStatus::unknown, ItemStatus::refused},
                         "P-10",
                         "a duplicate of work that is committed must be answered with the same "
                         "yes, or unknown, or refused"},
                        committed(c, key, "P-5", "a late duplicate must not undo the commit")});
}

Verdict no_leaves_nothing(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run({{c.probe.work(key, c.failing_work),
                         kNotDone,
                         "P-11",
                         "--failing-work must be answered with no"},
                        {c.probe.finish(key, ItemOp::commit),
                         kNoSuccess,
                         "P-8",
                         "commit of a branch that said no must not be a success"},
                        aborted(c, key, "abort of a branch that said no must be aborted"),
                        late_work(c, key, "P-7", "work of an aborted branch must be refused")});
}

Verdict read_only_vote(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run({{c.probe.work(key, c.read_only_work),
                         {ItemStatus::read_only},
                         "P-16",
                         "--read-only-work must be answered with read_only"},
                        aborted(c, key, "abort of a read-only branch must be aborted")});
}

Verdict abort_of_unknown_forbids_work(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run(
        {aborted(c, key, "abort of a branch that never arrived must be aborted, and remembered"),
         late_work(c, key, "P-7", "work that comes after its abort must be refused"),
         aborted(c, key, "the late work must not have changed that")});
}

Verdict work_after_abort(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run(
        {prepared(c, key),
         aborted(c, key, kAbortPrepared),
         late_work(c, key, "P-7", "a duplicate of work that comes after the abort must be refused"),
         aborted(c, key, "the late work must not have changed that")});
}

// What is remembered of an aborted branch may be forgotten below low water, because everything
// below is refused.
Verdict work_below_low_water(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    BranchKey next = c.probe.new_branch();
    auto raise = [&next](protocol::BatchRequest& batch) {
        batch.low_water = next.group.position();
    };
    Step raised = aborted(c, next, "abort of a branch that never arrived must be aborted");
    raised.edit = raise;
    Step late = late_work(c,
                          key,
                          "P-14",
                          "work of an aborted branch must still be refused when low_water has "
                          "passed it");
    late.edit = raise;
    return c.probe.run({aborted(c, key, "abort of a branch that never arrived must be aborted"),
                        std::move(raised),
                        std::move(late)});
}

Verdict commit_of_unknown(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run({{c.probe.finish(key, ItemOp::commit),
                         kNoSuccess,
                         "P-8",
                         "commit of a branch that was never prepared must not be a success"}});
}

Verdict commit_after_abort(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run({prepared(c, key),
                        aborted(c, key, kAbortPrepared),
                        {c.probe.finish(key, ItemOp::commit),
                         kNoSuccess,
                         "P-9",
                         "commit of an aborted branch must be refused with protocol_violation"},
                        aborted(c, key, "the commit must not have changed that")});
}

Verdict abort_after_commit(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    return c.probe.run({prepared(c, key),
                        committed(c, key, "P-5", kCommitPrepared),
                        {c.probe.finish(key, ItemOp::abort),
                         {ItemStatus::refused, ItemStatus::heuristic_commit, ItemStatus::hazard},
                         "P-9",
                         "abort of a committed branch must be refused with protocol_violation"},
                        committed(c, key, "P-9", "the abort must not have changed that")});
}

// ---- who speaks to whom ---------------------------------------------------------------

Verdict another_participant_is_meant(CheckContext& c,
                                     const std::function<void(protocol::BatchRequest&)>& edit) {
    BranchKey key = c.probe.new_branch();
    BranchKey other = c.probe.new_branch();
    constexpr std::string_view kMust =
        "what is addressed to another participant or database must be refused with "
        "identity_mismatch";
    Step abort{c.probe.finish(key, ItemOp::abort), kRefused, "P-3", kMust, edit, true};
    Step work = late_work(c, other, "P-3", kMust);
    work.edit = edit;
    work.may_be_problem = true;
    return c.probe.run(
        {prepared(c, key),
         std::move(abort),
         std::move(work),
         committed(c, key, "P-3", "the abort that was refused must have done nothing")});
}

Verdict another_uuid(CheckContext& c) {
    return another_participant_is_meant(
        c, [](protocol::BatchRequest& batch) { batch.participant.bytes[15] ^= 1U; });
}

Verdict another_identity(CheckContext& c) {
    return another_participant_is_meant(
        c, [](protocol::BatchRequest& batch) { batch.identity.fields.emplace_back("other"); });
}

// A restarted coordinator finishes what its former start has prepared.
Verdict newer_start_of_the_coordinator(CheckContext& c) {
    BranchKey key = c.probe.new_branch();
    BranchKey other = c.probe.new_branch();
    if (Verdict fault = c.probe.run({prepared(c, key)})) return fault;
    ++c.probe.stamp().epoch;
    ++c.probe.stamp().start_nonce;
    return c.probe.run(
        {committed(
             c, key, "P-5", "commit by a newer start of the same coordinator must be committed"),
         aborted(c, other, "abort by a newer start of the same coordinator must be aborted")});
}

Verdict older_start_of_the_coordinator(CheckContext& c) {
    auto older = [](protocol::BatchRequest& batch) { --batch.sender.epoch; };
    constexpr std::string_view kMust =
        "a sender whose epoch is older than one that was accepted must be refused with "
        "stale_sender";
    BranchKey key = c.probe.new_branch();
    Step abort{c.probe.finish(key, ItemOp::abort), kRefused, "P-20", kMust, older};
    Step work = late_work(c, c.probe.new_branch(), "P-20", kMust);
    work.edit = older;
    return c.probe.run({prepared(c, key),
                        std::move(abort),
                        std::move(work),
                        committed(c, key, "P-20", "what was refused must have done nothing")});
}

Verdict another_participant_epoch(CheckContext& c) {
    auto other = [](protocol::BatchRequest& batch) { ++batch.items[0].participant_epoch; };
    BranchKey key = c.probe.new_branch();
    Step work = late_work(c,
                          c.probe.new_branch(),
                          "P-19",
                          "work of another participant epoch must be refused with "
                          "stale_participant_epoch");
    work.edit = other;
    Step commit = committed(c, key, "P-19", "a decision is valid in every participant epoch");
    commit.edit = other;
    return c.probe.run({std::move(work), prepared(c, key), std::move(commit)});
}

// ---- bad requests ---------------------------------------------------------------------

// A prepared branch, a request that would abort it if it were right, and a commit that shows
// whether it was.
Verdict bad_request(CheckContext& c,
                    std::string_view what,
                    const std::function<std::string(std::string)>& spoil) {
    BranchKey key = c.probe.new_branch();
    if (Verdict fault = c.probe.run({prepared(c, key)})) return fault;
    std::string body;
    protocol::append_batch_request(body, c.probe.batch({c.probe.finish(key, ItemOp::abort)}));
    Probe::Exchange answer = c.probe.post(spoil(std::move(body)));
    bool is_problem = answer.status >= 400 && answer.status < 500 &&
                      answer.content_type == "application/problem+json";
    if (!answer.no_answer.empty() || !is_problem) {
        std::string found = answer.no_answer.empty()
                                ? "status " + std::to_string(answer.status) + " with " +
                                      (answer.streamed ? "results" : answer.content_type)
                                : "no answer: " + answer.no_answer;
        return Fault{"P-12",
                     std::string(what) + " was answered with " + found +
                         ", must be a status from 400 to 499 with application/problem+json"};
    }
    return c.probe.run(
        {committed(c, key, "P-12", "a request that was refused must have done nothing at all")});
}

Verdict broken_json(CheckContext& c) {
    return bad_request(c, "a body that ends in its middle", [](std::string body) {
        body.resize(body.size() - 3);
        return body;
    });
}

// With batches it comes after an abort that is right.
Verdict unknown_op(CheckContext& c) {
    bool batch = c.probe.info().batch;
    return bad_request(c, "an item with op \"explode\"", [batch](std::string body) {
        std::size_t first = body.find("{\"op\"");
        std::string item = body.substr(first, body.rfind("]}") - first);
        std::string spoiled = item;
        spoiled.replace(spoiled.find("\"abort\""), 7, "\"explode\"");
        return body.replace(first, item.size(), batch ? item + "," + spoiled : spoiled);
    });
}

// ---- what only some can ---------------------------------------------------------------

// The first waits for what an older branch holds; its commit comes in the same request.
Verdict items_do_not_wait_for_each_other(CheckContext& c) {
    BranchKey held = c.probe.new_branch();
    BranchKey waiting = c.probe.new_branch();
    if (Verdict fault = c.probe.run({prepared(c, held)})) return fault;
    Item work = c.probe.work(waiting, c.work);
    work.options.lock_timeout_ms = 3'000;
    std::vector<Item> items{work, c.probe.finish(held, ItemOp::commit)};
    Probe::Exchange answer = c.probe.exchange(c.probe.batch(items));
    bool commit_answered = false;
    for (const ItemResult& result : answer.results) {
        if (result.op == ItemOp::commit) commit_answered = true;
        const std::string& code = result.reason.code;
        bool waited_in_vain = code == protocol::reason::kLockTimeout ||
                              code == protocol::reason::kStatementTimeout ||
                              code == protocol::reason::kDeadline;
        if (commit_answered || !waited_in_vain) continue;
        return Fault{"P-15",
                     describe(result) +
                         " before the commit in the same request that would have freed it; no "
                         "item may wait for another one's lock"};
    }
    if (!answer.no_answer.empty() && !commit_answered) {
        return Fault{"P-15",
                     "a commit in the same request as work that waits was not answered: " +
                         answer.no_answer + "; no item may wait for another one's lock"};
    }
    if (Verdict fault = c.probe.judge_form(answer, items)) return fault;
    return c.probe.run({committed(c, held, "P-5", "commit of a prepared branch in a batch"),
                        aborted(c, waiting, "abort must be aborted")});
}

Verdict one_phase_commits(CheckContext& c) {
    const Statuses done{ItemStatus::committed, ItemStatus::read_only};
    BranchKey key = c.probe.new_branch(kOurNumber);
    Statuses again = done;
    again.insert({ItemStatus::unknown, ItemStatus::refused});
    return c.probe.run({{c.probe.work(key, c.work, ItemOp::one_phase),
                         done,
                         "P-17",
                         "one_phase work that can be done must be committed"},
                        {c.probe.work(key, c.work, ItemOp::one_phase),
                         again,
                         "P-10",
                         "a duplicate must be answered with the same, or unknown"},
                        {c.probe.finish(key, ItemOp::settle_one_phase),
                         done,
                         "P-17",
                         "the outcome of committed one_phase work must be proved"}});
}

Verdict settle_of_unknown(CheckContext& c) {
    BranchKey key = c.probe.new_branch(kOurNumber);
    constexpr std::string_view kMust =
        "settling one_phase work that never arrived must forbid it and be aborted";
    return c.probe.run({{c.probe.finish(key, ItemOp::settle_one_phase), kAborted, "P-17", kMust},
                        {c.probe.work(key, c.work, ItemOp::one_phase),
                         {ItemStatus::refused, ItemStatus::aborted},
                         "P-17",
                         "work that comes after it was settled as aborted must be refused"},
                        {c.probe.finish(key, ItemOp::settle_one_phase), kAborted, "P-17", kMust}});
}

// ---- a restart ------------------------------------------------------------------------

Verdict judge_restarted(const protocol::ParticipantInfo& before,
                        const protocol::ParticipantInfo& now) {
    if (now.uuid != before.uuid || now.identity != before.identity) {
        return Fault{"P-1", "uuid or identity changed with the restart"};
    }
    if (now.epochs && now.epoch <= before.epoch) {
        return Fault{"P-19",
                     "the epoch was " + std::to_string(before.epoch) + " before the restart and " +
                         std::to_string(now.epoch) + " after it; every start must take a new one"};
    }
    return {};
}

Verdict survives_a_restart(CheckContext& c) {
    BranchKey done = c.probe.new_branch();
    BranchKey forbidden = c.probe.new_branch();
    BranchKey promised = c.probe.new_branch();
    Item late = c.probe.work(forbidden, c.work);
    if (Verdict fault = c.probe.run(
            {prepared(c, done),
             committed(c, done, "P-5", kCommitPrepared),
             aborted(c, forbidden, "abort of a branch that never arrived must be aborted"),
             prepared(c, promised)})) {
        return fault;
    }
    protocol::ParticipantInfo before = c.probe.info();
    if (Verdict fault = c.restart()) return fault;
    if (Verdict fault = judge_restarted(before, c.probe.info())) return fault;
    return c.probe.run(
        {committed(c,
                   promised,
                   "P-4",
                   "it was prepared before the restart: a yes must survive it, so its commit must "
                   "be committed"),
         committed(c, promised, "P-5", "commit of a committed branch must be committed again"),
         {c.probe.finish(done, ItemOp::commit),
          {ItemStatus::committed, ItemStatus::finished_earlier},
          "P-5",
          "it was committed before the restart and must be so again"},
         {std::move(late),
          kRefused,
          "P-7",
          "work of a branch that was aborted before the restart must be refused"}});
}

// ---- which of them --------------------------------------------------------------------

std::string_view always(const CheckContext& /*c*/) { return {}; }
std::string_view with_failing_work(const CheckContext& c) {
    return c.failing_work.empty() ? "give --failing-work JSON" : "";
}
std::string_view with_read_only(const CheckContext& c) {
    if (!c.probe.info().read_only) return "it has no read_only";
    return c.read_only_work.empty() ? "give --read-only-work JSON" : "";
}
std::string_view with_batch(const CheckContext& c) {
    return c.probe.info().batch ? "" : "it has no batch";
}
std::string_view with_one_phase(const CheckContext& c) {
    return c.probe.info().one_phase ? "" : "it has no one_phase";
}
std::string_view with_keys(const CheckContext& c) {
    return c.probe.info().keys ? "" : "it has no keys";
}
std::string_view with_keys_and_failing_work(const CheckContext& c) {
    if (!c.probe.info().keys) return "it has no keys";
    return c.failing_work.empty() ? "give --failing-work JSON" : "";
}
std::string_view with_epoch(const CheckContext& c) {
    return c.probe.info().epochs ? "" : "it has no epoch";
}
std::string_view with_restart(const CheckContext& c) {
    return c.restart ? "" : "give --restart-command CMD, which kills it and starts it again";
}

constexpr std::array kCases{
    CheckCase{"description_stable", always, description_is_stable},
    CheckCase{"yes_commit", always, yes_then_commit},
    CheckCase{"yes_abort", always, yes_then_abort},
    CheckCase{"commit_twice", always, commit_is_idempotent},
    CheckCase{"abort_twice", always, abort_is_idempotent},
    CheckCase{"work_twice", always, work_is_not_done_twice},
    CheckCase{"no", with_failing_work, no_leaves_nothing},
    CheckCase{"read_only", with_read_only, read_only_vote},
    CheckCase{"abort_unknown_then_work", always, abort_of_unknown_forbids_work},
    CheckCase{"work_after_abort", always, work_after_abort},
    CheckCase{"work_below_low_water", always, work_below_low_water},
    CheckCase{"commit_unknown", always, commit_of_unknown},
    CheckCase{"commit_after_abort", always, commit_after_abort},
    CheckCase{"abort_after_commit", always, abort_after_commit},
    CheckCase{"another_uuid", always, another_uuid},
    CheckCase{"another_identity", always, another_identity},
    CheckCase{"newer_coordinator", always, newer_start_of_the_coordinator},
    CheckCase{"older_coordinator", with_epoch, older_start_of_the_coordinator},
    CheckCase{"another_epoch", with_epoch, another_participant_epoch},
    CheckCase{"broken_json", always, broken_json},
    CheckCase{"unknown_op", always, unknown_op},
    CheckCase{"batch_items_independent", with_batch, items_do_not_wait_for_each_other},
    CheckCase{"one_phase", with_one_phase, one_phase_commits},
    CheckCase{"settle_unknown", with_one_phase, settle_of_unknown},
    CheckCase{"keys", with_keys, key_finds_its_commit},
    CheckCase{"key_of_failed_work", with_keys_and_failing_work, failed_work_frees_its_key},
    CheckCase{"restart", with_restart, survives_a_restart},
};

}  // namespace

std::span<const CheckCase> check_cases() { return kCases; }

}  // namespace twofold::app
