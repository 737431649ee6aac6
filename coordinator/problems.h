// The problems that the coordinator's API answers with, beside those of every HTTP server. Codes
// are stable: clients decide by them.
#pragma once

#include "http/problem.h"

namespace twofold::coordinator::problems {

using http::ProblemCode;

inline constexpr ProblemCode kMalformedBody{
    "malformed_body", 400, "The body is not the JSON that this call takes", false};
inline constexpr ProblemCode kInvalidRequest{
    "invalid_request", 422, "The request cannot be carried out as it is", false};
inline constexpr ProblemCode kUnknownParticipant{
    "unknown_participant", 422, "No such participant is configured", false};
inline constexpr ProblemCode kKeyConflict{
    "idempotency_key_conflict", 422, "The Idempotency-Key came with another body before", false};
inline constexpr ProblemCode kKeyInProgress{
    "idempotency_key_in_progress", 409, "The first request under this key still runs", true};
inline constexpr ProblemCode kTransactionAborted{
    "transaction_aborted", 409, "The transaction was aborted: nothing was changed", false};
inline constexpr ProblemCode kTransactionHeuristic{
    "transaction_heuristic", 409, "A branch ended against the decision or cannot be proved", false};
inline constexpr ProblemCode kWrongState{
    "wrong_state", 409, "The transaction is not in a state that allows this", false};
inline constexpr ProblemCode kVersionChanged{
    "version_changed", 412, "It is not the version any more that If-Match names", false};
inline constexpr ProblemCode kVersionRequired{
    "version_required", 428, "This call needs If-Match with the version that was looked at", false};
inline constexpr ProblemCode kParticipantNotFound{
    "participant_not_found", 404, "No participant has this name", false};
inline constexpr ProblemCode kRegistrationOff{
    "registration_off", 403, "Participants are named in the configuration only", false};
inline constexpr ProblemCode kAnotherParticipant{
    "another_participant", 409, "Another participant answers at this address", false};
inline constexpr ProblemCode kOppositeOutcome{
    "opposite_outcome", 409, "The transaction has ended the other way", false};
inline constexpr ProblemCode kBranchLost{
    "branch_lost", 409, "A branch lost its work: the transaction can only abort", false};
inline constexpr ProblemCode kParticipantUnusable{
    "participant_unusable", 503, "The participant takes no new work for the moment", true};
inline constexpr ProblemCode kKeyUnsettled{
    "key_unsettled",
    503,
    "Nothing is decided under this Idempotency-Key yet: repeat the request",
    true};
inline constexpr ProblemCode kKeysExhausted{
    "keys_exhausted", 429, "Too many idempotency keys are remembered", true};
inline constexpr ProblemCode kTransactionNotFound{
    "transaction_not_found", 404, "No transaction has this id", false};
inline constexpr ProblemCode kTransactionExpired{
    "transaction_expired", 410, "The outcome is no longer remembered", false};
inline constexpr ProblemCode kCannotTell{
    "cannot_tell", 503, "The outcome depends on a participant that has not answered", true};
inline constexpr ProblemCode kNoRoom{
    "no_room", 503, "The coordinator takes no new transactions for the moment", true};
inline constexpr ProblemCode kRecovering{
    "recovering", 503, "The coordinator is reading its log", true};
inline constexpr ProblemCode kDraining{"draining", 503, "The coordinator is shutting down", true};

}  // namespace twofold::coordinator::problems
