#include "app/directory_file.h"

#include "base/json_writer.h"
#include "protocol/json_reader.h"

#include <algorithm>
#include <charconv>
#include <span>
#include <string_view>
#include <utility>

namespace twofold::app {

namespace {

using base::Errc;
using base::Result;

constexpr std::string_view kPrefix = "participants-";
constexpr std::string_view kSuffix = ".json";
constexpr const char* kUnfinished = "participants.tmp";
constexpr std::size_t kDepthMax = 8;
constexpr std::uint64_t kBytesMax = 16U << 20U;

std::string name_of(std::uint64_t number) {
    std::string digits = std::to_string(number);
    return std::string(kPrefix) + std::string(10 - std::min<std::size_t>(digits.size(), 10), '0') +
           digits + std::string(kSuffix);
}

// 0: another file.
std::uint64_t number_in(std::string_view name) {
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return 0;
    name.remove_prefix(kPrefix.size());
    name.remove_suffix(kSuffix.size());
    std::uint64_t number = 0;
    auto [stop, code] = std::from_chars(name.data(), name.data() + name.size(), number);
    return code == std::errc{} && stop == name.data() + name.size() ? number : 0;
}

Result<std::vector<DirectoryEntry>> parse(const std::string& text) {
    TWOFOLD_TRY(boost::json::value value, protocol::parse_json(text, kDepthMax));
    protocol::ObjectReader in(value, "");
    std::vector<DirectoryEntry> out;
    const boost::json::value* list = in.required("participants");
    TWOFOLD_TRY(in.finish());
    if (!list->is_array()) return base::fail(Errc::invalid_argument, "participants: no list");
    for (const boost::json::value& one : list->get_array()) {
        protocol::ObjectReader entry(one, "participants");
        DirectoryEntry read{entry.text("name"), entry.text("url"), {}};
        auto uuid = protocol::ParticipantUuid::parse(entry.text("uuid"));
        TWOFOLD_TRY(entry.finish());
        if (!uuid.has_value()) return base::fail(Errc::invalid_argument, "uuid: is none");
        read.uuid = *uuid;
        out.push_back(std::move(read));
    }
    return out;
}

std::string text_of(const std::vector<DirectoryEntry>& entries) {
    std::string out = "{";
    base::json::array(
        out, "participants", entries, [](std::string& to, const DirectoryEntry& entry) {
            std::string one = "{";
            base::json::text(one, "name", entry.name);
            base::json::text(one, "url", entry.url);
            base::json::text(one, "uuid", entry.uuid.text());
            to += one + '}';
        });
    return out + "}\n";
}

}  // namespace

Result<std::vector<DirectoryEntry>> DirectoryFile::load() {
    TWOFOLD_TRY(std::vector<std::string> names, directory_.list());
    for (const std::string& name : names) number_ = std::max(number_, number_in(name));
    if (number_ == 0) return std::vector<DirectoryEntry>();
    std::string path = directory_.path() + "/" + name_of(number_);
    TWOFOLD_TRY(std::unique_ptr<wal::File> file, directory_.open(name_of(number_)));
    TWOFOLD_TRY(std::uint64_t size, file->size());
    if (size > kBytesMax) return base::fail(Errc::corrupt, path + ": is too large");
    std::string text(size, '\0');
    TWOFOLD_TRY(std::size_t read,
                file->read_at(0, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}));
    text.resize(read);
    auto entries = parse(text);
    if (!entries.has_value()) {
        return base::fail(Errc::corrupt,
                          path + ": " + entries.error().context +
                              "; move it away to start without what it names");
    }
    return entries;
}

Result<void> DirectoryFile::store(const std::vector<DirectoryEntry>& entries) {
    TWOFOLD_TRY(bool left, directory_.exists(kUnfinished));
    if (left) {
        TWOFOLD_TRY(directory_.remove(kUnfinished));
    }
    std::string text = text_of(entries);
    TWOFOLD_TRY(std::unique_ptr<wal::File> file, directory_.create(kUnfinished));
    TWOFOLD_TRY(
        file->write_at(0, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}));
    TWOFOLD_TRY(file->force());
    TWOFOLD_TRY(directory_.rename(kUnfinished, name_of(number_ + 1)));
    TWOFOLD_TRY(directory_.force());
    ++number_;
    if (number_ > 1) {
        TWOFOLD_TRY(bool older, directory_.exists(name_of(number_ - 1)));
        if (older) return directory_.remove(name_of(number_ - 1));
    }
    return base::ok();
}

}  // namespace twofold::app
