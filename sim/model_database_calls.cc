// The model database as a sidecar calls it, and as the world hurts it.
#include "sim/model_database.h"

#include <utility>

namespace twofold::sim {

using protocol::FinishRequest;
using protocol::WorkResult;
using protocol::WorkStatus;
namespace reason = protocol::reason;

namespace {

base::Error down() { return base::fail(base::Errc::unavailable, "the database is down"); }

WorkResult lost_session(const WorkStatus status) {
    WorkResult result;
    result.status = status;
    result.reason = {std::string(reason::kBranchLost), "model", -1, {}};
    return result;
}

}  // namespace

// ---- start ----------------------------------------------------------------------------------

void ModelDatabase::start(ProcessId client, StartCallback done) {
    std::uint64_t call = open_call(client, [done] { done(down()); });
    later([this, client, done = std::move(done), call] {
        ++durable_.epoch;  // durable before anything else
        if (!skip_fencing_) {
            // Ending a backend takes a moment; listing before they are gone would miss a prepare.
            std::erase_if(sessions_, [&](auto& entry) {
                if (entry.second.client == client) return false;
                unlock(entry.first, entry.second.locks);
                return true;
            });
        }
        later([this, client, done, call] { take_over(client, done, call); });
    });
}

void ModelDatabase::take_over(ProcessId client, const StartCallback& done, std::uint64_t call) {
    (void)client;
    if (world_.chance(options_.listing_fails)) {
        world_.reached(Situation::listing_fails);
        answer(call, [done] { done(down()); });
        return;
    }
    protocol::ResourceStart start;
    start.uuid = uuid_;
    start.identity = identity_;
    start.epoch = durable_.epoch;
    start.position = position();
    start.slots = options_.slots;
    start.exclusive = options_.exclusive;
    start.senders = durable_.senders;
    start.prepared = listing();
    say("epoch " + std::to_string(durable_.epoch) +
        ", prepared: " + std::to_string(durable_.prepared.size()));
    answer(call, [this, done, start = std::move(start)] {
        known_accepted_.clear();  // a restored database has accepted less
        for (const auto& [incarnation, sender] : start.senders) note_accepted(sender);
        done(start);
    });
}

// ---- work -----------------------------------------------------------------------------------

void ModelDatabase::execute_prepare(ProcessId client,
                                    protocol::BranchWork work,
                                    WorkCallback done) {
    Session session;
    session.client = client;
    session.key = work.key;
    session.gid = std::move(work.gid);
    session.idempotency = std::move(work.idempotency);
    session.mode = Mode::prepare;
    begin(std::move(session), std::move(done), WorkTable::id_of(work.work));
}

void ModelDatabase::one_phase(ProcessId client, protocol::BranchWork work, WorkCallback done) {
    Session session;
    session.client = client;
    session.key = work.key;
    session.gid = std::move(work.gid);
    session.idempotency = std::move(work.idempotency);
    session.mode = Mode::one_phase;
    begin(std::move(session), std::move(done), WorkTable::id_of(work.work));
}

void ModelDatabase::execute(ProcessId client,
                            protocol::BranchWork work,
                            bool first,
                            WorkCallback done) {
    std::uint32_t spec = WorkTable::id_of(work.work);
    Session* open = find(work.key);
    if (open == nullptr && up_ && !first) {
        Session nobody;
        nobody.call = open_work(client, std::move(done));
        answer_work(nobody, lost_session(WorkStatus::refused));
        return;
    }
    if (open == nullptr || !up_) {
        Session session;
        session.client = client;
        session.key = work.key;
        session.gid = std::move(work.gid);
        session.mode = Mode::interactive;
        begin(std::move(session), std::move(done), spec);
        return;
    }
    open->stage = Stage::running;
    open->lock_until = world_.now() + options_.lock_timeout;
    open->call = open_work(client, std::move(done));
    later([this, id = open->id, spec] { run_work(id, spec); });
}

void ModelDatabase::prepare_executed(ProcessId client,
                                     const protocol::BranchKey& key,
                                     std::string gid,
                                     WorkCallback done) {
    std::uint64_t call = open_work(client, std::move(done));
    later([this, key, call, gid = std::move(gid)] {
        Session* session = find(key);
        if (session == nullptr || session->stage != Stage::idle) {
            WorkResult result = lost_session(WorkStatus::refused);
            Session nobody;
            nobody.call = call;
            answer_work(nobody, std::move(result));
            return;
        }
        session->gid = gid;
        session->mode = Mode::prepare;
        session->stage = Stage::running;
        session->call = call;
        prepare_point(session->id);
    });
}

void ModelDatabase::cancel(ProcessId client, const protocol::BranchKey& key, DoneCallback done) {
    std::uint64_t call = open_call(client, [done] { done(false); });
    later([this, key, done = std::move(done), call] {
        if (world_.chance(options_.cancel_fails)) {
            answer(call, [done] { done(false); });
            return;
        }
        // The work's own answer comes first. Where a prepare was under way it may have been done.
        while (Session* session = find(key)) {
            bool sure = session->stage != Stage::ending && world_.chance(500);
            say("ends the session of " + short_text(key));
            answer_work(*session, lost_session(sure ? WorkStatus::refused : WorkStatus::unknown));
            end_session(session->id);
        }
        answer(call, [done] { done(true); });
    });
}

// ---- ends -----------------------------------------------------------------------------------

void ModelDatabase::commit(ProcessId client, FinishRequest request, FinishCallback done) {
    finish(client, std::move(done), [this, request = std::move(request)] {
        return commit_now(request);
    });
}

void ModelDatabase::rollback(ProcessId client, FinishRequest request, FinishCallback done) {
    finish(client, std::move(done), [this, request = std::move(request)] {
        return rollback_now(request);
    });
}

void ModelDatabase::settle_one_phase(ProcessId client,
                                     const protocol::BranchKey& key,
                                     const std::optional<protocol::IdempotencyKey>& idempotency,
                                     FinishCallback done) {
    finish(
        client, std::move(done), [this, key, idempotency] { return settle_now(key, idempotency); });
}

void ModelDatabase::list(ProcessId client, ListCallback done) {
    std::uint64_t call = open_call(client, [done] { done(down()); });
    later([this, done = std::move(done), call] {
        if (world_.chance(options_.listing_fails)) {
            world_.reached(Situation::listing_fails);
            answer(call, [done] { done(down()); });
            return;
        }
        answer(call, [done, listed = listing()] { done(listed); });
    });
}

void ModelDatabase::persist_sender(ProcessId client,
                                   const protocol::SenderStamp& sender,
                                   DoneCallback done) {
    std::uint64_t call = open_call(client, [done] { done(false); });
    later([this, sender, done = std::move(done), call] {
        protocol::SenderStamp& known = durable_.senders[sender.incarnation];
        if (sender.epoch != known.epoch)
            say("accepts sender epoch " + std::to_string(sender.epoch));
        std::uint64_t position = std::max(known.position, sender.position);
        if (sender.epoch >= known.epoch) known = sender;
        known.position = position;
        answer(call, [this, accepted = known, done] {
            note_accepted(accepted);
            done(true);
        });
    });
}

void ModelDatabase::note_marks(const protocol::Incarnation& incarnation,
                               protocol::IdPosition low_water,
                               protocol::IdPosition horizon) {
    if (!up_) return;
    auto may_go = [&](const protocol::BranchKey& key) {
        if (key.group.incarnation() != incarnation) return false;
        bool is_one_phase = key.group.participant().value != 0;
        return key.group.position() < (is_one_phase ? horizon : low_water);
    };
    std::erase_if(durable_.tombstones, may_go);
    // Rows with an idempotency key stay for longer than any simulation lasts.
    std::set<protocol::BranchKey> with_key;
    for (const auto& [hash, row] : durable_.witness_keys) with_key.insert(row.branch);
    std::erase_if(durable_.witnesses, [&](const auto& entry) {
        return may_go(entry.first) && !with_key.contains(entry.first);
    });
}

// ---- what the world does to it --------------------------------------------------------------

ModelDatabase::Unheard ModelDatabase::unheard_by(ProcessId client) const {
    Unheard unheard;
    for (const auto& [id, session] : sessions_) {
        if (session.client != client || session.mode == Mode::interactive) continue;
        unheard.running = unheard.running || session.stage == Stage::running;
        unheard.prepared = unheard.prepared || session.stage == Stage::ending;
    }
    for (const auto& [call, process] : unheard_commits_) {
        unheard.committed = unheard.committed || process == client;
    }
    return unheard;
}

void ModelDatabase::client_died(ProcessId client) {
    std::erase_if(sessions_, [&](auto& entry) {
        const Session& session = entry.second;
        if (session.client != client) return false;
        // Work that was sent whole goes on without its client; an idle session is rolled back.
        bool goes_on = session.stage != Stage::idle && session.mode != Mode::interactive &&
                       world_.chance(options_.late_prepare);
        if (!goes_on) unlock(entry.first, session.locks);
        return !goes_on;
    });
    if (options_.late_pause == 0) return;
    for (auto& [id, session] : sessions_) {
        if (session.client != client) continue;
        session.still_until = world_.now() + world_.between(0, options_.late_pause);
    }
}

void ModelDatabase::crash() {
    if (!up_) return;
    up_ = false;
    unheard_commits_.clear();
    world_.reached_if(!durable_.prepared.empty(),
                      Situation::database_crashes_with_a_prepared_branch);
    say("crashes");
    world_.kill(process_);
    for (auto& [id, session] : sessions_) unlock(id, session.locks);
    sessions_.clear();
    work_done_.clear();
    for (auto& [id, call] : std::exchange(calls_, {})) {
        world_.after(latency(), call.client, std::move(call.lost));
    }
}

void ModelDatabase::restart() {
    if (up_) return;
    up_ = true;
    process_ = world_.spawn();
    say("is back, prepared: " + std::to_string(durable_.prepared.size()));
}

void ModelDatabase::restore_backup() {
    if (!backup_.has_value()) return;
    for (const auto& [key, branch] : durable_.prepared) {
        bool is_known = backup_->prepared.contains(key) || backup_->ledger.contains(key);
        world_.reached_if(!is_known, Situation::prepared_branch_vanishes);
    }
    for (const auto& [key, branch] : backup_->prepared) {
        world_.reached_if(!durable_.prepared.contains(key), Situation::finished_branch_reappears);
    }
    std::uint32_t timeline = durable_.timeline + 1;
    durable_ = *backup_;
    durable_.timeline = timeline;
    locks_.clear();
    for (const auto& [key, branch] : durable_.prepared) {
        for (std::uint32_t account : branch.locks) locks_.emplace(account, branch.session);
    }
    say("is restored from a backup, prepared: " + std::to_string(durable_.prepared.size()));
}

void ModelDatabase::calm() {
    options_.connection_lost = 0;
    options_.definite_refusal = 0;
    options_.slow_work = 0;
    options_.listing_fails = 0;
    options_.cancel_fails = 0;
}

}  // namespace twofold::sim
