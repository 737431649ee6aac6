#include "damage/sqlite_images.h"

#include "damage/bank_file.h"
#include "damage/bank_promises.h"
#include "damage/bank_recovery.h"
#include "damage/recording_vfs.h"

#include <memory>
#include <optional>
#include <utility>

namespace twofold::damage {

using protocol::FinishStatus;
using protocol::WorkStatus;

namespace {

// Events, each with a note in the history of the disk.
class Journal {
public:
    explicit Journal(DiskHistory& history) : history_(history) {}

    void add(const Event& event) {
        events_.push_back(event);
        history_.note(events_.size());
    }
    // What was promised up to a note.
    [[nodiscard]] Promises promises_at(std::uint64_t note, Promises promises = {}) const {
        for (std::uint64_t i = 0; i < note; ++i) promises.take(events_[i]);
        return promises;
    }

private:
    DiskHistory& history_;
    std::vector<Event> events_;
};

// The script, on a recorded store. Every step says whether it went as it should.
class Script {
public:
    Script(std::string database, Journal& journal)
        : database_(std::move(database)), journal_(journal) {}

    bool run() {
        if (!open() || !keep_sender(7) || !prepare(1) || !commit(1)) return false;
        if (!prepare(2) || !rollback(2) || !one_phase(3) || !tombstone(4)) return false;
        if (!prepare(6) || !checkpoint("PASSIVE") || !commit(6)) return false;
        if (!interactive(5) || !checkpoint("TRUNCATE") || !commit(5)) return false;
        if (!prepare(8)) return false;
        close();
        if (!open() || !commit(8) || !prepare(9) || !checkpoint("RESTART")) return false;
        if (!rollback(9) || !prepare(10) || !commit(10) || !one_phase(12)) return false;
        if (!checkpoint("RESTART") || !keep_sender(9) || !tombstone(14) || !prepare(15))
            return false;
        if (!commit(15) || !checkpoint("TRUNCATE")) return false;
        close();
        return open() && prepare(16);
    }
    void close() { opened_.store.reset(); }
    [[nodiscard]] const std::string& failed() const { return failed_; }

private:
    bool done(bool good, const char* what, std::uint64_t number) {
        if (!good) failed_ = std::string(what) + " " + std::to_string(number);
        return good;
    }
    bool returned(bool good, Step step, const char* what, std::uint64_t branch) {
        if (!done(good, what, branch)) return false;
        journal_.add({step, branch});
        journal_.add({Step::position, opened_.store->position().value});
        return true;
    }

    bool open() {
        auto opened = open_store(database_, VfsRecording::vfs_name());
        if (!opened.has_value()) failed_ = opened.error().text();
        if (!opened.has_value()) return false;
        opened_ = std::move(opened.value());
        journal_.add({Step::epoch, opened_.start.epoch});
        return true;
    }
    bool keep_sender(std::uint64_t position) {
        protocol::SenderStamp stamp{.incarnation = finish_of(1).key.group.incarnation(),
                                    .epoch = 1,
                                    .start_nonce = 5,
                                    .position = position};
        if (!done(opened_.store->persist_sender(stamp).has_value(), "sender", position))
            return false;
        journal_.add({Step::sender, position});
        return true;
    }
    bool prepare(std::uint64_t branch) {
        journal_.add({Step::prepare_begun, branch});
        auto result = opened_.store->execute_prepare(bank_work(branch, bank_statements(branch)));
        return returned(result.status == WorkStatus::prepared, Step::prepared, "prepare", branch);
    }
    bool interactive(std::uint64_t branch) {
        journal_.add({Step::prepare_begun, branch});
        std::uint32_t call = 0;
        for (const std::string& sql : bank_statements(branch)) {
            auto ran = opened_.store->execute(bank_work(branch, {sql}), ++call);
            if (!done(ran.status == WorkStatus::prepared, "execute", branch)) return false;
        }
        auto result = opened_.store->prepare_executed(finish_of(branch).key);
        return returned(result.status == WorkStatus::prepared, Step::prepared, "prepare", branch);
    }
    bool commit(std::uint64_t branch) {
        journal_.add({Step::commit_begun, branch});
        auto result = opened_.store->commit(finish_of(branch));
        return returned(
            result.status == FinishStatus::committed, Step::committed, "commit", branch);
    }
    bool rollback(std::uint64_t branch) {
        journal_.add({Step::rollback_begun, branch});
        auto result = opened_.store->rollback(finish_of(branch));
        return returned(result.status == FinishStatus::aborted, Step::aborted, "rollback", branch);
    }
    bool tombstone(std::uint64_t branch) {
        journal_.add({Step::tombstone_begun, branch});
        auto result = opened_.store->rollback(finish_of(branch));
        return returned(
            result.status == FinishStatus::not_found, Step::tombstoned, "abort", branch);
    }
    bool one_phase(std::uint64_t branch) {
        journal_.add({Step::one_phase_begun, branch});
        auto result = opened_.store->one_phase(bank_work(branch, bank_statements(branch)));
        return returned(
            result.status == WorkStatus::committed, Step::one_phase_committed, "one phase", branch);
    }
    bool checkpoint(const char* mode) {
        std::string sql = std::string("PRAGMA wal_checkpoint(") + mode + ")";
        return done(run_outside(database_, VfsRecording::vfs_name(), sql), mode, 0);
    }

