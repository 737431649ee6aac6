// `twofold wal verify` and `twofold wal dump`: look at a log offline. Nothing is modified, and a
// running coordinator is not needed; both work on a log that the coordinator refuses.
#include "app/commands.h"
#include "protocol/records.h"
#include "wal/inspect.h"
#include "wal/posix_file.h"
#include "wal/sealed.h"

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

// What the checkpoint refers to must be there and sound. The first problem; empty: none.
std::string sealed_problem(wal::Directory& directory, const wal::ReadSummary& summary) {
    std::string problem;
    auto read = wal::read_log(directory, [&](const wal::RecoveredRecord& record) {
        if (!problem.empty()) return;
        auto decoded = protocol::decode_record(record.payload);
        if (!decoded.has_value()) return;
        auto file = protocol::sealed_file_of(decoded.value());
        if (!file) return;
        auto content =
            wal::read_sealed(directory, summary.incarnation, file->number, file->checksum);
        if (!content.has_value()) problem = content.error().context;
    });
    if (!read.has_value()) problem = read.error().context;
    return problem;
}

int refused(const std::string& why) {
    std::fprintf(stderr, "twofold wal: the coordinator refuses this log: %s\n", why.c_str());
    return kExitError;
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
    if (!report.value().accepted) return refused(report.value().refusal);
    std::string problem = sealed_problem(*directory.value(), report.value().summary);
    return problem.empty() ? kExitOk : refused(problem);
}

}  // namespace

int verify_wal(const WalOptions& options) { return inspect(options, false); }

int dump_wal(const WalOptions& options) { return inspect(options, true); }

}  // namespace twofold::app
