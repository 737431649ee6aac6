// What the answer to a branch's script means; see script.h.
#include "base/planted_bug.h"
#include "participant/postgres/admission.h"
#include "participant/postgres/error_class.h"
#include "participant/postgres/script.h"

#include <utility>

namespace twofold::participant::postgres {

namespace {

namespace reason = protocol::reason;

constexpr std::string_view kUniqueViolation = "23505";
constexpr std::string_view kDuplicateObject = "42710";
constexpr std::string_view kOutOfMemory = "53200";
constexpr std::string_view kInvalidText = "22P02";     // of error_expression()
constexpr std::string_view kDivisionByZero = "22012";  // of the looks for the key and our tables
constexpr std::string_view kWarning = "01000";

class Judge {
public:
    Judge(const Script& script,
          const std::vector<WorkStatement>& statements,
          const Limits& limits,
          const Reply& reply)
        : script_(script), statements_(statements), limits_(limits), reply_(reply) {}

    Verdict run() {
        if (reply_.loss != Loss::none) {
            verdict_.finding = Finding::lost;
            verdict_.reason = make_reason(reason::kUnavailable, reply_.loss_text);
            return std::move(verdict_);
        }
        verdict_.after =
            reply_.transaction == TransactionStatus::idle ? Cleanliness::used : Cleanliness::failed;
        std::size_t failed = first_failed();
        verdict_.key_free = script_.checks_key && failed > script_.settings;
        if (failed == reply_.results.size()) {
            on_success();
        } else {
            on_failure(failed);
        }
        if (verdict_.finding == Finding::examine) verdict_.after = Cleanliness::broken;
        return std::move(verdict_);
    }

private:
    [[nodiscard]] std::size_t first_failed() const {
        std::size_t i = 0;
        while (i < reply_.results.size() && reply_.results[i].ok()) ++i;
        return i;
    }

    void find(Finding finding, std::string_view code = {}, std::string message = {}) {
        verdict_.finding = finding;
        if (!code.empty()) verdict_.reason = make_reason(code, std::move(message));
    }

    // ---- nothing failed ----

    void on_success() {
        if (reply_.results.size() <= script_.end) return on_rest();
        const StatementResult& end = reply_.results[script_.end];
        std::string_view wanted = script_.one_phase ? "COMMIT" : "PREPARE TRANSACTION";
        // PREPARE in a failed transaction is no error: it says ROLLBACK.
        bool is_other = end.tag != wanted && !TWOFOLD_PLANTED_BUG("postgres.any_tag_is_prepared");
        if (is_other || reply_.transaction != TransactionStatus::idle) {
            return find(
                Finding::examine,
                reason::kProtocolViolation,
                "the transaction ended with " + end.tag + " instead of " + std::string(wanted));
        }
        if (std::string odd = odd_tag(); !odd.empty()) {
            return find(Finding::examine, reason::kProtocolViolation, odd);
        }
        read_token();
        verdict_.replicated =
            !has_replication_notice() || TWOFOLD_PLANTED_BUG("postgres.unreplicated_is_yes");
        if (script_.one_phase) return on_committed();
        protocol::Reason missed = missed_expectation();
        if (!verdict_.replicated) {
            find(Finding::undo,
                 reason::kNotReplicated,
                 "no synchronous standby has confirmed the prepared branch");
        } else if (!missed.empty()) {
            find(Finding::undo);
            verdict_.reason = std::move(missed);
        } else {
            find(Finding::prepared);
            take_results();
        }
    }

    // Everything but the end was sent, or a call of an interactive branch. The transaction is open.
    void on_rest() {
        if (std::string odd = odd_tag();
            !odd.empty() || reply_.transaction != TransactionStatus::open) {
            return find(
                Finding::examine, reason::kProtocolViolation, odd + "the transaction is not open");
        }
        protocol::Reason missed = missed_expectation();
        find(missed.empty() ? Finding::proceed : Finding::refused);
        verdict_.reason = std::move(missed);
    }

    void on_committed() {
        find(Finding::committed);
        verdict_.recorded = rows_in_tag(reply_.results[script_.witness].tag) == 1;
        if (!verdict_.replicated) {
            verdict_.reason = make_reason(reason::kNotReplicated,
                                          "committed here, but no synchronous standby has "
                                          "confirmed it: a failover may lose it");
        }
        take_results();
    }

    // Empty when every statement answered as its kind does. A tag of transaction control in the
    // middle would mean that work was committed or lost on the way.
    [[nodiscard]] std::string odd_tag() const {
        if (script_.begin != Script::kNone && reply_.results[script_.begin].tag != "BEGIN")
            return "BEGIN was answered with another tag";
        for (std::size_t i = 0; i < script_.work_count; ++i) {
            const std::string& tag = reply_.results[script_.work + i].tag;
            if (!is_admitted_tag(tag)) return label(i) + "was answered with the tag " + tag;
        }
        return "";
    }

    void read_token() {
        const StatementResult& tail = reply_.results[script_.tail];
        protocol::ProofToken token;
        token.xid = parse_number(tail.text(0, 3));
        token.position.value = parse_lsn(tail.text(0, 4));
        token.position.timeline = parse_timeline(tail.text(0, 5));
        token.witness = script_.witness != Script::kNone &&
                        rows_in_tag(reply_.results[script_.witness].tag) == 1;
        verdict_.proof = token;
    }

