// Little-endian writing and bounds-checked reading of byte sequences. All log records and ids are
// built with these two classes, so that a truncated or hostile input is an error, never an overrun.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::base {

using Bytes = std::vector<std::uint8_t>;
using ByteSpan = std::span<const std::uint8_t>;

// Appends to a vector that it does not own; the vector must outlive the writer.
class ByteWriter {
public:
    explicit ByteWriter(Bytes& out) : out_(out) {}

    void u8(std::uint8_t v) { out_.push_back(v); }
    void u16(std::uint16_t v) { little_endian(v, 2); }
    void u32(std::uint32_t v) { little_endian(v, 4); }
    void u64(std::uint64_t v) { little_endian(v, 8); }
    void raw(ByteSpan bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
    // A 32-bit length, then the bytes.
    void string(std::string_view text) {
        u32(static_cast<std::uint32_t>(text.size()));
        out_.insert(out_.end(), text.begin(), text.end());
    }

private:
    void little_endian(std::uint64_t v, int width) {
        for (int i = 0; i < width; ++i) out_.push_back(static_cast<std::uint8_t>(v >> (8 * i)));
    }

    Bytes& out_;
};

// Reads from a span that it does not own. After the first read past the end every read returns
// zero or empty and ok() is false: check ok() once at the end (and before trusting a count).
class ByteReader {
public:
    explicit ByteReader(ByteSpan in) : in_(in) {}

    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] std::size_t remaining() const { return in_.size(); }
    // True when everything was read and nothing failed.
    [[nodiscard]] bool finished() const { return ok_ && in_.empty(); }
    void fail() {
        ok_ = false;
        in_ = {};
    }

    std::uint8_t u8() { return static_cast<std::uint8_t>(little_endian(1)); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(little_endian(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(little_endian(4)); }
    std::uint64_t u64() { return little_endian(8); }
    ByteSpan raw(std::size_t count) {
        if (count > in_.size()) {
            fail();
            return {};
        }
        ByteSpan taken = in_.first(count);
        in_ = in_.subspan(count);
        return taken;
    }
    template <std::size_t N>
    std::array<std::uint8_t, N> array() {
        std::array<std::uint8_t, N> out{};
        ByteSpan taken = raw(N);
        for (std::size_t i = 0; i < taken.size(); ++i) out[i] = taken[i];
        return out;
    }
    std::string string() {
        std::uint32_t count = u32();
        ByteSpan taken = raw(count);
        return {taken.begin(), taken.end()};
    }

private:
    std::uint64_t little_endian(std::size_t width) {
        ByteSpan taken = raw(width);
        std::uint64_t v = 0;
        for (std::size_t i = 0; i < taken.size(); ++i) {
            v |= static_cast<std::uint64_t>(taken[i]) << (8 * i);
        }
        return v;
    }

    ByteSpan in_;
    bool ok_ = true;
};

[[nodiscard]] inline ByteSpan as_bytes(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace twofold::base
