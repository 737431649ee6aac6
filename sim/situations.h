// The situations that a run can get into, by name. Each is marked where it really happens: when a
// participant has received the second copy of a message, not when somebody decided to send one.
// A table of hits so says what a number of seeds has been through, and what it has not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace twofold::sim {

// Clients.
#define TWOFOLD_SITUATIONS_OF_CLIENTS(X)                                                           \
    X(request_repeated_under_its_key,                                                              \
      "a request comes again with its key, and is answered as one")                                \
    X(begin_repeated_under_its_key, "a begin comes again with its key: no second transaction")     \
    X(begin_repeated_without_key, "a begin comes again without a key: a transaction is abandoned") \
    X(client_vanishes_in_open_transaction, "its client is gone, the deadline aborts it")           \
    X(client_vanishes_after_sending_commit, "nobody waits for the commit that becomes durable")    \
    X(outcome_answered_again, "an outcome was told, is asked for again and told again")            \
    X(abort_comes_after_commit, "commit and abort at once: the abort is told of the commit")       \
    X(commit_comes_after_abort, "commit and abort at once: the commit is told of the abort")       \
    X(outcome_asked_below_the_horizon, "an id is asked for that is forgotten: expired")            \
    X(outcome_asked_of_an_id_never_given, "an id is asked for that never existed: not found")      \
    X(commit_answered_while_a_participant_is_away, "decided, and a branch cannot be reached")      \
    X(commit_of_nothing, "an interactive transaction without branches commits")                    \
    X(single_branch_in_one_phase, "the only branch commits by itself")                             \
    X(single_branch_in_two_phases, "the only branch is prepared, decided, committed")              \
    X(client_loses_patience_during_a_force, "a force takes longer than a client waits")

// The coordinator's process, at each step of a transaction.
#define TWOFOLD_SITUATIONS_OF_COORDINATOR(X)                                                       \
    X(coordinator_dies_with_nothing_prepared, "work was sent, no branch is prepared")              \
    X(coordinator_dies_with_some_branches_prepared, "some branches are prepared, undecided")       \
    X(coordinator_dies_with_all_branches_prepared, "all branches are prepared, undecided")         \
    X(coordinator_dies_while_decision_is_forced, "the decision is appended, not durable")          \
    X(unforced_decision_survives, "recovery finds a decision that was never known to be durable")  \
    X(unforced_decision_is_lost, "recovery does not find a decision that was appended")            \
    X(coordinator_dies_between_decision_and_first_commit, "durable, and no commit was sent")       \
    X(coordinator_dies_between_first_and_last_commit, "one branch has committed, another has not") \
    X(coordinator_dies_before_end_is_logged, "all branches have committed, END is not durable")    \
    X(coordinator_dies_in_recovery, "it dies before the recovery from an earlier death is over")   \
    X(coordinator_dies_in_a_checkpoint, "the power goes or a force fails while one is written")    \
    X(coordinator_stands_still, "it goes on after a while, with what had come meanwhile")          \
    X(replaced_coordinator_goes_on, "an older process still sends work or decisions")              \
    X(replaced_coordinator_is_refused, "a participant refuses what an older process sends")        \
    X(new_work_refused_for_want_of_memory, "too many transactions at once")                        \
    X(one_shot_waits_for_slots, "a request waits until participants have room")

// The coordinator's log and its disk.
#define TWOFOLD_SITUATIONS_OF_LOG(X)                                                              \
    X(write_torn_between_sectors, "of one write some sectors survive the power cut")              \
    X(later_write_survives_an_earlier_one, "unforced writes survive out of order")                \
    X(name_is_lost, "an unforced create, rename or remove is undone by the power cut")            \
    X(torn_tail_is_discarded, "recovery drops an end of the log that was never acknowledged")     \
    X(force_fails, "a force reports an error: the process ends")                                  \
    X(recovery_reads_what_a_failed_force_left, "the page cache shows what the disk may not have") \
    X(pages_of_a_failed_force_are_lost, "and then the power goes")                                \
    X(disk_full_when_a_file_is_made, "no space for a new segment")                                \
    X(new_work_refused_for_want_of_log_space, "no room for new transactions in the log")          \
    X(bit_flip_is_refused, "a bit of the log has changed: recovery refuses it, naming the file")

