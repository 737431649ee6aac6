// A caller of the log in the small, whose state is the list of all records that it ever appended. A
// checkpoint repeats them; the first ones may be in sealed files, which the checkpoint names as
// wal/log_judge.h wants it.
#pragma once

#include "wal/file.h"
#include "wal/log_judge.h"
#include "wal/reader.h"
#include "wal/writer.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace twofold::damage {

using base::Bytes;

inline constexpr wal::Incarnation kIncarnation = {'d', 'a', 'm', 'a', 'g', 'e', 't', 'e', 's', 't'};

// What a start finds: the records, those in sealed files included.
struct ReadState {
    wal::ReadSummary summary;
    std::vector<Bytes> records;
    std::vector<wal::NamedSealedFile> sealed;  // the files that the checkpoint named
    std::size_t sealed_records = 0;            // the first so many are in them
};
[[nodiscard]] base::Result<ReadState> read_state(wal::Directory& directory);

// Every verb returns false when the log failed; the caller's process would end there. The directory
// must outlive the caller.
class LogCaller {
public:
    LogCaller(wal::Directory& directory,
              wal::WriterOptions options,
              wal::Incarnation incarnation = kIncarnation)
        : directory_(directory), options_(options), incarnation_(incarnation) {}

    // Reads, and starts a writer.
    bool open();
    void append(std::size_t size_bytes);
    bool force();
    bool add(std::size_t size_bytes) {
        append(size_bytes);
        return force();
    }
    bool heartbeat();
    bool maintain();
    // Seals the next `count` records that were acknowledged and are not sealed yet.
    bool seal(std::size_t count);
    bool checkpoint();
    bool close_clean();
    // The process dies; nothing is called any more.
    void die() { writer_ = nullptr; }

    [[nodiscard]] const std::vector<Bytes>& attempted() const { return attempted_; }
    // The first so many of attempted() were acknowledged.
    [[nodiscard]] std::size_t acknowledged() const { return acknowledged_; }
    [[nodiscard]] const std::string& error() const { return error_; }

private:
    bool note(const base::Result<void>& result);
    [[nodiscard]] std::vector<Bytes> checkpoint_records() const;

    wal::Directory& directory_;
    wal::WriterOptions options_;
    wal::Incarnation incarnation_;
    std::unique_ptr<wal::Writer> writer_;
    std::vector<Bytes> attempted_;
    std::size_t acknowledged_ = 0;
    std::vector<Bytes> references_;
    std::vector<std::uint64_t> sealed_;
    std::size_t sealed_records_ = 0;
    std::uint64_t seals_ = 0;  // by this writer
    std::string error_;
};

}  // namespace twofold::damage
