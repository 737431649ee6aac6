#include "damage/corruption.h"

#include "damage/file_damage.h"
#include "wal/core/durable_mark.h"
#include "wal/core/segment_name.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace twofold::damage {

using base::Bytes;
using wal::Judgement;
using wal::LogJudge;
using wal::Verdict;

namespace {

constexpr std::size_t kSilentKept = 10;
constexpr std::size_t kExcusedKept = 3;
// So many of the cases that are decided before the mark is looked at are read with each mark all
// the same.
constexpr std::uint64_t kCheckedOneIn = 64;

// A piece of work for one thread: the damages of one file, or all others of one sample.
struct Unit {
    const LogSample* sample = nullptr;
    std::string file;  // empty: the whole-file damages
    std::size_t begin = 0;
    std::size_t end = 0;
};

// Gives up the newest segments until the rest is sound, as a reader that "repairs" would.
base::Result<wal::ReadSummary> read_trimming(wal::Directory& directory,
                                             const wal::RecordSink& sink) {
    auto& damaged = static_cast<DamagedDirectory&>(directory);
    auto names = damaged.list().value();
    std::erase_if(names, [](const std::string& name) {
        return wal::parse_name(name).kind != wal::FileKind::segment;
    });
    auto rest = damaged.copy();
    while (true) {
        auto summary = wal::read_log(*rest, sink);
        if (summary.has_value() || names.empty()) return summary;
        rest->remove_file(names.back());
        names.pop_back();
    }
}

// The cases of one unit, one after another, on one thread.
class Worker {
public:
    Worker(const Unit& unit, const CorruptOptions& options)
        : sample_(*unit.sample),
          options_(options),
          judge_(sample_.acknowledged,
                 sample_.batches,
                 options.planted == Planted::trim ? read_trimming : wal::read_log),
          directory_(sample_.files) {
        if (options.planted == Planted::ignore_mark) directory_.ignore_mark();
    }

    void run(const Unit& unit) {
        if (unit.file.empty()) {
            for (const FileDamage& damage : file_damages(sample_)) whole_files(damage);
        } else {
            flips(unit);
            cuts(unit);
            zeros(unit, 512, "sectors of 512 bytes zeroed");
            zeros(unit, wal::kBlockSizeBytes, "blocks of 4096 bytes zeroed");
        }
        if (directory_.changes_tried() != 0) note_silent("the reader tried to write");
    }

    CorruptReport report;

private:
    struct Mark {
        const char* name;
        std::uint64_t proven_batch;
    };

    void note_silent(std::string text) {
        if (report.silent.size() < kSilentKept) report.silent.push_back(std::move(text));
    }

    void count(const std::string& what, const char* mark, const Judgement& judgement) {
        counts_->count(judgement.verdict);
        bool is_excused = judgement.verdict == Verdict::excused;
        if (!is_excused && judgement.verdict != Verdict::silent) return;
        std::string text = sample_.name + ": " + what + ", " + mark + ": " + judgement.text;
        if (!is_excused) return note_silent(std::move(text));
        std::vector<std::string>& kept = report.excused[kind_];
        if (kept.size() < kExcusedKept) kept.push_back(std::move(text));
    }

    Judgement judge_with_old_mark() {
        directory_.put(wal::kDurableMarkName, sample_.old_mark);
        return judge_.judge(directory_, sample_.old_mark_batch);
    }
    Judgement judge_without_mark() {
        directory_.remove_file(wal::kDurableMarkName);
        return judge_.judge(directory_, 0);
    }

    // One damage that left the mark alone. What is refused before the reader asks for the mark is
    // refused with any mark: it has read the same bytes. That is looked at again now and then.
    template <class Text>
    void with_each_mark(const Text& text) {
        directory_.mark_was_looked_at();
        Judgement exact = judge_.judge(directory_, LogJudge::kProvesEverything);
        bool depends = directory_.mark_was_looked_at();
        bool is_silent = exact.verdict == Verdict::silent;
        if (!depends && !is_silent && ++decided_early_ % kCheckedOneIn != 0) {
            report.decided_before_mark += 2;
            for (int i = 0; i < 3; ++i) counts_->count(exact.verdict);
            return;
        }
        Judgement old = judge_with_old_mark();
        Judgement none = judge_without_mark();
        directory_.put(wal::kDurableMarkName, sample_.files.find(wal::kDurableMarkName)->second);
        std::string what = text();
        if (!depends && (old.text != exact.text || none.text != exact.text)) {
            note_silent(what + ": the mark was not looked at, and yet it mattered");
            ++counts_->silent;
        }
        count(what, "exact mark", exact);
        count(what, "old mark", old);
        count(what, "no mark", none);
    }

    template <class Text>
    void one_case(bool mark_is_damaged, const Text& text) {
        if (!mark_is_damaged) return with_each_mark(text);
        count(text(), "damaged mark", judge_.judge(directory_, LogJudge::kProvesEverything));
    }

    void flips(const Unit& unit);
    void cuts(const Unit& unit);
    void zeros(const Unit& unit, std::size_t size, const char* kind);
    void whole_files(const FileDamage& damage);
    const Bytes& original(const Unit& unit) const { return sample_.files.find(unit.file)->second; }

    const LogSample& sample_;
    const CorruptOptions& options_;
    LogJudge judge_;
    DamagedDirectory directory_;
    void begin(const char* kind) {
        kind_ = kind;
        counts_ = &report.kinds[kind];
    }

