#include "protocol/messages.h"

#include "base/assert.h"

#include <array>
#include <utility>

namespace twofold::protocol {

namespace {

template <class Enum, std::size_t N>
using NameTable = std::array<std::pair<Enum, std::string_view>, N>;

constexpr NameTable<ItemOp, 6> kOps{{{ItemOp::execute_prepare, "execute_prepare"},
                                     {ItemOp::prepare, "prepare"},
                                     {ItemOp::one_phase, "one_phase"},
                                     {ItemOp::commit, "commit"},
                                     {ItemOp::abort, "abort"},
                                     {ItemOp::settle_one_phase, "settle_one_phase"}}};

constexpr NameTable<ItemStatus, 11> kStatuses{{{ItemStatus::yes, "yes"},
                                               {ItemStatus::no, "no"},
                                               {ItemStatus::read_only, "read_only"},
                                               {ItemStatus::committed, "committed"},
                                               {ItemStatus::aborted, "aborted"},
                                               {ItemStatus::finished_earlier, "finished_earlier"},
                                               {ItemStatus::refused, "refused"},
                                               {ItemStatus::unknown, "unknown"},
                                               {ItemStatus::heuristic_commit, "heuristic_commit"},
                                               {ItemStatus::heuristic_abort, "heuristic_abort"},
                                               {ItemStatus::hazard, "hazard"}}};

constexpr NameTable<Isolation, 4> kIsolations{{{Isolation::participant_default, "default"},
                                               {Isolation::read_committed, "read_committed"},
                                               {Isolation::repeatable_read, "repeatable_read"},
                                               {Isolation::serializable, "serializable"}}};

constexpr NameTable<InquiryAnswer, 5> kAnswers{{{InquiryAnswer::commit, "commit"},
                                                {InquiryAnswer::abort, "abort"},
                                                {InquiryAnswer::still_active, "still_active"},
                                                {InquiryAnswer::expired, "expired"},
                                                {InquiryAnswer::cannot_tell, "cannot_tell"}}};

template <class Enum, std::size_t N>
std::string_view name_of(const NameTable<Enum, N>& table, Enum value) {
    for (const auto& [candidate, name] : table) {
        if (candidate == value) return name;
    }
    TWOFOLD_UNREACHABLE("enumerator without a name");
}

template <class Enum, std::size_t N>
std::optional<Enum> value_of(const NameTable<Enum, N>& table, std::string_view text) {
    for (const auto& [value, name] : table) {
        if (name == text) return value;
    }
    return std::nullopt;
}

}  // namespace

std::string_view to_string(ItemOp value) { return name_of(kOps, value); }
std::string_view to_string(ItemStatus value) { return name_of(kStatuses, value); }
std::string_view to_string(Isolation value) { return name_of(kIsolations, value); }
std::string_view to_string(InquiryAnswer value) { return name_of(kAnswers, value); }

std::optional<ItemOp> parse_item_op(std::string_view text) { return value_of(kOps, text); }
std::optional<ItemStatus> parse_item_status(std::string_view text) {
    return value_of(kStatuses, text);
}
std::optional<Isolation> parse_isolation(std::string_view text) {
    return value_of(kIsolations, text);
}
std::optional<InquiryAnswer> parse_inquiry_answer(std::string_view text) {
    return value_of(kAnswers, text);
}

}  // namespace twofold::protocol
