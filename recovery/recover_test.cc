// Recovery on a disk that forgets: every start gets a new epoch, what was read is durable again, a
// damaged record is refused.
#include "recovery/recover.h"

#include "wal/memory_file.h"

#include <gtest/gtest.h>

namespace twofold::recovery {
namespace {

RecoverOptions options_for(std::uint8_t start) {
    RecoverOptions options;
    options.writer.segment_size_bytes = 1U << 16U;
    options.writer.salt_seed = 7;
    options.incarnation_if_new.bytes.fill(start);
    options.key.fill(start);
    return options;
}

Recovered start(wal::MemoryDisk& disk, std::uint8_t number) {
    auto recovered = recover(disk.directory(), options_for(number));
    EXPECT_TRUE(recovered.has_value()) << recovered.error().text();
    return std::move(recovered).value();
}

void append(wal::Writer& writer, const protocol::Record& record) {
    writer.append(protocol::encode_record(record));
}

TEST(Recover, every_start_has_its_own_epoch_and_key_and_one_incarnation) {
    wal::MemoryDisk disk;
    protocol::Incarnation first;
    for (std::uint8_t i = 1; i <= 4; ++i) {
        Recovered recovered = start(disk, i);
        if (i == 1) first = recovered.state.incarnation;
        EXPECT_EQ(recovered.state.incarnation, first);
        EXPECT_EQ(recovered.state.epoch, i);
        EXPECT_EQ(recovered.writer->epoch(), i);
        ASSERT_EQ(recovered.state.epochs.size(), i);
        EXPECT_EQ(recovered.state.epochs.at(i).key[0], i);
        EXPECT_EQ(recovered.state.epochs.at(1).key[0], 1);
    }
}

TEST(Recover, what_was_forced_is_there_and_what_was_not_may_be_gone) {
    wal::MemoryDisk disk;
    protocol::ParticipantRecord one{protocol::ParticipantNumber(1), {}, "one", {"x", {"1"}}, false};
    {
        Recovered recovered = start(disk, 1);
        append(*recovered.writer, one);
        ASSERT_TRUE(recovered.writer->force().has_value());
        append(*recovered.writer, protocol::HorizonRecord{{1, 5}});
    }
    disk.crash([](const auto&) { return false; });
    Recovered recovered = start(disk, 2);
    EXPECT_EQ(recovered.state.participants.at(one.number), one);
    EXPECT_EQ(recovered.state.horizon, protocol::IdPosition{});
    disk.crash([](const auto&) { return false; });
    EXPECT_EQ(start(disk, 3).state.participants.at(one.number), one) << "durable again";
}

TEST(Recover, a_record_that_is_none_is_refused_by_its_number) {
    wal::MemoryDisk disk;
    std::uint64_t lsn = 0;
    {
        Recovered recovered = start(disk, 1);
        lsn = recovered.writer->append(base::Bytes{99, 1, 2, 3});
        ASSERT_TRUE(recovered.writer->force().has_value());
    }
    auto refused = recover(disk.directory(), options_for(2));
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().context.find("log record " + std::to_string(lsn)), std::string::npos)
        << refused.error().text();
}

}  // namespace
}  // namespace twofold::recovery
