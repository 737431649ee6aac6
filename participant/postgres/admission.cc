#include "participant/postgres/admission.h"

#include <algorithm>
#include <array>

namespace twofold::participant::postgres {

namespace {

constexpr std::array kTags = std::to_array<std::string_view>(
    {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "SET CONSTRAINTS"});

}  // namespace

bool is_admitted_tag(std::string_view tag) {
    return std::ranges::any_of(kTags, [tag](std::string_view known) {
        return tag.starts_with(known) && (tag.size() == known.size() || tag[known.size()] == ' ');
    });
}

}  // namespace twofold::participant::postgres
