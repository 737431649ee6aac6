// Judges what the reader made of a damaged log, from outside: it knows what was acknowledged, where
// each batch stood, and how far the mark on the damaged disk proves the log. One judge for the unit
// tests and for the program twofold-corrupt; docs/log_format.md, "Torn or damaged", is its law.
//
// The records must be those of a caller whose checkpoint repeats every record, in order; the first
// ones may be in sealed files, each of which a checkpoint names by sealed_reference().
#pragma once

#include "wal/core/frame.h"
#include "wal/file.h"
#include "wal/reader.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace twofold::wal {

// A batch that was forced, as it stood before anything was damaged.
struct ForcedBatch {
    std::string file;
    std::uint64_t offset = 0;
    Bytes bytes;
    std::uint64_t number = 0;
    std::uint64_t last_lsn = 0;
    std::size_t records_after = 0;  // how many records the log held with it
};

// The batches of every segment of a sound log, in the order they were forced.
[[nodiscard]] Result<std::vector<ForcedBatch>> forced_batches(Directory& directory);

struct NamedSealedFile {
    std::uint64_t number = 0;
    std::uint32_t checksum = 0;  // content_checksum() of its records
    std::size_t records = 0;
};
[[nodiscard]] Bytes sealed_reference(const NamedSealedFile& reference);
[[nodiscard]] std::optional<NamedSealedFile> parse_sealed_reference(ByteSpan record);

enum class Verdict : std::uint8_t {
    complete,  // everything acknowledged was delivered
    refused,   // by name
    excused,   // acknowledged batches are missing, and a documented limit says that they may be
    silent,    // anything else
};

struct Judgement {
    Verdict verdict = Verdict::silent;
    std::string text;  // the refusal, or what is wrong
};

class LogJudge {
public:
    using Reader = std::function<Result<ReadSummary>(Directory&, const RecordSink&)>;

    static constexpr std::uint64_t kProvesEverything = std::numeric_limits<std::uint64_t>::max();

    // `acknowledged`: every record, in order. `reader`: read_log, unless a test plants a bug.
    LogJudge(std::vector<Bytes> acknowledged,
             std::vector<ForcedBatch> batches,
             Reader reader = read_log)
        : acknowledged_(std::move(acknowledged)),
          batches_(std::move(batches)),
          reader_(std::move(reader)) {}

    // Reads the log once. `proven_batch`: no batch up to this number may be missing, because a mark
    // covers it; 0 without a mark.
    [[nodiscard]] Judgement judge(Directory& directory, std::uint64_t proven_batch) const;

    [[nodiscard]] const std::vector<ForcedBatch>& batches() const { return batches_; }

private:
    struct Delivered {
        std::size_t records = 0;
        bool as_appended = true;
        std::uint64_t last_lsn = 0;
        struct Sealed {
            NamedSealedFile reference;
            std::size_t first = 0;
        };
        std::vector<Sealed> sealed;
    };

    void take(Delivered& delivered, const RecoveredRecord& record) const;
    Result<bool> sealed_as_appended(Directory& directory,
                                    const Incarnation& incarnation,
                                    const Delivered& delivered) const;
    Judgement judge_accepted(Directory& directory,
                             const ReadSummary& summary,
                             const Delivered& delivered,
                             std::uint64_t proven_batch) const;
    Judgement judge_loss(Directory& directory,
                         std::size_t records,
                         std::uint64_t proven_batch) const;

    std::vector<Bytes> acknowledged_;
    std::vector<ForcedBatch> batches_;
    Reader reader_;
};

}  // namespace twofold::wal
