#include "app/check_participant_keys.h"

#include "base/rng.h"

#include <utility>

namespace twofold::app {

namespace {

using protocol::BranchKey;
using protocol::IdempotencyKey;
using protocol::Item;
using protocol::ItemOp;
using protocol::ItemResult;
using protocol::ItemStatus;

constexpr std::string_view kRule = "P-21";
// A one-phase id names the number that the coordinator has given its participant.
constexpr protocol::ParticipantNumber kOurNumber(1);

IdempotencyKey new_key() { return {base::random_bytes<16>(), base::random_bytes<16>()}; }

Item with_key(Item item, const IdempotencyKey& key) {
    item.idempotency = key;
    return item;
}

// A coordinator that has restarted does not know what it sent one-phase before.
void restart_coordinator(CheckContext& c) {
    ++c.probe.stamp().epoch;
    ++c.probe.stamp().start_nonce;
}

Step first_commit(CheckContext& c, const BranchKey& branch, const IdempotencyKey& key) {
    return {.item = with_key(c.probe.work(branch, c.work, ItemOp::one_phase), key),
            .allowed = {ItemStatus::committed},
            .rule = kRule,
            .must = "one_phase work under a key that was never used must be committed",
            .judge = [](const ItemResult& result) -> std::string_view {
                if (result.original) return "\"original\" is another id, and there is none";
                return result.recorded ? ""
                                       : "it is not recorded: --work must be work that changes "
                                         "something";
            }};
}

// Whatever is asked under the key is answered by the branch that has committed under it.
Step replayed(Item item, const IdempotencyKey& key, const BranchKey& original) {
    return {.item = with_key(std::move(item), key),
            .allowed = {ItemStatus::committed},
            .rule = kRule,
            .must =
                "the key was committed with this fingerprint: it must be committed, with "
                "\"original\"",
            .judge = [original](const ItemResult& result) -> std::string_view {
                return result.original == original.group
                           ? ""
                           : "\"original\" must be the id that has committed under the key";
            }};
}

}  // namespace

Verdict key_finds_its_commit(CheckContext& c) {
    IdempotencyKey key = new_key();
    IdempotencyKey other_body{key.key_hash, new_key().fingerprint};
    BranchKey original = c.probe.new_branch(kOurNumber);
    if (Verdict fault = c.probe.run({first_commit(c, original, key)})) return fault;
    restart_coordinator(c);
    BranchKey again = c.probe.new_branch(kOurNumber);
    BranchKey prepared = c.probe.new_branch();
    BranchKey asked = c.probe.new_branch(kOurNumber);
    BranchKey conflict = c.probe.new_branch(kOurNumber);
    Item conflicting = with_key(c.probe.work(conflict, c.work, ItemOp::one_phase), other_body);
    Item late = with_key(c.probe.work(asked, c.work, ItemOp::one_phase), key);
    return c.probe.run(
        {replayed(c.probe.work(again, c.work, ItemOp::one_phase), key, original),
         replayed(c.probe.work(prepared, c.work), key, original),
         replayed(c.probe.finish(asked, ItemOp::settle_one_phase), key, original),
         {.item = std::move(late),
          .allowed = {ItemStatus::committed, ItemStatus::refused},
          .rule = kRule,
          .must = "the work of a branch that was answered by another's commit must be refused, or "
                  "answered so again",
          .judge = [original](const ItemResult& result) -> std::string_view {
              bool is_done =
                  result.status == ItemStatus::committed && result.original != original.group;
              return is_done ? "it was committed by itself, so the work was done twice" : "";
          }},
         {.item = std::move(conflicting),
          .allowed = {ItemStatus::no, ItemStatus::aborted},
          .rule = kRule,
          .must = "the key was committed with another fingerprint: it must be no or aborted, with "
                  "idempotency_key_conflict",
          .judge = [](const ItemResult& result) -> std::string_view {
              if (result.key_free) return "a key that has committed is not free";
              return result.reason.code == protocol::reason::kKeyConflict
                         ? ""
                         : "the reason must be idempotency_key_conflict";
          }}});
}

// Whether or not the failure says that the key is free: it must not have used it up.
Verdict failed_work_frees_its_key(CheckContext& c) {
    IdempotencyKey key = new_key();
    BranchKey failed = c.probe.new_branch(kOurNumber);
    Step failing{.item = with_key(c.probe.work(failed, c.failing_work, ItemOp::one_phase), key),
                 .allowed = {ItemStatus::no, ItemStatus::aborted},
                 .rule = kRule,
                 .must = "--failing-work must be answered with no under a key, too",
                 .judge = [](const ItemResult& result) -> std::string_view {
                     return result.original ? "nothing has committed under the key" : "";
                 }};
    BranchKey next = c.probe.new_branch(kOurNumber);
    if (Verdict fault = c.probe.run({std::move(failing), first_commit(c, next, key)})) return fault;
    restart_coordinator(c);
    return c.probe.run({replayed(
        c.probe.work(c.probe.new_branch(kOurNumber), c.work, ItemOp::one_phase), key, next)});
}

}  // namespace twofold::app
