#include "wal/core/segment_name.h"

#include <charconv>

namespace twofold::wal {

namespace {

constexpr std::string_view kSegmentPrefix = "segment-";
constexpr std::string_view kSegmentSuffix = ".wal";
constexpr std::string_view kSparePrefix = "spare-";
constexpr std::string_view kSpareSuffix = ".ready";
constexpr std::string_view kSealedPrefix = "sealed-";
constexpr std::string_view kUnfinishedSuffix = ".tmp";
constexpr std::size_t kDigits = 20;

std::string make_name(std::string_view prefix, std::uint64_t number, std::string_view suffix) {
    std::string digits = std::to_string(number);
    std::string name(prefix);
    name.append(kDigits - digits.size(), '0').append(digits).append(suffix);
    return name;
}

bool parse(std::string_view name,
           std::string_view prefix,
           std::string_view suffix,
           std::uint64_t& number) {
    if (name.size() != prefix.size() + kDigits + suffix.size()) return false;
    if (!name.starts_with(prefix) || !name.ends_with(suffix)) return false;
    std::string_view digits = name.substr(prefix.size(), kDigits);
    const char* end = digits.data() + digits.size();
    auto [stop, error] = std::from_chars(digits.data(), end, number);
    return error == std::errc{} && stop == end;
}

}  // namespace

std::string segment_name(std::uint64_t index) {
    return make_name(kSegmentPrefix, index, kSegmentSuffix);
}

std::string spare_name(std::uint64_t number) {
    return make_name(kSparePrefix, number, kSpareSuffix);
}

std::string unfinished_spare_name(std::uint64_t number) {
    return make_name(kSparePrefix, number, kUnfinishedSuffix);
}

std::string sealed_name(std::uint64_t number) {
    return make_name(kSealedPrefix, number, kSegmentSuffix);
}

std::string unfinished_sealed_name(std::uint64_t number) {
    return make_name(kSealedPrefix, number, kUnfinishedSuffix);
}

ParsedName parse_name(std::string_view name) {
    std::uint64_t number = 0;
    if (parse(name, kSegmentPrefix, kSegmentSuffix, number) && number != 0) {
        return {.kind = FileKind::segment, .number = number};
    }
    if (parse(name, kSparePrefix, kSpareSuffix, number)) {
        return {.kind = FileKind::spare, .number = number};
    }
    if (parse(name, kSparePrefix, kUnfinishedSuffix, number)) {
        return {.kind = FileKind::unfinished_spare, .number = number};
    }
    if (parse(name, kSealedPrefix, kSegmentSuffix, number) && number != 0) {
        return {.kind = FileKind::sealed, .number = number};
    }
    if (parse(name, kSealedPrefix, kUnfinishedSuffix, number)) {
        return {.kind = FileKind::unfinished_sealed, .number = number};
    }
    if (name.starts_with(kSegmentPrefix) || name.ends_with(kSegmentSuffix)) {
        return {.kind = FileKind::malformed_segment, .number = 0};
    }
    return {};
}

}  // namespace twofold::wal
