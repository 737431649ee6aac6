#include "damage/file_damage.h"

#include "wal/core/durable_mark.h"
#include "wal/core/segment_name.h"

#include <algorithm>
#include <utility>

namespace twofold::damage {

using wal::FileKind;

namespace {

class Damages {
public:
    explicit Damages(const LogSample& sample) : sample_(sample) {}

    std::vector<FileDamage> make() {
        for (const auto& [name, content] : sample_.files) {
            removed(name);
            renamed(name, content);
            for (const auto& [other, other_content] : sample_.files) {
                if (name == other) continue;
                doubled(name, content, other);
                if (name < other) swapped(name, content, other, other_content);
            }
        }
        for (const FileCopy& copy : sample_.foreign) foreign(copy);
        for (const FileCopy& copy : sample_.older) older(copy);
        return std::move(all_);
    }

private:
    void removed(const std::string& name) {
        all_.push_back({.kind = "removed", .text = name + " removed", .removed = {name}});
    }

    void renamed(const std::string& name, const base::Bytes& content) {
        wal::ParsedName parsed = wal::parse_name(name);
        std::vector<std::string> names = {name + ".old", "segment-1.wal", wal::spare_name(77)};
        // The place before, the one behind, and one far away, of either kind of file.
        for (std::uint64_t number : {parsed.number - 1, parsed.number + 1, parsed.number + 50}) {
            names.push_back(wal::segment_name(number));
            names.push_back(wal::sealed_name(number));
        }
        for (const std::string& to : names) {
            if (sample_.files.contains(to)) continue;
            all_.push_back({.kind = "renamed",
                            .text = name + " renamed to " + to,
                            .removed = {name},
                            .put = {{to, &content}}});
            put("doubled", name + " copied to " + to, to, content);
        }
    }

    void doubled(const std::string& name, const base::Bytes& content, const std::string& other) {
        put("doubled", name + " copied over " + other, other, content);
    }

    void swapped(const std::string& name,
                 const base::Bytes& content,
                 const std::string& other,
                 const base::Bytes& other_content) {
        all_.push_back({.kind = "swapped",
                        .text = name + " and " + other + " swapped",
                        .removed = {},
                        .put = {{name, &other_content}, {other, &content}}});
    }

    void foreign(const FileCopy& copy) {
        put("of another log", "foreign " + copy.name, copy.name, copy.content);
        FileKind kind = wal::parse_name(copy.name).kind;
        for (const auto& [name, content] : sample_.files) {
            if (name == copy.name || wal::parse_name(name).kind != kind) continue;
            put("of another log", "foreign " + copy.name + " as " + name, name, copy.content);
        }
    }

    // As it was at another time; and as a recycled file, under every segment's name.
    void older(const FileCopy& copy) {
        auto at = sample_.files.find(copy.name);
        if (at != sample_.files.end()) {
            put("of another time", "older " + copy.name, copy.name, copy.content);
        }
        bool recyclable = at == sample_.files.end() && copy.name != wal::kDurableMarkName;
        if (!recyclable) return;
        put("of another time", "former " + copy.name + " is back", copy.name, copy.content);
        for (const auto& [name, content] : sample_.files) {
            if (wal::parse_name(name).kind != FileKind::segment) continue;
            put("of another time", "former " + copy.name + " as " + name, name, copy.content);
        }
    }

    void put(const char* kind,
             std::string text,
             const std::string& name,
             const base::Bytes& content) {
        all_.push_back(
            {.kind = kind, .text = std::move(text), .removed = {}, .put = {{name, &content}}});
    }

    const LogSample& sample_;
    std::vector<FileDamage> all_;
};

}  // namespace

bool FileDamage::touches_mark() const {
    auto is_mark = [](const FilePut& file) { return file.name == wal::kDurableMarkName; };
    return std::ranges::any_of(put, is_mark) ||
           std::ranges::find(removed, wal::kDurableMarkName) != removed.end();
}

std::vector<FileDamage> file_damages(const LogSample& sample) { return Damages(sample).make(); }

}  // namespace twofold::damage
