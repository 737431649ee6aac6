// StrongId: an integer that cannot be mixed up with another integer. Construction is explicit,
// comparison is defaulted, arithmetic is left to the places where it means something.
#pragma once

#include <compare>
#include <cstdint>

namespace twofold::base {

template <class Tag, class Value = std::uint64_t>
struct StrongId {
    Value value{};

    constexpr StrongId() = default;
    constexpr explicit StrongId(Value v) : value(v) {}
    friend constexpr auto operator<=>(const StrongId&, const StrongId&) = default;
};

}  // namespace twofold::base
