#include "sim/sabotage.h"

#include "sim/run.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace twofold::sim {

// The switch and the rule that it breaks; rows of the coordinator, the participant, and the others.
#define TWOFOLD_SABOTAGE(scope, field, what)                                          \
    {                                                                                 \
        #scope #field, what, [](Sabotage& bugs) -> bool& { return bugs.scope field; } \
    }
#define TWOFOLD_COORDINATOR(field, what) TWOFOLD_SABOTAGE(coordinator., field, what)
#define TWOFOLD_PARTICIPANT(field, what) TWOFOLD_SABOTAGE(participant., field, what)
#define TWOFOLD_SIM(field, what) TWOFOLD_SABOTAGE(, field, what)

const std::vector<NamedSabotage>& all_sabotage() {
    static const std::vector<NamedSabotage> all = {
        TWOFOLD_COORDINATOR(send_commit_before_decided,
                            "commit leaves before the decision is durable"),
        TWOFOLD_COORDINATOR(answer_before_decided,
                            "the client is answered before the decision is durable"),
        TWOFOLD_COORDINATOR(commit_without_all_votes, "a missing vote counts as yes"),
        TWOFOLD_COORDINATOR(treat_unknown_prepare_as_yes, "an unanswered prepare counts as yes"),
        TWOFOLD_COORDINATOR(end_before_all_acks,
                            "a group ends before every branch has acknowledged"),
        TWOFOLD_COORDINATOR(inquiry_abort_while_active,
                            "an inquiry about an active group is answered abort"),
        TWOFOLD_COORDINATOR(inquiry_abort_below_horizon,
                            "an inquiry about a forgotten id is answered abort"),
        TWOFOLD_COORDINATOR(forget_unfinished_on_recovery, "recovery drops unfinished commits"),
        TWOFOLD_COORDINATOR(reuse_sequence_after_restart, "ids are used twice"),
        TWOFOLD_COORDINATOR(accept_stale_epoch_vote,
                            "a vote of another epoch of the participant counts"),
        TWOFOLD_COORDINATOR(skip_identity_check, "an answer of another database counts"),
        TWOFOLD_COORDINATOR(give_up_after_three_tries, "a decision is not retried for ever"),
        TWOFOLD_COORDINATOR(hazard_counts_as_committed, "an unprovable end counts as committed"),
        TWOFOLD_COORDINATOR(rerun_before_settling,
                            "one-phase work goes on under a new id, the old one is not settled"),
        TWOFOLD_COORDINATOR(presume_after_restore,
                            "an accepted copy of the log is presumed to be complete"),
        TWOFOLD_COORDINATOR(drop_sealed_outcomes,
                            "a checkpoint does not name the newest file of outcomes"),
        TWOFOLD_COORDINATOR(forget_late_outcomes,
                            "an outcome that comes after its neighbours were sealed is not kept"),
        TWOFOLD_COORDINATOR(free_keys_early, "a key is free before the end of its time is durable"),
        TWOFOLD_COORDINATOR(evict_unforced_keys,
                            "a report is evicted while its key's abort is being forced"),
        TWOFOLD_PARTICIPANT(vote_yes_before_durable, "yes before the branch is durable"),
        TWOFOLD_PARTICIPANT(forget_tombstone, "an abort is forgotten"),
        TWOFOLD_PARTICIPANT(accept_any_participant_epoch, "work enlisted in another epoch is run"),
        TWOFOLD_PARTICIPANT(accept_stale_sender, "a replaced coordinator is obeyed"),
        TWOFOLD_PARTICIPANT(accept_copied_log, "a coordinator on a copy of its log is obeyed"),
        TWOFOLD_PARTICIPANT(commit_unknown_is_success, "commit of an unknown branch is a success"),
        TWOFOLD_PARTICIPANT(resolve_alone_after_restart,
                            "a restarted participant aborts without asking"),
        TWOFOLD_PARTICIPANT(abort_on_cannot_tell, "\"cannot tell\" is taken for abort"),
        TWOFOLD_PARTICIPANT(abort_on_still_active, "\"still active\" is taken for abort"),
        TWOFOLD_PARTICIPANT(failed_listing_is_empty,
                            "a failed listing means that nothing is prepared"),
        TWOFOLD_PARTICIPANT(skip_identity_check, "a message for another database is obeyed"),
        TWOFOLD_PARTICIPANT(ignore_low_water, "work below the low-water mark is run"),
        TWOFOLD_PARTICIPANT(abort_without_cancelling,
                            "an abort is answered while the work still runs"),
        TWOFOLD_PARTICIPANT(rollback_without_proof,
                            "a rollback takes \"does not exist\" for success"),
        TWOFOLD_PARTICIPANT(ignore_key_in_progress,
                            "work is done beside running work of the same key"),
        TWOFOLD_PARTICIPANT(replay_is_abort, "what a key has committed is answered as aborted"),
        TWOFOLD_SIM(log_skips_force, "the file's force does nothing"),
        TWOFOLD_SIM(log_skips_directory_force, "the directory's force does nothing"),
        TWOFOLD_SIM(reply_before_force, "\"durable\" is said before the force"),
        TWOFOLD_SIM(ignore_failed_force, "a failed force is taken for success"),
        TWOFOLD_SIM(stale_checkpoint, "a checkpoint describes an older state"),
        TWOFOLD_SIM(recovery_loses_newest_commit, "recovery drops the newest unfinished commit"),
        TWOFOLD_SIM(start_without_fencing,
                    "a new sidecar leaves the sessions of the old one alone"),
        TWOFOLD_SIM(stale_low_water, "batches carry a low-water mark that is too high"),
        TWOFOLD_SIM(cut_off_reply_as_success, "an unanswered commit counts as done"),
    };
    return all;
}

