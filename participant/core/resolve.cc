// A person decides a prepared branch: only when every configured coordinator has said that it does
// not know it, because a coordinator that knows is always right. The decision is remembered, so
// that an order of the coordinator that says the opposite, should it come after all, is answered as
// heuristic, and never as done.
#include "base/assert.h"
#include "base/planted_bug.h"
#include "participant/core/machine_impl.h"

#include <algorithm>
#include <utility>

namespace twofold::participant {

using protocol::Decision;
using protocol::InquiryAnswer;
using protocol::ItemOp;
using protocol::ItemStatus;

namespace {

bool is_resolvable(BranchState state) {
    return state == BranchState::prepared || state == BranchState::in_doubt ||
           state == BranchState::parked;
}

// As far as it can be told: heuristic ends are ends against the decision.
std::optional<Decision> end_of(BranchState state) {
    switch (state) {
        case BranchState::committed:
        case BranchState::heuristic_commit: return Decision::commit;
        case BranchState::aborted:
        case BranchState::heuristic_abort: return Decision::abort;
        default: return std::nullopt;
    }
}

AnswerResolve::Evidence evidence_of(const CoordinatorWord& word, const protocol::BranchKey& key) {
    AnswerResolve::Evidence evidence{word.coordinator, "unreachable", false};
    if (!word.reply) return evidence;
    for (const protocol::InquiryAnswerItem& item : word.reply->items) {
        if (item.key != key) continue;
        evidence.answer = to_string(item.answer);
        evidence.own = word.reply->sender.incarnation == key.group.incarnation();
    }
    return evidence;
}

bool knows(const AnswerResolve::Evidence& evidence) {
    return evidence.own && (evidence.answer == to_string(InquiryAnswer::commit) ||
                            evidence.answer == to_string(InquiryAnswer::abort) ||
                            evidence.answer == to_string(InquiryAnswer::still_active));
}

// It may say something else later.
bool is_open(const AnswerResolve::Evidence& evidence) {
    bool cannot_tell = evidence.answer == to_string(InquiryAnswer::cannot_tell);
    return evidence.answer == "unreachable" || (evidence.own && cannot_tell);
}

}  // namespace

std::string_view to_string(ResolveStatus status) {
    switch (status) {
        case ResolveStatus::possible: return "possible";
        case ResolveStatus::accepted: return "accepted";
        case ResolveStatus::done_before: return "done_before";
        case ResolveStatus::not_ready: return "not_ready";
        case ResolveStatus::not_found: return "not_found";
        case ResolveStatus::wrong_state: return "wrong_state";
        case ResolveStatus::version_changed: return "version_changed";
        case ResolveStatus::coordinator_knows: return "coordinator_knows";
        case ResolveStatus::coordinator_unreachable: return "coordinator_unreachable";
    }
    TWOFOLD_UNREACHABLE("resolve status");
}

std::string Machine::Impl::version_of(const Branch& branch) const {
    return std::to_string(epoch_) + "." + std::to_string(branch.changed_at);
}

AnswerResolve Machine::Impl::resolve_answer(const ResolveReceived& input,
                                            ResolveStatus status,
                                            std::string text) const {
    AnswerResolve answer;
    answer.ticket = input.ticket;
    answer.status = status;
    answer.text = std::move(text);
    auto parsed = protocol::parse_gid(input.gid);
    if (!parsed) return answer;
    answer.key = parsed->key;
    auto found = table_.all().find(parsed->key);
    if (found == table_.all().end()) return answer;
    answer.state = to_string(found->second.state);
    answer.version = version_of(found->second);
    return answer;
}

std::optional<AnswerResolve> Machine::Impl::check_resolve(const ResolveReceived& input) const {
    auto refuse = [&](ResolveStatus status, std::string text) {
        return std::optional(resolve_answer(input, status, std::move(text)));
    };
    if (!ready_) return refuse(ResolveStatus::not_ready, "the database is not ready");
    auto parsed = protocol::parse_gid(input.gid);
    auto found = parsed ? table_.all().find(parsed->key) : table_.all().end();
    if (found == table_.all().end() || found->second.gid != input.gid) {
        return refuse(ResolveStatus::not_found, "this participant holds no branch " + input.gid);
    }
    const Branch& branch = found->second;
    if (!branch.operator_reason.empty() && end_of(branch.state) == input.outcome) {
        return refuse(ResolveStatus::done_before, {});
    }
    if (!is_resolvable(branch.state)) {
        return refuse(ResolveStatus::wrong_state,
                      "the branch is " + std::string(to_string(branch.state)) +
                          ": only one that is prepared, in doubt or parked can be resolved");
    }
    if (branch.unfinishable) {
        return refuse(ResolveStatus::wrong_state,
                      branch.reason.message + ": let that role finish it in the database");
    }
    if (version_of(branch) != input.version) {
        return refuse(ResolveStatus::version_changed,
                      "the branch has version " + version_of(branch) + " now");
    }
    return std::nullopt;
}

void Machine::Impl::on(ResolveReceived&& input) {
    if (auto refusal = check_resolve(input)) return emit(std::move(*refusal));
    Branch& branch = *table_.find(protocol::parse_gid(input.gid)->key);
    emit(AskCoordinators{input.ticket, {branch.key, branch.proof}});
    resolving_.emplace(input.ticket, std::move(input));
}

void Machine::Impl::on(CoordinatorsAnswered&& input) {
    auto found = resolving_.extract(input.ticket);
    if (found.empty()) return;
    ResolveReceived wanted = std::move(found.mapped());
    // It may have ended meanwhile.
    if (auto refusal = check_resolve(wanted)) return emit(std::move(*refusal));
    Branch& branch = *table_.find(protocol::parse_gid(wanted.gid)->key);
    std::vector<AnswerResolve::Evidence> evidence;
    evidence.reserve(input.words.size());
    for (const CoordinatorWord& word : input.words) {
        evidence.push_back(evidence_of(word, branch.key));
    }
    auto answer = [&](ResolveStatus status, std::string text) {
        AnswerResolve out = resolve_answer(wanted, status, std::move(text));
        out.evidence = evidence;
        emit(std::move(out));
    };
    auto knowing = std::ranges::find_if(evidence, knows);
    bool is_ignored = TWOFOLD_PLANTED_BUG("participant.resolve_what_is_known");
    if (knowing != evidence.end() && !is_ignored) {
        return answer(ResolveStatus::coordinator_knows,
                      knowing->coordinator + " says " + knowing->answer +
                          ": it finishes the branch by itself");
    }
    // It voted in this life of ours to a coordinator that was alive; that one may not be among
    // those that are configured here.
    bool has_own = std::ranges::any_of(evidence, &AnswerResolve::Evidence::own);
    if (branch.state == BranchState::prepared && !has_own && !evidence.empty() &&
        !wanted.coordinator_is_gone) {
        return answer(ResolveStatus::coordinator_unreachable,
                      "none of the coordinators that are configured here made the branch, and the "
                      "one that did had it prepared since this participant's start: only if that "
                      "one is gone for good, say so");
    }
    auto open = std::ranges::find_if(evidence, is_open);
    if ((open != evidence.end() || evidence.empty()) && !wanted.coordinator_is_gone) {
        return answer(ResolveStatus::coordinator_unreachable,
                      evidence.empty()
                          ? "no coordinator is configured here that could be asked"
                          : open->coordinator + " says " + open->answer +
                                ": bring it back; only if it is gone for good, say so");
    }
    if (wanted.dry_run) return answer(ResolveStatus::possible, {});
    answer(ResolveStatus::accepted, {});
    bool commit = wanted.outcome == Decision::commit;
    attach(branch, wanted.ticket, commit ? ItemOp::commit : ItemOp::abort);
    branch.operator_reason = std::move(wanted.reason);
    start_finish(branch, wanted.outcome);
}

bool Machine::Impl::answer_for_operator(Branch& branch, const ItemReceived& input) {
    if (branch.operator_reason.empty()) return false;
    Decision ordered = input.item.op == ItemOp::commit ? Decision::commit : Decision::abort;
    auto answer = [&](ItemStatus status, std::string text) {
        protocol::Reason why;
        if (!text.empty()) why = make_reason(protocol::reason::kByOperator, std::move(text));
        reply(input.ticket, input.item.op, branch.key, {status, std::move(why), true});
        return true;
    };
    std::optional<Decision> end = end_of(branch.state);
    if (!end) {
        if (branch.decision == ordered) return false;
        if (branch.state == BranchState::hazard) {
            return answer(ItemStatus::hazard, "a person decided it, and how it ended is not known");
        }
        return answer(ItemStatus::unknown, "a person has decided otherwise; not finished yet");
    }
    bool committed = end == Decision::commit;
    if (end == ordered) {
        return answer(committed ? ItemStatus::committed : ItemStatus::aborted, {});
    }
    raise_alarm(
        branch,
        committed ? "heuristic_commit" : "heuristic_abort",
        "the coordinator's decision is the opposite of a person's: " + branch.operator_reason);
    return answer(committed ? ItemStatus::heuristic_commit : ItemStatus::heuristic_abort,
                  "a person had decided otherwise: " + branch.operator_reason);
}

void Machine::Impl::adopt_resolutions(const std::vector<protocol::Resolution>& resolved) {
    resolved_.clear();
    for (const protocol::Resolution& one : resolved) resolved_.emplace(one.key, one);
}

bool Machine::Impl::resume_resolution(Branch& branch) {
    auto found = resolved_.find(branch.key);
    if (found == resolved_.end()) return false;
    branch.operator_reason = found->second.reason;
    start_finish(branch, found->second.decision);
    return true;
}

}  // namespace twofold::participant
