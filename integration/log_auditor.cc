#include "integration/log_auditor.h"

#include "integration/process.h"

#include <filesystem>
#include <fstream>
#include <utility>

namespace twofold::integration {

namespace fs = std::filesystem;
using base::Errc;
using base::fail;
using base::Result;

namespace {

// Of a long run's answers, in an interpreter.
constexpr std::chrono::minutes kAuditLimit{20};

}  // namespace

Result<LogAuditor> LogAuditor::create(std::string script) {
    if (!fs::exists(script)) {
        return fail(Errc::not_found, script + " is missing: start this in the repository's root");
    }
    TWOFOLD_TRY(TempDir dir, TempDir::create("twofold-audit"));
    return LogAuditor(std::move(script), std::move(dir));
}

Result<void> LogAuditor::copy(const std::string& log_directory) {
    std::error_code error;
    if (!before_.empty()) fs::remove_all(before_, error);
    before_ = std::exchange(newest_, dir_.path() + "/copy" + std::to_string(++copies_));
    fs::copy(log_directory, newest_, fs::copy_options::recursive, error);
    if (error) return fail(Errc::io_error, newest_ + ": " + error.message());
    return base::ok();
}

Result<std::string> LogAuditor::run(std::vector<std::string> more) {
    std::vector<std::string> words{"-B", script_};
    if (!before_.empty()) words.push_back(before_);
    words.push_back(newest_);
    words.insert(words.end(), more.begin(), more.end());
    ++looks_;
    TWOFOLD_TRY(Finished done, run_program("python3", std::move(words), {}, kAuditLimit));
    bool ok = done.status.exited_with(0) && done.output.find("log_audit: ok") != std::string::npos;
    if (!ok) return fail(Errc::corrupt, done.output);
    return done.output;
}

Result<std::string> LogAuditor::look() { return run({}); }

Result<std::string> LogAuditor::look(const std::vector<Deed>& deeds) {
    std::string path = dir_.path() + "/answers.jsonl";
    std::ofstream file(path);
    for (const Deed& deed : deeds) {
        if (deed.id.empty() || deed.told == Verdict::unknown) continue;
        file << R"({"id":")" << deed.id << R"(","told":")"
             << (deed.told == Verdict::committed ? "committed" : "aborted") << "\"}\n";
    }
    file.close();
    return run({"--answers", path});
}

}  // namespace twofold::integration