#undef TWOFOLD_SIM
#undef TWOFOLD_PARTICIPANT
#undef TWOFOLD_COORDINATOR
#undef TWOFOLD_SABOTAGE

namespace {

// Written by the child, read by the parent.
struct Report {
    std::uint64_t seed = 0;
    bool caught = false;
    char by[64] = {};
    char text[512] = {};
};

void copy_text(char* out, std::size_t size, const std::string& text) {
    std::size_t count = std::min(text.size(), size - 1);
    std::memcpy(out, text.data(), count);
    out[count] = '\0';
}

[[noreturn]] void run_child(Report& report,
                            const Sabotage& bugs,
                            std::uint64_t first,
                            std::uint64_t limit) {
    // The broken invariant's message is not news here.
    (void)std::freopen("/dev/null", "w", stderr);
    for (std::uint64_t seed = first; seed < first + limit; ++seed) {
        report.seed = seed;
        RunReport run = run_seed(seed, bugs);
        if (!run.violation.has_value()) continue;
        copy_text(report.by, sizeof report.by, run.violation->checker);
        copy_text(report.text, sizeof report.text, run.violation->text);
        report.caught = true;
        break;
    }
    _exit(0);
}

}  // namespace

std::optional<Sabotage> make_sabotage(std::string_view name) {
    for (const NamedSabotage& one : all_sabotage()) {
        if (one.name != name) continue;
        Sabotage bugs;
        one.flag(bugs) = true;
        return bugs;
    }
    return std::nullopt;
}

std::optional<Caught> search(std::string_view name, std::uint64_t first, std::uint64_t limit) {
    auto bugs = make_sabotage(name);
    if (!bugs.has_value()) return std::nullopt;
    void* memory =
        mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return std::nullopt;
    auto* report = new (memory) Report;
    (void)std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0) run_child(*report, *bugs, first, limit);
    int status = 0;
    if (child > 0) (void)waitpid(child, &status, 0);
    std::optional<Caught> caught;
    std::uint64_t seeds = report->seed - first + 1;
    if (child > 0 && WIFSIGNALED(status)) {
        caught = Caught{"assertion", "the process ended itself", seeds, report->seed};
    } else if (report->caught) {
        caught = Caught{report->by, report->text, seeds, report->seed};
    }
    (void)munmap(memory, sizeof(Report));
    return caught;
}

}  // namespace twofold::sim