    std::string database_;
    Journal& journal_;
    OpenedStore opened_;
    std::string failed_;
};

// What the first process of a folder did.
struct RecordedBank {
    explicit RecordedBank(Files bank, DiskSabotage sabotage)
        : history(std::move(bank), sabotage), journal(history) {}
    DiskHistory history;
    Journal journal;
};

class BankCheck {
public:
    BankCheck(const ImageOptions& options, ImageReport& report)
        : options_(options), report_(report) {}

    void check(const PowerCut& cut, const Promises& promises) {
        ++report_.images;
        std::string problem = recover(cut.files, promises, 900);
        if (!problem.empty()) report_.violation("sqlite: " + cut.text + ": " + problem);
        if (problem.empty() && report_.images % options_.second_cut_one_in == 0) {
            cut_recovery(cut, promises);
        }
    }

private:
    // As the server opens its file, with everything that it checks. What the shared memory held is
    // anybody's guess, so it holds nonsense now and then.
    std::string recover(const Files& files, const Promises& promises, std::uint64_t new_branch) {
        Files on_disk = files;
        if (++recoveries_ % 3 == 0) {
            on_disk[std::string(kBankName) + "-shm"].assign(32'768, 0xa5);
        }
        folder_.put(on_disk);
        return BankRecovery(folder_.database(), "", promises).run(new_branch);
    }

    // The power fails again while the next process recovers and finishes what it finds.
    void cut_recovery(const PowerCut& cut, const Promises& promises) {
        RecordedBank second(cut.files, options_.sabotage);
        BankFolder folder;
        folder.put(cut.files);
        {
            VfsRecording recording(folder.path(), second.history);
            BankRecovery recovery(folder.database(), VfsRecording::vfs_name(), promises);
            recovery.on_event([&](const Event& event) { second.journal.add(event); });
            std::string problem = recovery.run(900);
            if (!problem.empty()) report_.violation("sqlite: " + cut.text + ": " + problem);
        }
        CutOptions few{.seed = options_.cuts.seed + report_.images,
                       .exhaustive_max = 2,
                       .random_per_point = 1,
                       .tears_per_write = 1,
                       .per_point_max = 4,
                       .every = 5};
        for_each_power_cut(second.history, few, [&](const PowerCut& again) {
            ++report_.second_images;
            std::string problem =
                recover(again.files, second.journal.promises_at(again.note, promises), 902);
            if (!problem.empty()) {
                report_.violation("sqlite: " + cut.text + ", recovery " + again.text + ": " +
                                  problem);
            }
            return true;
        });
    }

    const ImageOptions& options_;
    ImageReport& report_;
    BankFolder folder_;
    std::uint64_t recoveries_ = 0;
};

}  // namespace

ImageReport sqlite_images(const ImageOptions& options) {
    ImageReport report;
    BankFolder folder;
    RecordedBank bank(folder.make_bank(), options.sabotage);
    {
        VfsRecording recording(folder.path(), bank.history);
        Script script(folder.database(), bank.journal);
        bool went_well = script.run();
        script.close();
        if (!went_well) report.violation("sqlite: the script failed: " + script.failed());
        if (!went_well) return report;
    }
    report.calls = bank.history.calls().size();
    BankCheck check(options, report);
    for_each_power_cut(bank.history, options.cuts, [&](const PowerCut& cut) {
        check.check(cut, bank.journal.promises_at(cut.note));
        if (options.progress && report.images % 2000 == 0) {
            options.progress("sqlite: " + std::to_string(report.images) +
                             " images, violations=" + std::to_string(report.violations));
        }
        return true;
    });
    return report;
}

}  // namespace twofold::damage
