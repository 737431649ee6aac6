// Prepare, step by step, and what a crash leaves in the file:
//
//   1 W: BEGIN IMMEDIATE; answer repeats; note data_version          nothing
//   2 W: run the SQL; the hook collects the touched keys              nothing
//   3 W: read the final images; deferred foreign keys are satisfied   nothing
//   4 W: ROLLBACK                                                     nothing
//   5 R: BEGIN IMMEDIATE; data_version unchanged, else from 1         nothing
//   6 R: rehearse under a savepoint: apply, compare, roll back        nothing
//   7 R: insert record and lock; COMMIT                               all of it or nothing
//
// Only after 7 the answer is yes. The rehearsal is why the answer can be trusted: whatever corner
// of SQLite the images do not cover becomes a no now instead of a broken yes later.
#include "base/crash_point.h"
#include "participant/sqlite/error_class.h"
#include "participant/sqlite/foreign_keys.h"
#include "participant/sqlite/store_impl.h"

#include <set>

namespace twofold::participant::sqlite {

namespace {

namespace reason = protocol::reason;
using protocol::WorkResult;
using protocol::WorkStatus;

constexpr int kAttemptsMax = 20;  // each is lost only to a write of another process in the gap

protocol::Reason not_recordable(std::string text) {
    return {std::string(reason::kNotRecordable), std::move(text), -1, {}};
}

// A statement that would fire a trigger with AUTOINCREMENT in it leaves an entry of 0 even when it
// changes no row. That is the same as none, and must not make a reading branch a writing one.
bool is_start(const Value& value) { return value.is_null() || value == Value{std::int64_t{0}}; }

Value entry_of(const Sequences& sequences, const std::string& table) {
    auto found = sequences.find(table);
    return found == sequences.end() ? Value() : found->second;
}

// Entries that changed, and those of every touched table: inserting a row raises the entry of its
// table, even a row whose key the branch had only updated, which does not.
void add_sequences(const Sequences& before, const Sequences& after, Redo& redo) {
    std::set<std::string> names;
    for (const auto& [name, value] : before) names.insert(name);
    for (const auto& [name, value] : after) names.insert(name);
    std::set<std::string> touched;
    for (const RedoTable& table : redo.tables) touched.insert(table.name);
    names.insert(touched.begin(), touched.end());
    for (const std::string& name : names) {
        Value old = entry_of(before, name);
        Value now = entry_of(after, name);
        bool changed = old != now && !(is_start(old) && is_start(now));
        if (changed || touched.contains(name)) redo.sequences.push_back({name, old, now});
    }
}

}  // namespace

WorkResult Store::Impl::execute_prepare(const protocol::BranchWork& work) {
    base::Result<void> begun = begin_operation();
    if (!begun.has_value()) return work_failed(begun.error(), false, false);
    if (!started_) {
        return refuse({std::string(reason::kNotReady), "the store has not started", -1, {}}, false);
    }
    if (session_.has_value()) return refuse(session_open(), false);
    ParsedWork parsed = parse_work(work.work, options_);
    if (!parsed.refusal.empty()) return refuse(std::move(parsed.refusal), false);
    statements_ = std::move(parsed.statements);
    begin_work(work);
    for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
        MaybeWork result = attempt_prepare(work);
        w_->rollback();
        if (!result.has_value()) continue;
        end_work();
        return std::move(*result);
    }
    end_work();
    return refuse({std::string(reason::kLockTimeout),
                   "another process kept writing to the file between the steps of prepare",
                   -1,
                   {}},
                  true);
}

Store::Impl::MaybeWork Store::Impl::attempt_prepare(const protocol::BranchWork& work) {
    bool repeat = false;
    MaybeWork answer = open_work(work, false, repeat);
    if (answer.has_value() || repeat) return answer;
    base::Result<std::int64_t> version = w_->query_integer("PRAGMA data_version");
    if (!version.has_value()) return work_failed(version.error(), false, false);
    base::Result<std::optional<Sequences>> sequences = read_sequences(*w_);
    if (!sequences.has_value()) return work_failed(sequences.error(), false, false);
    RunOutcome outcome = run(work, true);
    if (!outcome.refusal.empty()) return refuse(std::move(outcome.refusal), outcome.executed);
    base::Result<Redo> redo = collect(sequences.value());
    if (!redo.has_value()) return work_failed(redo.error(), outcome.executed, false);
    if (redo.value().empty()) return read_only(outcome);
    w_->rollback();
    return record(work, redo.value(), {version.value(), outcome.executed}, outcome.results);
}

base::Result<Redo> Store::Impl::collect(const std::optional<Sequences>& sequences_before) {
    Redo redo = capture_->touched();
    for (RedoTable& table : redo.tables) {
        RedoTable described = empty_redo(*schema_->find(table.name));
        described.keys = std::move(table.keys);
        TWOFOLD_TRY(Images images, read_images(*w_, described));
        described.rows = std::move(images.rows);
        table = std::move(described);
    }
    TWOFOLD_TRY(std::optional<Sequences> sequences, read_sequences(*w_));
    if (!sequences.has_value()) return redo;
    add_sequences(*sequences_before, *sequences, redo);
    return redo;
}

