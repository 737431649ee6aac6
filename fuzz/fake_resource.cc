#include "fuzz/fake_resource.h"

#include <memory>
#include <string>

namespace twofold::fuzz {

using protocol::FinishStatus;
using protocol::WorkStatus;

protocol::ParticipantUuid FakeResource::uuid() {
    protocol::ParticipantUuid uuid;
    uuid.bytes.fill(0x5a);
    return uuid;
}

protocol::WorkResult FakeResource::work_result(WorkStatus usual) const {
    protocol::WorkResult result;
    result.status = usual;
    result.results = std::make_shared<const std::string>("[]");
    switch (manner_ & 3U) {
        case 1: result.status = WorkStatus::read_only; break;
        case 2:
            result.status = WorkStatus::refused;
            result.reason = {std::string(protocol::reason::kConstraint), "no", 0, "23505"};
            break;
        case 3:
            result.status = WorkStatus::unknown;
            result.reason = {std::string(protocol::reason::kUnavailable), "lost", -1, {}};
            break;
        default: result.proof = protocol::ProofToken{7, {1, 1}, true}; break;
    }
    if (result.status != usual && usual == WorkStatus::committed) result.recorded = false;
    return result;
}

protocol::FinishResult FakeResource::finish_result(FinishStatus usual) const {
    protocol::FinishResult result;
    result.status = usual;
    if ((manner_ & 12U) == 4) result.status = FinishStatus::unknown;
    if ((manner_ & 12U) == 8) result.status = FinishStatus::hazard;
    if (result.status != usual) {
        result.reason = {std::string(protocol::reason::kUnavailable), "gone", -1, {}};
    }
    return result;
}

void FakeResource::start(StartCallback done) {
    protocol::ResourceStart start;
    start.uuid = uuid();
    start.identity = identity();
    start.epoch = 1;
    start.position = {1, 1};
    start.slots = 4;
    start.exclusive = (manner_ & 16U) != 0;
    done(std::move(start));
}

void FakeResource::execute_prepare(protocol::BranchWork work, WorkCallback done) {
    protocol::WorkResult result = work_result(WorkStatus::prepared);
    if (result.status == WorkStatus::prepared) {
        prepared_.push_back({work.key, work.gid, result.proof, 10'000, true});
    }
    done(std::move(result));
}

void FakeResource::one_phase(protocol::BranchWork /*work*/, WorkCallback done) {
    done(work_result(WorkStatus::committed));
}

std::optional<protocol::Reason> FakeResource::check_work(const protocol::JsonText& /*work*/) const {
    return std::nullopt;
}

void FakeResource::execute(protocol::BranchWork /*work*/,
                           std::uint32_t /*sequence*/,
                           WorkCallback done) {
    protocol::WorkResult result = work_result(WorkStatus::prepared);
    if (result.status == WorkStatus::read_only) result.status = WorkStatus::prepared;
    result.proof.reset();
    done(std::move(result));
}

void FakeResource::prepare_executed(const protocol::BranchKey& key, WorkCallback done) {
    protocol::WorkResult result = work_result(WorkStatus::prepared);
    if (result.status == WorkStatus::prepared) {
        prepared_.push_back({key, protocol::make_gid(key, uuid()), result.proof, 10'000, true});
    }
    done(std::move(result));
}

void FakeResource::cancel(const protocol::BranchKey& /*key*/, DoneCallback done) {
    done(base::ok());
}

void FakeResource::commit(protocol::FinishRequest request, FinishCallback done) {
    protocol::FinishResult result = finish_result(FinishStatus::committed);
    std::erase_if(prepared_, [&](const auto& branch) { return branch.key == request.key; });
    done(std::move(result));
}

void FakeResource::rollback(protocol::FinishRequest request, FinishCallback done) {
    bool known =
        std::erase_if(prepared_, [&](const auto& one) { return one.key == request.key; }) > 0;
    done(finish_result(known ? FinishStatus::aborted : FinishStatus::not_found));
}

void FakeResource::settle_one_phase(const protocol::BranchKey& /*key*/,
                                    const std::optional<protocol::IdempotencyKey>& /*idempotency*/,
                                    FinishCallback done) {
    done(finish_result((manner_ & 32U) != 0 ? FinishStatus::committed : FinishStatus::aborted));
}

void FakeResource::list(ListCallback done) { done(prepared_); }

void FakeResource::persist_sender(const protocol::SenderStamp& /*sender*/, DoneCallback done) {
    done(base::ok());
}

void FakeResource::note_marks(const protocol::Incarnation& /*incarnation*/,
                              protocol::IdPosition /*low_water*/,
                              protocol::IdPosition /*horizon*/) {}

}  // namespace twofold::fuzz
