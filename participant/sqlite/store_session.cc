// Interactive branches: W stays in its transaction between the calls, with the file's write lock
// and the capture of what changes. Prepare goes on as for one-shot work, but cannot repeat it: the
// statements came one by one, and what came after each depended on its results.
//
// What a crash leaves behind: nothing, until prepare has committed its record.
#include "participant/sqlite/store_impl.h"

namespace twofold::participant::sqlite {

namespace reason = protocol::reason;
using protocol::WorkResult;
using protocol::WorkStatus;

namespace {

constexpr int kOpenAttempts = 3;  // each is lost only to another process's DDL

}  // namespace

WorkResult Store::Impl::execute(const protocol::BranchWork& work, std::uint32_t sequence) {
    base::Result<void> begun = begin_operation();
    if (!begun.has_value()) {
        close_session();
        return work_failed(begun.error(), false, false);
    }
    if (!started_) {
        return refuse({std::string(reason::kNotReady), "the store has not started", -1, {}}, false);
    }
    if (sequence == 1 && session_.has_value()) return refuse(session_open(), false);
    if (sequence != 1 && (!session_.has_value() || session_->work.key != work.key)) {
        return no_session();
    }
    ParsedWork parsed = parse_work(work.work, options_);
    if (!parsed.refusal.empty()) {
        close_session();
        return refuse(std::move(parsed.refusal), sequence > 1);
    }
    statements_ = std::move(parsed.statements);
    begin_work(work);
    bool repeat = true;
    for (int attempt = 0; sequence == 1 && repeat && attempt < kOpenAttempts; ++attempt) {
        MaybeWork refusal = open_session(work, repeat);
        if (!refusal.has_value()) continue;
        w_->rollback();
        end_work();
        return std::move(*refusal);
    }
    if (!session_.has_value()) {
        end_work();
        return refuse({std::string(reason::kLockTimeout), "the schema keeps changing", -1, {}},
                      false);
    }
    RunOutcome outcome = run_call(session_->work, true);
    end_work();
    session_->executed |= outcome.executed;
    if (!outcome.refusal.empty()) {
        bool executed = session_->executed;
        close_session();
        return refuse(std::move(outcome.refusal), executed);
    }
    WorkResult result;
    result.status = WorkStatus::prepared;
    result.results = std::make_shared<const std::string>(std::move(outcome.results));
    return result;
}

Store::Impl::MaybeWork Store::Impl::open_session(const protocol::BranchWork& work, bool& repeat) {
    MaybeWork answer = open_work(work, false, repeat);
    if (answer.has_value() || repeat) return answer;
    Session session;
    session.work = work;
    session.work.work = nullptr;
    base::Result<std::int64_t> version = w_->query_integer("PRAGMA data_version");
    if (!version.has_value()) return work_failed(version.error(), false, false);
    session.data_version = version.value();
    base::Result<std::optional<Sequences>> sequences = read_sequences(*w_);
    if (!sequences.has_value()) return work_failed(sequences.error(), false, false);
    session.sequences = std::move(sequences.value());
    session_ = std::move(session);
    begin_capture();
    return std::nullopt;
}

WorkResult Store::Impl::prepare_executed(const protocol::BranchKey& key) {
    base::Result<void> begun = begin_operation();
    if (!begun.has_value()) {
        close_session();
        return work_failed(begun.error(), true, false);
    }
    if (!session_.has_value() || session_->work.key != key) return no_session();
    Session session = *session_;
    limit_->begin_branch({});  // the time between the last call and now does not count
    RunOutcome outcome;
    outcome.results = "[]";
    outcome.executed = session.executed;
    end_capture(true, outcome);
    if (!outcome.refusal.empty()) {
        close_session();
        return refuse(std::move(outcome.refusal), session.executed);
    }
    base::Result<Redo> redo = collect(session.sequences);
    WorkResult failure;
    if (!redo.has_value()) failure = work_failed(redo.error(), session.executed, false);
    close_session();
    if (!redo.has_value()) return failure;
    if (redo.value().empty()) return read_only(outcome);
    begin_work(session.work);
    MaybeWork result = record(
        session.work, redo.value(), {session.data_version, session.executed}, outcome.results);
    end_work();
    if (result.has_value()) return std::move(*result);
    return refuse({std::string(reason::kSerialization),
                   "another process wrote to the file before the branch could be prepared, and its "
                   "statements cannot be repeated",
                   -1,
                   {}},
                  true);
}

void Store::Impl::end_session(const protocol::BranchKey& key) {
    if (session_.has_value() && session_->work.key == key) close_session();
}

void Store::Impl::close_session() {
    if (!session_.has_value()) return;
    capture_->end();
    w_->rollback();
    session_.reset();
}

WorkResult Store::Impl::no_session() {
    return refuse({std::string(reason::kBranchLost), "the branch has no session here", -1, {}},
                  true);
}

protocol::Reason Store::Impl::session_open() {
    return {std::string(reason::kSlotsExhausted),
            "an interactive branch holds the file; in exclusive mode there is one branch at a time",
            -1,
            {}};
}

base::Result<void> Store::Impl::begin_own_write() {
    TWOFOLD_TRY(begin_operation());
    if (!session_.has_value()) return base::ok();
    return base::fail(base::Errc::unavailable, session_open().message);
}

}  // namespace twofold::participant::sqlite
