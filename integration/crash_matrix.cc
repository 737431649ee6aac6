// twofold-crash: the crash matrix over real processes. For every point that the program lists,
// every fault that makes sense there, both databases and both ways of working: a cluster of its
// own, that fault at that point while clients work, and then the checks of crash_checks.h. `make
// crash` runs all cells.
//
//   twofold-crash                   all of them
//   twofold-crash --every K         each K-th; --cells N: about N, evenly
//   twofold-crash --cell NAME       one (may be repeated); NAME as the list prints it
//   twofold-crash --list            the names
//   twofold-crash --jobs J          so many at a time
//
// The last line is "crash: ok cells=N violations=0"; exit code 1 when there is any violation. A
// cell whose point was not passed is one.
#include "integration/crash_cell_run.h"
#include "integration/crash_databases.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <thread>

namespace twofold::integration {
namespace {

struct Options {
    std::size_t every = 1;
    std::size_t cells = 0;  // 0: all
    std::size_t jobs = 3;
    bool list = false;
    std::vector<std::string> names;
};

int usage() {
    std::fprintf(stderr,
                 "usage: twofold-crash [--every K | --cells N | --cell NAME ...] [--jobs J] "
                 "[--list]\n");
    return 2;
}

bool parse(int argc, char** argv, Options& options) {
    for (int i = 1; i < argc; ++i) {
        std::string_view word = argv[i];
        if (word == "--list") {
            options.list = true;
            continue;
        }
        if (++i == argc) return false;
        if (word == "--cell") {
            options.names.emplace_back(argv[i]);
            continue;
        }
        std::size_t number = std::strtoul(argv[i], nullptr, 10);
        if (number == 0) return false;
        if (word == "--every") {
            options.every = number;
        } else if (word == "--cells") {
            options.cells = number;
        } else if (word == "--jobs") {
            options.jobs = number;
        } else {
            return false;
        }
    }
    return true;
}

// Evenly, so that a part has something of everything.
std::vector<CrashCell> chosen(std::vector<CrashCell> all, const Options& options) {
    if (!options.names.empty()) {
        std::erase_if(all, [&options](const CrashCell& cell) {
            return std::ranges::find(options.names, cell.name()) == options.names.end();
        });
        return all;
    }
    std::size_t wanted = all.size() / options.every;
    if (options.cells != 0) wanted = std::min(options.cells, all.size());
    std::vector<CrashCell> some;
    for (std::size_t i = 0; i < wanted; ++i) some.push_back(all[i * all.size() / wanted]);
    return some;
}

class Matrix {
public:
    Matrix(std::vector<CrashCell> cells, std::unique_ptr<CrashDatabases> databases)
        : cells_(std::move(cells)), databases_(std::move(databases)) {}

    int run(std::size_t jobs) {
        std::vector<std::thread> workers;
        for (std::size_t number = 0; number < jobs; ++number) {
            workers.emplace_back([this, number] { work(number); });
        }
        for (std::thread& worker : workers) worker.join();
        std::printf("crash: %s cells=%zu violations=%zu\n",
                    violations_ == 0 ? "ok" : "FAILED",
                    done_,
                    violations_);
        return violations_ == 0 ? 0 : 1;
    }

private:
    // Each cell's processes end with the thread that has started them.
    void work(std::size_t worker) {
        bool fresh = false;
        for (std::size_t next = next_++; next < cells_.size(); next = next_++) {
            CellResult result = run_on_databases(cells_[next], worker, fresh);
            fresh = !result.complaints.empty();
            report(cells_[next], result);
        }
    }

    CellResult run_on_databases(const CrashCell& cell, std::size_t worker, bool fresh) {
        if (cell.store == DatabaseKind::sqlite) return run_cell(cell, {});
        auto pair = databases_->pair_for(worker, fresh);
        if (!pair.has_value()) return {{"no databases: " + pair.error().text()}, ""};
        return run_cell(cell, pair.value());
    }

    void report(const CrashCell& cell, const CellResult& result) {
        std::lock_guard lock(mutex_);
        ++done_;
        if (done_ % 25 == 0) {
            auto took = std::chrono::steady_clock::now() - begun_;
            std::printf(
                "crash: %zu of %zu cells, %ld s\n",
                done_,
                cells_.size(),
                static_cast<long>(std::chrono::duration_cast<std::chrono::seconds>(took).count()));
        }
        if (!result.complaints.empty()) {
            ++violations_;
            std::printf("VIOLATION in %s (passage %d)\n", cell.name().c_str(), cell.turn);
            for (const std::string& text : result.complaints) std::printf("  %s\n", text.c_str());
            std::printf(
                "  once more: %s --cell %s\n", program_invocation_name, cell.name().c_str());
            std::printf("%s\n", result.logs.c_str());
        }
        std::fflush(stdout);
    }

    std::vector<CrashCell> cells_;
    std::unique_ptr<CrashDatabases> databases_;
    std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
    std::atomic<std::size_t> next_{0};
    std::mutex mutex_;
    std::size_t done_ = 0;
    std::size_t violations_ = 0;
};

int refused(const base::Error& error) {
    std::fprintf(stderr, "twofold-crash: %s\n", error.text().c_str());
    return 2;
}

int run(int argc, char** argv) {
    Options options;
    if (!parse(argc, argv, options)) return usage();
    auto points = listed_points();
    if (!points.has_value()) return refused(points.error());
    std::vector<CrashCell> cells = chosen(all_cells(points.value()), options);
    if (options.list) {
        for (const CrashCell& cell : cells) std::printf("%s\n", cell.name().c_str());
        return 0;
    }
    if (cells.empty()) return refused(base::fail(base::Errc::not_found, "there is no such cell"));
    // Files of outcomes and keys that a few dozen transactions fill.
    setenv("TWOFOLD_KEYS_PER_FILE", "16", 1);
    setenv("TWOFOLD_OUTCOME_WORDS_PER_FILE", "1", 1);
    std::unique_ptr<CrashDatabases> databases;
    bool needs_postgres = std::ranges::any_of(
        cells, [](const CrashCell& cell) { return cell.store == DatabaseKind::postgres; });
    if (needs_postgres) {
        auto made = CrashDatabases::create();
        if (!made.has_value()) return refused(made.error());
        databases = std::move(made.value());
    }
    std::printf("crash: %zu points, %zu cells, %zu at a time\n",
                points.value().size(),
                cells.size(),
                options.jobs);
    return Matrix(std::move(cells), std::move(databases)).run(options.jobs);
}

}  // namespace
}  // namespace twofold::integration

int main(int argc, char** argv) { return twofold::integration::run(argc, argv); }
