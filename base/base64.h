// Base64 in its two alphabets (RFC 4648): `standard` with + and / for the PostgreSQL gid, `url`
// with
// - and _ and without padding for ids in URLs. Decoding is strict: no white space, no other
// alphabet, no non-zero trailing bits, so that every byte string has exactly one text form.
#pragma once

#include "base/bytes.h"

#include <optional>
#include <string>
#include <string_view>

namespace twofold::base {

enum class Base64Alphabet { standard, url };

[[nodiscard]] std::string base64_encode(ByteSpan bytes, Base64Alphabet alphabet);

// Nothing when the text is not the canonical encoding of some bytes.
[[nodiscard]] std::optional<Bytes> base64_decode(std::string_view text, Base64Alphabet alphabet);

// Lower-case hexadecimal.
[[nodiscard]] std::string hex_encode(ByteSpan bytes);
[[nodiscard]] std::optional<Bytes> hex_decode(std::string_view text);

}  // namespace twofold::base