    // libpq reads one result ahead, so a notice of the last statement may come with the number of
    // the one before: that one is ours and has nothing to say. Warnings of the work come with lower
    // numbers.
    [[nodiscard]] bool has_replication_notice() const {
        for (const Notice& notice : reply_.notices) {
            if (notice.sqlstate == kWarning && notice.answered_before + 1 >= script_.end)
                return true;
        }
        return false;
    }

    // ---- something failed ----

    void on_failure(std::size_t failed) {
        const StatementResult& result = reply_.results[failed];
        verdict_.executed = failed >= script_.work;
        if (script_.begin != Script::kNone && failed < script_.begin) {
            verdict_.after = Cleanliness::broken;
            return find(Finding::refused,
                        reason::kUnavailable,
                        "the database session could not be cleaned: " + result.error.message);
        }
        if (failed == script_.tail && script_.guarded && result.error.sqlstate == kInvalidText) {
            return on_nothing_written();
        }
        if (failed == script_.settings && result.error.sqlstate == kInvalidText) {
            return find(Finding::refused, reason::kOnePhaseUnavailable, result.error.message);
        }
        if (failed == script_.settings && result.error.sqlstate == kDivisionByZero) {
            return find(Finding::key_taken, reason::kKeyConflict, result.error.message);
        }
        bool looked_at_ours = failed == script_.tail || failed == script_.own_tables;
        if (looked_at_ours && result.error.sqlstate == kDivisionByZero) {
            return find(Finding::refused,
                        reason::kNotAllowed,
                        "the branch writes or locks the schema twofold: that is the participant's");
        }
        if (failed == script_.witness && result.error.sqlstate == kUniqueViolation) {
            return find(Finding::key_taken, reason::kKeyConflict, result.error.message);
        }
        classify(failed, result.error);
    }

    void on_nothing_written() {
        protocol::Reason missed = missed_expectation();
        if (!missed.empty()) {
            find(Finding::refused);
            verdict_.reason = std::move(missed);
            return;
        }
        find(Finding::read_only);
        take_results();
    }

    void classify(std::size_t failed, const ServerError& error) {
        bool at_end = failed == script_.end;
        const ErrorClass& known = error_class(error.sqlstate);
        Meaning meaning = at_end ? known.at_end : known.at_work;
        std::string_view code = known.reason.empty() ? reason::kStatementFailed : known.reason;
        if (at_end && error.sqlstate == kOutOfMemory) code = reason::kSlotsExhausted;
        bool work = failed >= script_.work && failed < script_.work + script_.work_count;
        std::string message = work ? label(failed - script_.work) + error.message : error.message;
        if (at_end && error.sqlstate == kDuplicateObject) {
            return find(Finding::duplicate,
                        reason::kProtocolViolation,
                        "a branch of this id is prepared already");
        }
        find(meaning == Meaning::definite_no ? Finding::refused : Finding::examine,
             code,
             std::move(message));
        if (work)
            verdict_.reason.statement_index = static_cast<std::int32_t>(failed - script_.work);
        verdict_.reason.sqlstate = error.sqlstate;
    }

    // ---- both ----

    // For messages: counted from 1, as people do.
    static std::string label(std::size_t index) {
        return "statement " + std::to_string(index + 1) + ": ";
    }

    // Also what was returned beyond the limits: neither can be undone by the database itself.
    [[nodiscard]] protocol::Reason missed_expectation() const {
        for (std::size_t i = 0; i < script_.work_count; ++i) {
            const StatementResult& result = reply_.results[script_.work + i];
            protocol::Reason found;
            if (result.truncated) {
                found = make_reason(reason::kNotAllowed,
                                    "the branch returns more than " +
                                        std::to_string(limits_.rows_max) + " rows or " +
                                        std::to_string(limits_.result_bytes_max) + " bytes");
            } else if (std::optional<std::uint64_t> wanted = statements_[i].expect_rows;
                       wanted.has_value() && *wanted != rows_of(result)) {
                found = make_reason(reason::kExpectationMissed,
                                    label(i) + "expected " + std::to_string(*wanted) +
                                        " rows, but it was " + std::to_string(rows_of(result)));
            }
            if (found.empty()) continue;
            found.statement_index = static_cast<std::int32_t>(i);
            return found;
        }
        return {};
    }

    void take_results() {
        verdict_.results =
            results_json(std::span(reply_.results).subspan(script_.work, script_.work_count));
    }

    const Script& script_;
    const std::vector<WorkStatement>& statements_;
    const Limits& limits_;
    const Reply& reply_;
    Verdict verdict_;
};

}  // namespace

Verdict judge(const Script& script,
              const std::vector<WorkStatement>& statements,
              const Limits& limits,
              const Reply& reply) {
    return Judge(script, statements, limits, reply).run();
}

protocol::Reason make_reason(std::string_view code, std::string message) {
    return {std::string(code), std::move(message), -1, {}};
}

}  // namespace twofold::participant::postgres