    std::string kind_;
    VerdictCounts* counts_ = nullptr;
    std::uint64_t decided_early_ = 0;
};

// The n-th step of a unit counts when it falls on the stride, seen over the whole file.
std::uint64_t first_step(std::uint64_t begin, std::uint64_t stride) {
    return (begin + stride - 1) / stride * stride;
}

void Worker::flips(const Unit& unit) {
    begin("bits flipped");
    Bytes content = original(unit);
    directory_.put(unit.file, content);
    bool is_mark = unit.file == wal::kDurableMarkName;
    std::uint64_t end = std::uint64_t{unit.end} * 8;
    for (std::uint64_t bit = first_step(unit.begin * 8, options_.stride); bit < end;
         bit += options_.stride) {
        auto mask = static_cast<std::uint8_t>(1U << (bit % 8));
        content[bit / 8] ^= mask;
        one_case(is_mark, [&] { return unit.file + " bit " + std::to_string(bit); });
        content[bit / 8] ^= mask;
    }
    directory_.reset();
}

void Worker::cuts(const Unit& unit) {
    begin("cut at a byte");
    Bytes content = original(unit);
    directory_.put(unit.file, content);
    bool is_mark = unit.file == wal::kDurableMarkName;
    content.resize(unit.end);
    for (std::size_t size = unit.end; size-- > unit.begin;) {
        content.resize(size);
        if (size % options_.stride != 0) continue;
        one_case(is_mark, [&] { return unit.file + " cut at " + std::to_string(size); });
    }
    directory_.reset();
}

void Worker::zeros(const Unit& unit, std::size_t size, const char* kind) {
    begin(kind);
    Bytes content = original(unit);
    directory_.put(unit.file, content);
    bool is_mark = unit.file == wal::kDurableMarkName;
    for (std::size_t at = unit.begin; at < unit.end; at += size) {
        std::size_t end = std::min(at + size, content.size());
        auto part = std::span(content).subspan(at, end - at);
        std::ranges::fill(part, std::uint8_t{0});
        one_case(is_mark, [&] { return unit.file + " zeroed at " + std::to_string(at); });
        std::ranges::copy(std::span(original(unit)).subspan(at, end - at), part.begin());
    }
    directory_.reset();
}

void Worker::whole_files(const FileDamage& damage) {
    begin(damage.kind);
    for (const std::string& name : damage.removed) directory_.remove_file(name);
    for (const FilePut& put : damage.put) directory_.put(put.name, *put.content);
    one_case(damage.touches_mark(), [&] { return damage.text; });
    directory_.reset();
}

std::vector<Unit> units_of(const std::vector<LogSample>& samples) {
    std::vector<Unit> units;
    for (const LogSample& sample : samples) {
        units.push_back({.sample = &sample});
        for (const auto& [name, content] : sample.files) {
            for (std::size_t begin = 0; begin < content.size(); begin += wal::kBlockSizeBytes) {
                std::size_t end = std::min(begin + wal::kBlockSizeBytes, content.size());
                units.push_back({.sample = &sample, .file = name, .begin = begin, .end = end});
            }
        }
    }
    return units;
}

void merge(CorruptReport& into, const CorruptReport& part) {
    for (const auto& [kind, counts] : part.kinds) {
        into.kinds[kind].add(counts);
        into.total.add(counts);
    }
    for (const auto& [kind, texts] : part.excused) {
        std::vector<std::string>& kept = into.excused[kind];
        for (const std::string& text : texts) {
            if (kept.size() < kExcusedKept) kept.push_back(text);
        }
    }
    into.decided_before_mark += part.decided_before_mark;
    for (const std::string& text : part.silent) {
        if (into.silent.size() < kSilentKept) into.silent.push_back(text);
    }
}

}  // namespace

void VerdictCounts::count(Verdict verdict) {
    switch (verdict) {
        case Verdict::refused: ++refused; return;
        case Verdict::complete: ++complete; return;
        case Verdict::excused: ++excused; return;
        case Verdict::silent: ++silent; return;
    }
}

void VerdictCounts::add(const VerdictCounts& other) {
    refused += other.refused;
    complete += other.complete;
    excused += other.excused;
    silent += other.silent;
}

std::uint64_t steps_of(const std::vector<LogSample>& samples) {
    std::uint64_t steps = 0;
    for (const LogSample& sample : samples) {
        for (const auto& [name, content] : sample.files) steps += content.size() * 9;
    }
    return steps;
}

CorruptReport corrupt(const std::vector<LogSample>& samples, const CorruptOptions& options) {
    std::vector<Unit> units = units_of(samples);
    CorruptReport report;
    std::mutex mutex;
    std::atomic<std::size_t> next = 0;
    std::size_t done = 0;
    auto work = [&] {
        while (true) {
            std::size_t at = next++;
            if (at >= units.size()) return;
            Worker worker(units[at], options);
            worker.run(units[at]);
            std::lock_guard lock(mutex);
            merge(report, worker.report);
            ++done;
            bool is_due = done * 20 / units.size() != (done - 1) * 20 / units.size();
            if (is_due && options.progress) {
                options.progress(std::to_string(done * 100 / units.size()) + " %, " +
                                 std::to_string(report.total.cases()) +
                                 " cases, silent=" + std::to_string(report.total.silent));
            }
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < options.threads; ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    return report;
}

}  // namespace twofold::damage
