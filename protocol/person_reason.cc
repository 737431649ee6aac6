#include "protocol/person_reason.h"

#include <algorithm>

namespace twofold::protocol {

bool is_person_reason(std::string_view text) {
    auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
    return !text.empty() && text.size() <= kPersonReasonMax &&
           std::ranges::none_of(text, is_control);
}

}  // namespace twofold::protocol
