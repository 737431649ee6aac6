// `twofold wal verify` and `twofold wal dump`: look at a log offline. Nothing is modified, and a
// running coordinator is not needed; both work on a log that the coordinator refuses.
#include "app/commands.h"
#include "protocol/records.h"
#include "wal/inspect.h"
#include "wal/posix_file.h"

#include <cstdio>
#include <memory>

namespace twofold::app {

namespace {

std::string describe(base::ByteSpan bytes, bool json) {
    auto record = protocol::decode_record(bytes);
    if (record.has_value()) {
        return json ? protocol::describe_record_json(record.value())
                    : protocol::describe_record(record.value());
    }
    return json ? "{\"type\":\"unreadable\"}" : "unreadable: " + record.error().context;
}

int inspect(const WalOptions& options, bool with_records) {
    auto directory =
        wal::PosixDirectory::open(options.directory, {.create = false, .read_only = true});
    if (!directory.has_value()) {
        std::fprintf(stderr, "twofold wal: %s\n", directory.error().context.c_str());
        return kExitError;
    }
    wal::InspectOptions inspection;
    inspection.with_records = with_records;
    inspection.describe = [json = options.json](base::ByteSpan bytes) {
        return describe(bytes, json);
    };
    auto report = wal::inspect_log(*directory.value(), inspection);
    if (!report.has_value()) {
        std::fprintf(stderr, "twofold wal: %s\n", report.error().context.c_str());
        return kExitError;
    }
    std::string text = options.json ? wal::to_json(report.value()) : wal::to_text(report.value());
    std::fputs(text.c_str(), stdout);
    if (!report.value().accepted) {
        std::fprintf(stderr,
                     "twofold wal: the coordinator refuses this log: %s\n",
                     report.value().refusal.c_str());
        return kExitError;
    }
    return kExitOk;
}

}  // namespace

int verify_wal(const WalOptions& options) { return inspect(options, false); }

int dump_wal(const WalOptions& options) { return inspect(options, true); }

}  // namespace twofold::app
