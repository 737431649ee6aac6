// A database that answers every call at once, in one of four manners.
#pragma once

#include "participant/resource.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace twofold::fuzz {

class FakeResource final : public participant::ResourcePort {
public:
    explicit FakeResource(std::uint8_t manner) : manner_(manner) {}

    static protocol::ParticipantUuid uuid();
    static protocol::Identity identity() { return {"fake", {"1"}}; }

    void start(StartCallback done) override;
    void execute_prepare(protocol::BranchWork work, WorkCallback done) override;
    void one_phase(protocol::BranchWork work, WorkCallback done) override;
    [[nodiscard]] std::optional<protocol::Reason> check_work(
        const protocol::JsonText& work) const override;
    void execute(protocol::BranchWork work, std::uint32_t sequence, WorkCallback done) override;
    void prepare_executed(const protocol::BranchKey& key, WorkCallback done) override;
    void cancel(const protocol::BranchKey& key, DoneCallback done) override;
    void commit(protocol::FinishRequest request, FinishCallback done) override;
    void rollback(protocol::FinishRequest request, FinishCallback done) override;
    void settle_one_phase(const protocol::BranchKey& key,
                          const std::optional<protocol::IdempotencyKey>& idempotency,
                          FinishCallback done) override;
    void list(ListCallback done) override;
    void persist_sender(const protocol::SenderStamp& sender, DoneCallback done) override;
    void note_marks(const protocol::Incarnation& incarnation,
                    protocol::IdPosition low_water,
                    protocol::IdPosition horizon) override;
    [[nodiscard]] protocol::Position position() const override { return {1, 1}; }
    void stop(std::function<void()> done) override { done(); }

private:
    [[nodiscard]] protocol::WorkResult work_result(protocol::WorkStatus usual) const;
    [[nodiscard]] protocol::FinishResult finish_result(protocol::FinishStatus usual) const;

    std::uint8_t manner_;
    std::vector<protocol::PreparedBranch> prepared_;
};

}  // namespace twofold::fuzz