// Steps 5 to 7.
Store::Impl::MaybeWork Store::Impl::record(const protocol::BranchWork& work,
                                           Redo& redo,
                                           Gap gap,
                                           std::string& results) {
    base::Result<void> begun =
        r_->begin_immediate({options_.limits.lock_timeout, [this] { return cancelled_.load(); }});
    if (!begun.has_value()) return work_failed(begun.error(), gap.executed, false);
    TransactionGuard guard(*r_);
    base::Result<std::int64_t> version = w_->query_integer("PRAGMA data_version");
    if (!version.has_value()) return work_failed(version.error(), gap.executed, false);
    if (version.value() != gap.data_version) {
        // Another process wrote after our rollback. What the work read may be stale: once more.
        ++counters.gap_repeats;
        return std::nullopt;
    }
    base::Result<std::string> difference = rehearse(redo);
    if (!difference.has_value()) return work_failed(difference.error(), gap.executed, false);
    if (!difference.value().empty())
        return refuse(not_recordable(difference.value()), gap.executed);
    TWOFOLD_CRASH_POINT(sqlite_after_rehearsal);
    base::Result<void> written = write_record(work, redo);
    if (!written.has_value() && written.error().code == base::Errc::limit_exceeded) {
        return refuse(not_recordable(written.error().context), gap.executed);
    }
    if (!written.has_value()) return work_failed(written.error(), gap.executed, false);
    TWOFOLD_CRASH_POINT(sqlite_before_prepare_commit);
    base::Result<void> committed = commit_forced(*r_);
    if (!committed.has_value()) return work_failed(committed.error(), gap.executed, true);
    TWOFOLD_CRASH_POINT(sqlite_after_prepare);
    ++meta_.counter;
    ++counters.prepares;
    WorkResult result;
    result.status = WorkStatus::prepared;
    result.proof = protocol::ProofToken{meta_.counter, {1, meta_.counter}, false};
    result.results = std::make_shared<const std::string>(std::move(results));
    result.executed = gap.executed;
    return result;
}

base::Result<std::string> Store::Impl::rehearse(Redo& redo) {
    std::vector<Images> before;
    for (RedoTable& table : redo.tables) {
        TWOFOLD_TRY(Images images, read_images(*r_, table));
        table.rows_before = static_cast<std::uint32_t>(images.rows.size());
        for (std::size_t i = 0; i < table.keys.size(); ++i) {
            if (!images.found[i]) continue;
            table.keys[i].before = hash_image(table, images.rows[*images.found[i]]);
        }
        before.push_back(std::move(images));
    }
    TWOFOLD_TRY(r_->exec("SAVEPOINT rehearsal"));
    base::Result<std::string> difference = try_images(redo, before);
    if (!r_->in_transaction()) return difference;  // SQLite has rolled everything back by itself
    TWOFOLD_TRY(r_->exec("ROLLBACK TO rehearsal"));
    TWOFOLD_TRY(r_->exec("RELEASE rehearsal"));
    if (difference.has_value() || error_class(errors_.code()).reason != reason::kConstraint) {
        return difference;
    }
    // The images break a constraint although the SQL did not.
    std::string text = "the result of the branch cannot be applied again: " + errors_.text();
    errors_.clear();
    return text;
}

base::Result<std::string> Store::Impl::try_images(Redo& redo, const std::vector<Images>& before) {
    std::vector<ForeignKeyProbe> probes = make_probes(*schema_, redo, before);
    TWOFOLD_TRY(std::set<std::size_t> orphans_before, orphans(*r_, probes));
    TWOFOLD_TRY(bool applied, apply_redo(*r_, redo, true));
    if (!applied) return std::string("the touched rows cannot be named by their keys");
    TWOFOLD_TRY(bool same, matches_after(*r_, redo));
    if (!same) {
        return std::string("rows put back are not what the branch had made of them");
    }
    TWOFOLD_TRY(std::set<std::size_t> orphans_after, orphans(*r_, probes));
    for (std::size_t probe : orphans_after) {
        if (orphans_before.contains(probe)) continue;
        return "a row of table " + probes[probe].key->child +
               " would be left without its parent in " + probes[probe].key->parent;
    }
    return std::string();
}

base::Result<void> Store::Impl::write_record(const protocol::BranchWork& work, const Redo& redo) {
    PreparedRecord record;
    record.key = work.key;
    record.gid = work.gid;
    record.counter = meta_.counter + 1;
    record.prepared_at_ms = options_.wall_ms();
    record.summary = summary_of(redo);
    record.redo = encode_redo(redo);
    if (record.redo.size() > options_.limits.redo_bytes_max) {
        return base::fail(base::Errc::limit_exceeded,
                          "the branch changes " + std::to_string(record.redo.size()) +
                              " bytes; at most " + std::to_string(options_.limits.redo_bytes_max) +
                              " fit into a prepared record");
    }
    TWOFOLD_TRY(record.schema_version, r_->query_integer("PRAGMA schema_version"));
    TWOFOLD_TRY(record.fingerprint, schema_fingerprint(*r_));
    TWOFOLD_TRY(insert_prepared(*r_, record));
    TWOFOLD_TRY(set_counter(*r_, record.counter));
    return prune_some(*r_);
}

}  // namespace twofold::participant::sqlite
