#include "sim/model_database.h"

#include "base/assert.h"

#include <algorithm>
#include <utility>

namespace twofold::sim {

using protocol::FinishResult;
using protocol::FinishStatus;
using protocol::WorkResult;
using protocol::WorkStatus;
namespace reason = protocol::reason;

namespace {

protocol::Reason because(std::string_view code) { return {std::string(code), "model", -1, {}}; }

}  // namespace

ModelDatabase::ModelDatabase(World& world,
                             const WorkTable& work,
                             DatabaseOptions options,
                             DatabaseObserver& observer,
                             std::uint32_t number,
                             std::uint32_t accounts)
    : world_(world),
      work_(work),
      options_(options),
      observer_(observer),
      number_(number),
      process_(world.spawn()) {
    durable_.balances.assign(accounts, kOpeningBalance);
    uuid_.bytes.fill(static_cast<std::uint8_t>(number + 0x10));
    identity_ = {"model", {"system" + std::to_string(number), "1"}};
}

void ModelDatabase::say(const std::string& what) const {
    if (world_.tracing()) world_.say(name(), what);
}

// ---- calls and their answers ----------------------------------------------------------------

std::uint64_t ModelDatabase::open_call(ProcessId client, std::function<void()> lost) {
    std::uint64_t id = next_id_++;
    if (!up_) {
        world_.after(latency(), client, std::move(lost));
        return id;
    }
    // The connection may break under the call: the client is told at once, the work goes on.
    bool breaks = world_.chance(options_.connection_lost);
    calls_.emplace(id, Call{client, std::move(lost)});
    if (breaks) {
        world_.after(latency(), process_, [this, id] {
            auto call = calls_.extract(id);
            if (!call.empty()) world_.after(0, call.mapped().client, call.mapped().lost);
        });
    }
    return id;
}

void ModelDatabase::answer(std::uint64_t call, Action action) {
    auto found = calls_.extract(call);
    if (found.empty()) return;
    world_.after(us(50), found.mapped().client, std::move(action));
}

void ModelDatabase::later(Action step) {
    if (up_) world_.after(latency(), process_, std::move(step));
}

void ModelDatabase::finish(ProcessId client,
                           FinishCallback done,
                           std::function<FinishResult()> act) {
    std::uint64_t call = open_call(client, [done] {
        done({FinishStatus::unknown, because(reason::kUnavailable)});
    });
    later([this, client, call, done = std::move(done), act = std::move(act)] {
        FinishResult result = act();
        if (result.status == FinishStatus::committed) unheard_commits_.emplace(call, client);
        // The commit is durable; its answer takes another moment, in which a crash can fall.
        later([this, call, done, result] {
            unheard_commits_.erase(call);
            answer(call, [done, result] { done(result); });
        });
    });
}

// ---- sessions -------------------------------------------------------------------------------

ModelDatabase::Session* ModelDatabase::find(std::uint64_t id) {
    auto found = sessions_.find(id);
    return found == sessions_.end() ? nullptr : &found->second;
}

ModelDatabase::Session* ModelDatabase::find(const protocol::BranchKey& key) {
    for (auto& [id, session] : sessions_) {
        if (session.key == key) return &session;
    }
    return nullptr;
}

bool ModelDatabase::is_running(const protocol::BranchKey& key) const {
    return std::ranges::any_of(sessions_, [&](const auto& s) { return s.second.key == key; });
}

protocol::Epoch ModelDatabase::accepted(const protocol::Incarnation& incarnation) const {
    auto found = known_accepted_.find(incarnation);
    return found == known_accepted_.end() ? 0 : found->second;
}

void ModelDatabase::note_accepted(const protocol::SenderStamp& sender) {
    protocol::Epoch& known = known_accepted_[sender.incarnation];
    known = std::max(known, sender.epoch);
}

std::uint64_t ModelDatabase::open_work(ProcessId client, WorkCallback done) {
    std::uint64_t call = open_call(client, [done] {
        WorkResult result;
        result.reason = because(reason::kUnavailable);
        done(result);
    });
    if (up_) work_done_.emplace(call, std::move(done));
    return call;
}

void ModelDatabase::begin(Session session, WorkCallback done, std::uint32_t work) {
    std::uint64_t id = next_id_++;
    session.id = id;
    session.lock_until = world_.now() + options_.lock_timeout;
    session.call = open_work(session.client, std::move(done));
    if (!up_) return;
    sessions_.emplace(id, std::move(session));
    later([this, id, work] { run_work(id, work); });
}

void ModelDatabase::answer_work(Session& session, WorkResult result) {
    auto done = work_done_.extract(session.call);
    if (done.empty()) return;
    answer(session.call,
           [callback = std::move(done.mapped()), result = std::move(result)] { callback(result); });
}

void ModelDatabase::end_session(std::uint64_t id) {
    Session* session = find(id);
    if (session == nullptr) return;
    unlock(id, session->locks);
    sessions_.erase(id);
}

void ModelDatabase::refuse(Session& session, std::string_view code) {
    WorkResult result;
    result.status = WorkStatus::refused;
    result.reason = because(code);
    result.executed = session.executed;
    result.key_free = session.key_free;
    say("refuses " + short_text(session.key) + ": " + std::string(code));
    answer_work(session, std::move(result));
    end_session(session.id);
}

bool ModelDatabase::lock_all(Session& session, const WorkSpec& spec) {
    for (const Change& change : spec.changes) {
        auto held = locks_.find(change.account);
        if (held == locks_.end() || held->second == session.id) continue;
        note_wait(session, held->second);
        return false;
    }
    for (const Change& change : spec.changes) {
        if (locks_.emplace(change.account, session.id).second) {
            session.locks.push_back(change.account);
        }
    }
    return true;
}

void ModelDatabase::note_wait(const Session& session, std::uint64_t holder) {
    auto running = sessions_.find(holder);
    if (running != sessions_.end() && running->second.stage != Stage::ending) {
        return observer_.on_lock_wait(number_, session.key, running->second.key);
    }
    auto prepared = std::ranges::find_if(
        durable_.prepared, [&](const auto& entry) { return entry.second.session == holder; });
    if (prepared == durable_.prepared.end()) return;
    world_.reached(Situation::work_waits_for_a_prepared_branch);
    observer_.on_lock_wait(number_, session.key, prepared->first);
}

bool ModelDatabase::would_overdraw(const Session& session, const WorkSpec& spec) const {
    auto sum_of = [&](std::uint32_t account) {
        std::int64_t sum = durable_.balances[account];
        auto add = [&](const WorkSpec& work) {
            for (const Change& change : work.changes) {
                if (change.account == account) sum += change.amount;
            }
        };
        for (std::uint32_t work : session.work) add(work_.at(work));
        add(spec);
        return sum;
    };
    return std::ranges::any_of(spec.changes,
                               [&](const Change& change) { return sum_of(change.account) < 0; });
}

void ModelDatabase::run_work(std::uint64_t id, std::uint32_t work) {
    Session* session = find(id);
    if (session == nullptr) return;
    const WorkSpec& spec = work_.at(work);
    if (session->mode == Mode::one_phase && !one_phase_ && !session->key_free) {
        return refuse(*session, reason::kOnePhaseUnavailable);
    }
    if (session->idempotency.has_value() && !session->key_free) {
        // Not every refusal comes after the look for the key.
        if (world_.chance(options_.definite_refusal)) return refuse(*session, reason::kDeadline);
        if (answer_from_key(*session)) return;
        session->key_free = true;
    }
    if (!lock_all(*session, spec)) {
        if (world_.now() > session->lock_until) return refuse(*session, reason::kLockTimeout);
        world_.after(
            world_.between(ms(1), ms(20)), process_, [this, id, work] { run_work(id, work); });
        return;
    }
    session->executed = true;
    if (spec.refuse || would_overdraw(*session, spec)) {
        return refuse(*session, reason::kConstraint);
    }
    if (world_.chance(options_.definite_refusal)) {
        return refuse(*session, reason::kSerialization);
    }
    session->work.push_back(work);
    session->wrote = session->wrote || !spec.changes.empty();
    if (!world_.chance(options_.slow_work)) return after_work(*session);
    world_.after(world_.between(0, options_.slow_work_max), process_, [this, id] {
        if (Session* slow = find(id)) after_work(*slow);
    });
}

void ModelDatabase::after_work(Session& session) {
    std::uint64_t id = session.id;
    switch (session.mode) {
        case Mode::prepare: later([this, id] { prepare_point(id); }); return;
        case Mode::one_phase: later([this, id] { one_phase_point(id); }); return;
        case Mode::interactive: {
            session.stage = Stage::idle;
            WorkResult result;
            result.status = WorkStatus::prepared;
            answer_work(session, std::move(result));
            return;
        }
    }
}

// ---- the durable moments of a session -------------------------------------------------------

bool ModelDatabase::stands_still(const Session& session, Action again) {
    if (session.still_until <= world_.now()) return false;
    world_.after(session.still_until - world_.now(), process_, std::move(again));
    return true;
}

void ModelDatabase::prepare_point(std::uint64_t id) {
    Session* session = find(id);
    if (session == nullptr) return;
    if (stands_still(*session, [this, id] { prepare_point(id); })) return;
    WorkResult result;
    if (!session->wrote) {
        ever_read_only_.insert(session->key);
        observer_.on_read_only(number_, session->key);
        say("read only " + short_text(session->key));
        result.status = WorkStatus::read_only;
        answer_work(*session, std::move(result));
        end_session(id);
        return;
    }
    if (durable_.tombstones.contains(session->key)) return refuse(*session, reason::kAfterAbort);
    if (durable_.prepared.contains(session->key))
        return refuse(*session, reason::kProtocolViolation);
    if (durable_.prepared.size() >= options_.slots) {
        observer_.on_slots_exceeded(number_, session->key);
        return refuse(*session, reason::kSlotsExhausted);
    }
    Prepared prepared{session->gid,
                      id,
                      durable_.next_xid++,
                      {durable_.timeline, durable_.position++},
                      session->work,
                      session->locks,
                      world_.now()};
    result.status = WorkStatus::prepared;
    result.proof = protocol::ProofToken{prepared.xid, prepared.position, options_.witness};
    if (options_.witness) durable_.witnesses.emplace(session->key, prepared.xid);
    protocol::BranchKey key = session->key;
    durable_.prepared.emplace(key, std::move(prepared));
    ever_prepared_.insert(key);
    session->locks.clear();  // the prepared branch holds them now, under the same number
    session->stage = Stage::ending;
    say("prepared " + short_text(key));
    world_.reached_if(!world_.alive(session->client), Situation::session_outlives_its_participant);
    observer_.on_prepared(number_, key);
    later([this, id, result = std::move(result)] {
        if (Session* ending = find(id)) answer_work(*ending, result);
        end_session(id);
    });
}

void ModelDatabase::one_phase_point(std::uint64_t id) {
    Session* session = find(id);
    if (session == nullptr) return;
    if (stands_still(*session, [this, id] { one_phase_point(id); })) return;
    WorkResult result;
    result.status = WorkStatus::committed;
    const protocol::BranchKey key = session->key;
    if (durable_.tombstones.contains(key)) return refuse(*session, reason::kAfterAbort);
    if (!session->wrote) {
        result.recorded = false;
        without_effect_.insert(key);
        answer_work(*session, std::move(result));
        end_session(id);
        return;
    }
    if (answer_from_key(*session)) return;
    if (session->idempotency.has_value()) {
        durable_.witness_keys.emplace(session->idempotency->key_hash,
                                      Durable::KeyRow{session->idempotency->fingerprint, key});
    }
    std::uint64_t xid = durable_.next_xid++;
    result.proof = protocol::ProofToken{xid, {durable_.timeline, durable_.position++}, true};
    durable_.commit_log.emplace(xid, true);
    durable_.witnesses.emplace(key, xid);
    apply(key, session->work);
    unlock(id, std::exchange(session->locks, {}));
    session->stage = Stage::ending;
    say("one-phase commit " + short_text(key));
    observer_.on_one_phase(number_, key);
    later([this, id, result = std::move(result)] {
        if (Session* ending = find(id)) answer_work(*ending, result);
        end_session(id);
    });
}

void ModelDatabase::apply(const protocol::BranchKey& key, const std::vector<std::uint32_t>& work) {
    ever_applied_.insert(key);
    Effect& effect = durable_.ledger[key];
    effect.work = work;
    ++effect.times;
    for (std::uint32_t id : work) {
        const WorkSpec& spec = work_.at(id);
        for (const Change& change : spec.changes)
            durable_.balances[change.account] += change.amount;
        if (!spec.changes.empty()) durable_.appended.push_back(id);
    }
}

void ModelDatabase::unlock(std::uint64_t owner, const std::vector<std::uint32_t>& locks) {
    for (std::uint32_t account : locks) {
        auto held = locks_.find(account);
        if (held != locks_.end() && held->second == owner) locks_.erase(held);
    }
}

// ---- finishing ------------------------------------------------------------------------------

// How a branch ended whose prepared state is gone: by the commit log of the same timeline, else by
// its witness. A missing witness proves nothing where the database has gone back.
std::optional<bool> ModelDatabase::proof_of(const protocol::FinishRequest& request) const {
    if (request.proof.has_value() && request.proof->position.timeline == durable_.timeline) {
        auto logged = durable_.commit_log.find(request.proof->xid);
        if (logged != durable_.commit_log.end()) return logged->second;
    }
    if (durable_.witnesses.contains(request.key)) return true;
    return std::nullopt;
}

FinishResult ModelDatabase::commit_now(const protocol::FinishRequest& request) {
    auto found = durable_.prepared.find(request.key);
    if (found != durable_.prepared.end()) {
        Prepared branch = std::move(found->second);
        durable_.prepared.erase(found);
        apply(request.key, branch.work);
        unlock(branch.session, branch.locks);
        durable_.commit_log.emplace(branch.xid, true);
        ++durable_.position;
        say("committed " + short_text(request.key));
        observer_.on_committed(number_, request.key);
        return {FinishStatus::committed, {}};
    }
    auto proved = proof_of(request);
    if (proved.has_value()) return {*proved ? FinishStatus::committed : FinishStatus::aborted, {}};
    return {FinishStatus::hazard, because("no_proof")};
}

FinishResult ModelDatabase::rollback_now(const protocol::FinishRequest& request) {
    auto found = durable_.prepared.find(request.key);
    if (found == durable_.prepared.end()) {
        auto proved = proof_of(request);
        if (proved == true) return {FinishStatus::committed, because("finished_by_hand")};
        bool unprovable = request.proof.has_value() && !request.proof->witness && !proved;
        if (unprovable) return {FinishStatus::hazard, because("no_proof")};
        if (options_.tombstones) durable_.tombstones.insert(request.key);
        return {request.proof.has_value() ? FinishStatus::aborted : FinishStatus::not_found, {}};
    }
    Prepared branch = std::move(found->second);
    durable_.prepared.erase(found);
    unlock(branch.session, branch.locks);
    durable_.commit_log.emplace(branch.xid, false);
    durable_.witnesses.erase(request.key);
    if (options_.tombstones) durable_.tombstones.insert(request.key);
    ++durable_.position;
    say("rolled back " + short_text(request.key));
    observer_.on_rolled_back(number_, request.key);
    return {FinishStatus::aborted, {}};
}

FinishResult ModelDatabase::settle_now(const protocol::BranchKey& key,
                                       const std::optional<protocol::IdempotencyKey>& idempotency) {
    if (durable_.witnesses.contains(key)) return {FinishStatus::committed, {}};
    durable_.tombstones.insert(key);
    say("tombstone " + short_text(key));
    if (!idempotency.has_value()) return {FinishStatus::aborted, {}};
    auto owner = durable_.witness_keys.find(idempotency->key_hash);
    if (owner == durable_.witness_keys.end()) return {FinishStatus::aborted, {}};
    if (owner->second.fingerprint != idempotency->fingerprint) {
        return {FinishStatus::aborted, because(reason::kKeyConflict)};
    }
    return {FinishStatus::committed, {}, owner->second.branch.group};
}

bool ModelDatabase::answer_from_key(Session& session) {
    if (!session.idempotency.has_value()) return false;
    auto owner = durable_.witness_keys.find(session.idempotency->key_hash);
    if (owner == durable_.witness_keys.end()) return false;
    if (owner->second.fingerprint != session.idempotency->fingerprint) {
        refuse(session, reason::kKeyConflict);
        return true;
    }
    WorkResult result;
    result.status = WorkStatus::committed;
    result.original = owner->second.branch.group;
    result.executed = false;
    say("replay of " + short_text(owner->second.branch) + " for " + short_text(session.key));
    answer_work(session, std::move(result));
    end_session(session.id);
    return true;
}

std::vector<protocol::PreparedBranch> ModelDatabase::listing() const {
    std::vector<protocol::PreparedBranch> out;
    out.reserve(durable_.prepared.size());
    for (const auto& [key, branch] : durable_.prepared) {
        out.push_back({key,
                       branch.gid,
                       protocol::ProofToken{branch.xid, branch.position, false},
                       (world_.now() - branch.since) / 1000,
                       true});
    }
    return out;
}

bool ModelDatabase::finish_by_hand(bool commit_it) {
    if (durable_.prepared.empty() || !up_) return false;
    auto chosen = durable_.prepared.begin();
    std::advance(chosen, static_cast<std::ptrdiff_t>(world_.rng().below(durable_.prepared.size())));
    protocol::FinishRequest request{chosen->first, chosen->second.gid, {}};
    say(std::string("an operator ") + (commit_it ? "commits " : "rolls back ") +
        short_text(request.key));
    if (commit_it) {
        (void)commit_now(request);
    } else {
        (void)rollback_now(request);
    }
    return true;
}

}  // namespace twofold::sim
