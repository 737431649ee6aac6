// The coordinator's shell towards its log: recovery, group commit, checkpoints.
#include "recovery/recover.h"
#include "sim/coordinator_node.h"
#include "sim/coordinator_peer.h"

#include <iterator>
#include <utility>

namespace twofold::sim {

using base::Bytes;
using coordinator::Input;

// ---- recovery -------------------------------------------------------------------------------

void CoordinatorNode::start() {
    say("starts");
    world_.after(world_.between(ms(1), ms(20)), process_, [this] { recover_now(); });
}

void CoordinatorNode::recover_now() {
    wal::Directory& directory = cluster_.disk.directory();
    auto lock = directory.lock();
    if (!lock.has_value()) return die(lock.error().text());
    lock_ = std::move(lock.value());
    recovery::RecoverOptions options;
    options.writer.segment_size_bytes = cluster_.options.disk.segment_size_bytes;
    // Small files, so that a run has several; another size in every run. Not in scripts: seed 1.
    std::uint64_t seed = cluster_.options.seed;
    if (seed > 1) options.keys_per_file = 1 + seed % 5;
    options.outcome_words_per_file = cluster_.options.outcome_words_per_file;
    options.writer.salt_seed = world_.rng().next() | 1U;
    cluster_.random_bytes(options.incarnation_if_new.bytes);
    cluster_.random_bytes(options.key);
    auto recovered = recovery::recover(directory, options);
    if (!recovered.has_value()) {
        // Nothing that this disk does may look like damage, but what was done to it by others.
        base::Errc code = recovered.error().code;
        bool is_corrupt = code == base::Errc::corrupt;
        // A changed number of the format's version is a refusal as well, with the file's name.
        bool is_refused = is_corrupt || code == base::Errc::unsupported_version;
        if (is_refused && cluster_.disk.mend_flip()) {
            world_.reached(Situation::bit_flip_is_refused);
        } else if (is_corrupt) {
            world_.violate("log-honesty", "the log is refused: " + recovered.error().text());
        }
        return die(recovered.error().text());
    }
    cluster_.disk.keep_flip();
    world_.reached_if(recovered.value().summary.torn_tail_discarded,
                      Situation::torn_tail_is_discarded);
    world_.reached_if(cluster_.disk.shows_unwritten_pages(),
                      Situation::recovery_reads_what_a_failed_force_left);
    writer_ = std::move(recovered.value().writer);
    coordinator::RecoveredState state = std::move(recovered.value().state);
    if (cluster_.sabotage.recovery_loses_newest_commit && !state.unfinished_commits.empty()) {
        state.unfinished_commits.erase(std::prev(state.unfinished_commits.end()));
    }
    cluster_.checkers.on_recovered(state);
    coordinator::Config config;
    config.transactions_max = cluster_.options.transactions_max;
    config.outcomes_max = cluster_.options.outcomes_max;
    config.keys_per_file = options.keys_per_file;
    config.outcome_words_per_file = options.outcome_words_per_file;
    config.outcome_retention = coordinator::Milliseconds(cluster_.options.outcome_retention / 1000);
    config.horizon_rest = coordinator::Milliseconds(cluster_.options.horizon_rest / 1000);
    config.reports_max = cluster_.options.reports_max;
    config.key_lifetime = coordinator::Milliseconds(cluster_.options.key_lifetime / 1000);
    config.retry_max = coordinator::Milliseconds(cluster_.options.retry_max / 1000);
    config.start_nonce = start_nonce_;
    config.start_position = recovered.value().summary.last_lsn;
    config.undelivered_alarm = coordinator::Milliseconds(1'000);
    config.sabotage = cluster_.sabotage.coordinator;
    machine_.emplace(config, std::move(state));
    world_.after(world_.between(us(100), ms(20)), process_, [this] { open_for_business(); });
}

void CoordinatorNode::open_for_business() {
    ready_ = true;
    epoch_ = machine_->epoch();
    for (const auto& [number, record] : machine_->participants()) {
        for (auto& peer : peers_) {
            const ModelDatabase& database = *cluster_.databases[peer->index];
            if (database.uuid() != record.uuid || record.retired) continue;
            peer->number = number;
            peer->info.uuid = record.uuid;
            peer->info.identity = record.identity;
            by_number_[number] = peer.get();
        }
    }
    say("is ready");
    coordinator::Effects effects;
    stepping_ = true;
    machine_->start(effects);
    for (coordinator::Effect& effect : effects) execute(std::move(effect));
    stepping_ = false;
    for (Input& input : std::exchange(inputs_, {})) step(std::move(input));
    note_room();
    schedule_flush();
    for (auto& peer : peers_) look_at(*peer);
}

// ---- group commit ---------------------------------------------------------------------------

void CoordinatorNode::append(const protocol::Record& record) {
    appended_.push_back(protocol::encode_record(record));
}

void CoordinatorNode::schedule_flush() {
    if (flush_scheduled_ || zombie_) return;
    flush_scheduled_ = true;
    world_.after(0, process_, [this] { flush(); });
}

void CoordinatorNode::flush() {
    flush_scheduled_ = false;
    if (forcing_ || zombie_) return;
    maybe_checkpoint();
    if (forcing_ || waiting_for_log_.empty()) return;
    forcing_ = true;
    force_began_ = world_.now();
    auto inputs = std::exchange(waiting_for_log_, {});
    auto records = std::exchange(appended_, {});
    auto files = std::exchange(sealing_, {});
    const DiskOptions& disk = cluster_.options.disk;
    world_.after(
        world_.between(disk.force_min, disk.force_max),
        process_,
        [this, inputs = std::move(inputs), records = std::move(records), files = std::move(files)] {
            if (zombie_) return;
            auto sealed = seal_all(files);
            if (!sealed.has_value()) return die(sealed.error().text());
            for (const Bytes& record : records) writer_->append(record);
            force_now(inputs);
        });
}

void CoordinatorNode::force_now(std::vector<Input> inputs) {
    if (zombie_) return;
    auto result = writer_->force();
    if (!result.has_value()) {
        if (result.error().code == base::Errc::disk_full) {
            retry_full(result.error(), [this, inputs = std::move(inputs)] { force_now(inputs); });
            return;
        }
        if (!cluster_.sabotage.ignore_failed_force || cluster_.disk.take_power_cut()) {
            die(result.error().text());
            return;
        }
    }
    // The force has returned; the process may still die before it does anything with that.
    world_.after(us(20), process_, [this, inputs = std::move(inputs)] { forced(inputs); });
}

void CoordinatorNode::forced(std::vector<Input> inputs) {
    forcing_ = false;
    world_.reached_if(
        !inputs.empty() && world_.now() - force_began_ > cluster_.options.workload.client_patience,
        Situation::client_loses_patience_during_a_force);
    note_room();
    for (Input& input : inputs) step(std::move(input));
    schedule_flush();
}

void CoordinatorNode::retry_full(const base::Error& error, Action action) {
    say(error.text());
    note_room();
    world_.after(ms(20), process_, std::move(action));
}

void CoordinatorNode::note_room() {
    if (zombie_) return;
    bool room = writer_->has_room_for_new_work();
    if (!room && !std::exchange(refill_planned_, true)) {
        world_.after(ms(100), process_, [this] { refill(); });
    }
    if (room == room_) return;
    room_ = room;
    step(coordinator::LogRoom{room});
}

// Nothing else would notice that there is space again: without room no work comes that forces.
void CoordinatorNode::refill() {
    refill_planned_ = false;
    if (zombie_) return;
    if (!forcing_) {
        auto refilled = writer_->refill_reserve();
        if (!refilled.has_value()) return die(refilled.error().text());
    }
    note_room();
}

// ---- checkpoints ----------------------------------------------------------------------------

void CoordinatorNode::maybe_checkpoint() {
    bool due =
        writer_->live_bytes() > cluster_.options.disk.checkpoint_after_bytes || checkpoint_wanted_;
    if (!due || !ready_) return;
    checkpoint_wanted_ = false;
    forcing_ = true;
    force_began_ = world_.now();
    Checkpoint checkpoint = make_checkpoint();
    say("checkpoint of " + std::to_string(checkpoint.records.size()) + " records");
    // The checkpoint covers what was appended before, which it forces first.
    for (const Bytes& record : std::exchange(appended_, {})) writer_->append(record);
    const DiskOptions& disk = cluster_.options.disk;
    world_.after(world_.between(disk.force_min, disk.force_max),
                 process_,
                 [this,
                  checkpoint = std::move(checkpoint),
                  files = std::exchange(sealing_, {}),
                  inputs = std::exchange(waiting_for_log_, {})] {
                     if (zombie_) return;
                     auto sealed = seal_all(files);
                     if (!sealed.has_value()) return die(sealed.error().text());
                     checkpoint_now(checkpoint, inputs);
                 });
}

CoordinatorNode::Checkpoint CoordinatorNode::make_checkpoint() {
    bool stale = cluster_.sabotage.stale_checkpoint;
    if (stale && !stale_checkpoint_.records.empty()) return stale_checkpoint_;
    Checkpoint checkpoint;
    for (const protocol::Record& record : machine_->checkpoint()) {
        auto file = protocol::sealed_file_of(record);
        if (file) checkpoint.sealed.push_back({file->number, checkpoint.records.size()});
        checkpoint.records.push_back(protocol::encode_record(record));
    }
    if (stale) stale_checkpoint_ = checkpoint;
    return checkpoint;
}

// On a full disk they stay with the writer.
base::Result<void> CoordinatorNode::seal_all(const std::vector<Sealing>& files) {
    for (const Sealing& file : files) {
        say("seals file " + std::to_string(file.file));
        auto sealed = writer_->seal(file.file, file.records);
        bool is_lasting = !sealed.has_value() && sealed.error().code != base::Errc::disk_full;
        if (is_lasting) return sealed;
    }
    return base::ok();
}

void CoordinatorNode::checkpoint_now(const Checkpoint& checkpoint, std::vector<Input> inputs) {
    if (zombie_) return;
    auto result = writer_->checkpoint(checkpoint.records, checkpoint.sealed);
    if (!result.has_value()) {
        if (result.error().code == base::Errc::disk_full) {
            retry_full(result.error(), [this, checkpoint, inputs = std::move(inputs)] {
                checkpoint_now(checkpoint, inputs);
            });
            return;
        }
        world_.reached(Situation::coordinator_dies_in_a_checkpoint);
        die(result.error().text());
        return;
    }
    world_.after(us(20), process_, [this, inputs = std::move(inputs)] { forced(inputs); });
}

}  // namespace twofold::sim
