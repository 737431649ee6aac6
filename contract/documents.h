// The OpenAPI documents as they are in contract/*.openapi.json, byte for byte, inside of the
// program. The views stay valid for the whole run.
#pragma once

#include <string_view>

namespace twofold::contract {

[[nodiscard]] std::string_view coordinator_document() noexcept;
[[nodiscard]] std::string_view participant_document() noexcept;

}  // namespace twofold::contract