// Messages.
#define TWOFOLD_SITUATIONS_OF_MESSAGES(X)                                                         \
    X(prepare_is_not_answered, "time is up for a prepare: unknown")                               \
    X(prepare_is_duplicated, "a participant gets the same prepare twice")                         \
    X(stale_prepare_after_abort, "a prepare comes after its abort was answered")                  \
    X(stale_execute_after_abort, "interactive work comes after its abort was answered")           \
    X(abort_of_a_branch_never_seen, "an abort comes for work that has not come")                  \
    X(abort_arrives_while_work_runs, "an abort comes while the database executes")                \
    X(abort_is_duplicated, "an abort comes for a branch whose abort was answered")                \
    X(late_yes_after_abort, "a yes comes when the decision is abort")                             \
    X(commit_is_not_answered, "time is up for a commit: it is sent again")                        \
    X(commit_is_duplicated, "a participant gets a commit of what it has committed")               \
    X(commit_of_a_branch_never_prepared, "a forged message: refused")                             \
    X(abort_after_commit, "a forged message about a committed branch changes nothing")            \
    X(commit_after_abort, "a forged message about an aborted branch changes nothing")             \
    X(decision_repeated_below_the_mark, "finished earlier: it ended and was forgotten here")      \
    X(message_from_before_both_restarts, "sender and receiver have restarted since it was sent")  \
    X(work_for_an_older_start_of_its_participant, "refused: it was enlisted by an earlier start") \
    X(cut_in_one_direction, "a message is lost where the way back is open")                       \
    X(decision_undelivered_for_long, "a participant is away until the alarm, and is retried")

// Participants and their databases.
#define TWOFOLD_SITUATIONS_OF_PARTICIPANTS(X)                                                \
    X(participant_dies_before_prepare, "work runs, nothing is prepared")                     \
    X(participant_dies_after_prepare, "the branch is prepared, the vote is not sent")        \
    X(participant_dies_after_commit, "the branch is committed, the answer is not sent")      \
    X(session_outlives_its_participant, "the work of a dead participant becomes prepared")   \
    X(participant_stands_still, "it goes on after a while, with what had come meanwhile")    \
    X(listing_fails, "what is prepared cannot be told: that is not nothing")                 \
    X(database_crashes_with_a_prepared_branch, "prepared branches survive, sessions do not") \
    X(branch_finished_by_hand_against_the_decision, "reported as heuristic")                 \
    X(locks_cross_between_two_databases, "two transactions wait for each other's locks")     \
    X(work_waits_for_a_prepared_branch, "a lock is held by a branch in doubt")

// Identity, time, copies.
#define TWOFOLD_SITUATIONS_OF_COPIES(X)                                                         \
    X(address_leads_to_another_database, "a message reaches another participant: refused")      \
    X(prepared_branch_vanishes, "a database goes back to before a branch was prepared")         \
    X(finished_branch_reappears, "a database goes back to where a finished branch is prepared") \
    X(forgotten_commit_is_asked_about, "a restored participant asks: expired, never abort")     \
    X(log_goes_back, "the log is replaced by an older copy of itself, and is refused")          \
    X(commit_is_lost_with_the_log, "a commit that a participant has heard is not in the copy")  \
    X(ids_are_given_after_the_log_went_back, "the accepted log takes new work, under new ids")  \
    X(clocks_run_at_different_rates, "a deadline is over sooner for one than for the other")

#define TWOFOLD_SITUATIONS(X)             \
    TWOFOLD_SITUATIONS_OF_CLIENTS(X)      \
    TWOFOLD_SITUATIONS_OF_COORDINATOR(X)  \
    TWOFOLD_SITUATIONS_OF_LOG(X)          \
    TWOFOLD_SITUATIONS_OF_MESSAGES(X)     \
    TWOFOLD_SITUATIONS_OF_PARTICIPANTS(X) \
    TWOFOLD_SITUATIONS_OF_COPIES(X)

enum class Situation : std::uint8_t {
#define TWOFOLD_SITUATION(name, what) name,
    TWOFOLD_SITUATIONS(TWOFOLD_SITUATION)
#undef TWOFOLD_SITUATION
};

struct NamedSituation {
    std::string_view name;
    std::string_view what;
};

inline constexpr auto kSituations = std::to_array<NamedSituation>({
#define TWOFOLD_SITUATION(name, what) {#name, what},
    TWOFOLD_SITUATIONS(TWOFOLD_SITUATION)
#undef TWOFOLD_SITUATION
});

// How often each has happened, in the order of kSituations.
using SituationHits = std::array<std::uint64_t, kSituations.size()>;

[[nodiscard]] constexpr std::size_t index_of(Situation situation) {
    return static_cast<std::size_t>(situation);
}

}  // namespace twofold::sim
