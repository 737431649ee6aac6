// Takes an input apart. Never fails: behind the end there are zeros and empty pieces, so that every
// input means something and libFuzzer wastes none.
#pragma once

#include "base/bytes.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace twofold::fuzz {

[[nodiscard]] inline std::string_view as_text(base::ByteSpan bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class Cursor {
public:
    explicit Cursor(base::ByteSpan input) : rest_(input) {}

    [[nodiscard]] bool empty() const { return rest_.empty(); }
    [[nodiscard]] std::uint8_t u8() {
        base::ByteSpan one = take(1);
        return one.empty() ? std::uint8_t{0} : one.front();
    }
    [[nodiscard]] std::uint16_t u16() {
        std::uint8_t low = u8();
        return static_cast<std::uint16_t>(low | (u8() << 8U));
    }
    // At most `count` bytes.
    [[nodiscard]] base::ByteSpan take(std::size_t count) {
        base::ByteSpan taken = rest_.first(std::min(count, rest_.size()));
        rest_ = rest_.subspan(taken.size());
        return taken;
    }
    [[nodiscard]] base::ByteSpan rest() { return take(rest_.size()); }

private:
    base::ByteSpan rest_;
};

}  // namespace twofold::fuzz
