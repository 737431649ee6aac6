#include "base/base64.h"

#include <array>

namespace twofold::base {

namespace {

constexpr std::string_view kStandard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string_view alphabet_text(Base64Alphabet alphabet) {
    return alphabet == Base64Alphabet::standard ? kStandard : kUrl;
}

std::array<std::int8_t, 256> make_reverse(std::string_view letters) {
    std::array<std::int8_t, 256> reverse{};
    reverse.fill(-1);
    for (std::size_t i = 0; i < letters.size(); ++i) {
        reverse[static_cast<unsigned char>(letters[i])] = static_cast<std::int8_t>(i);
    }
    return reverse;
}

const std::array<std::int8_t, 256>& reverse_of(Base64Alphabet alphabet) {
    static const std::array<std::int8_t, 256> standard = make_reverse(kStandard);
    static const std::array<std::int8_t, 256> url = make_reverse(kUrl);
    return alphabet == Base64Alphabet::standard ? standard : url;
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

}  // namespace

std::string base64_encode(ByteSpan bytes, Base64Alphabet alphabet) {
    std::string_view letters = alphabet_text(alphabet);
    std::string out;
    out.reserve((bytes.size() + 2) / 3 * 4);
    std::uint32_t buffer = 0;
    int bits = 0;
    for (std::uint8_t byte : bytes) {
        buffer = (buffer << 8) | byte;
        bits += 8;
        while (bits >= 6) {
            bits -= 6;
            out.push_back(letters[(buffer >> bits) & 63]);
        }
    }
    if (bits > 0) out.push_back(letters[(buffer << (6 - bits)) & 63]);
    if (alphabet == Base64Alphabet::standard) {
        while (out.size() % 4 != 0) out.push_back('=');
    }
    return out;
}

std::optional<Bytes> base64_decode(std::string_view text, Base64Alphabet alphabet) {
    if (alphabet == Base64Alphabet::standard) {
        if (text.size() % 4 != 0) return std::nullopt;
        if (text.ends_with("==")) {
            text.remove_suffix(2);
        } else if (text.ends_with('=')) {
            text.remove_suffix(1);
        }
    }
    if (text.size() % 4 == 1) return std::nullopt;
    const auto& reverse = reverse_of(alphabet);
    Bytes out;
    out.reserve(text.size() * 3 / 4);
    std::uint32_t buffer = 0;
    int bits = 0;
    for (char c : text) {
        std::int8_t value = reverse[static_cast<unsigned char>(c)];
        if (value < 0) return std::nullopt;
        buffer = (buffer << 6) | static_cast<std::uint32_t>(value);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out.push_back(static_cast<std::uint8_t>(buffer >> bits));
        }
    }
    if ((buffer & ((1U << bits) - 1U)) != 0) return std::nullopt;
    return out;
}

std::string hex_encode(ByteSpan bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (std::uint8_t byte : bytes) {
        out.push_back(kDigits[byte >> 4]);
        out.push_back(kDigits[byte & 15]);
    }
    return out;
}

std::optional<Bytes> hex_decode(std::string_view text) {
    if (text.size() % 2 != 0) return std::nullopt;
    Bytes out;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        int high = hex_value(text[i]);
        int low = hex_value(text[i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        out.push_back(static_cast<std::uint8_t>(high * 16 + low));
    }
    return out;
}

}  // namespace twofold::base
