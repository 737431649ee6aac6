// Bytes that were read and not used yet. Internal to http.
//
// A read may be under way while what came before it is used: from prepare() to commit() the room
// that was given away belongs to the kernel, and neither moves nor goes.
#pragma once

#include "base/assert.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace twofold::http {

class ReadBuffer {
public:
    // Room for at least `size` more bytes, behind what is unread. Views of unread() become invalid.
    // A former read has ended, with or without commit().
    [[nodiscard]] std::span<char> prepare(std::size_t size) {
        reading_ = true;
        if (bytes_.size() - end_ < size) {
            std::copy(
                bytes_.begin() + offset(begin_), bytes_.begin() + offset(end_), bytes_.begin());
            end_ -= begin_;
            begin_ = 0;
            if (bytes_.size() - end_ < size) {
                bytes_.resize(end_ + size);
            }
        }
        return {bytes_.data() + end_, bytes_.size() - end_};
    }

    void commit(std::size_t size) noexcept {
        TWOFOLD_ASSERT(size <= bytes_.size() - end_, "more was read than there was room for");
        end_ += size;
        reading_ = false;
    }

    [[nodiscard]] std::string_view unread() const noexcept {
        return {bytes_.data() + begin_, end_ - begin_};
    }

    void consume(std::size_t size) noexcept {
        TWOFOLD_ASSERT(size <= end_ - begin_, "more was used than there is");
        begin_ += size;
        if (begin_ == end_ && !reading_) {
            begin_ = end_ = 0;
        }
    }

    // Gives back the memory of a large message; unread bytes are lost. No read may be under way.
    void reset() noexcept {
        reading_ = false;
        bytes_ = {};
        begin_ = end_ = 0;
    }

    [[nodiscard]] std::size_t capacity() const noexcept { return bytes_.size(); }

private:
    static std::ptrdiff_t offset(std::size_t at) noexcept {
        return static_cast<std::ptrdiff_t>(at);
    }

    std::vector<char> bytes_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    bool reading_ = false;
};

}  // namespace twofold::http
