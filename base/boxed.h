// A value in a place of its own: its address stays when the box is moved, and copying the box
// copies the value. May be empty.
#pragma once

#include <memory>
#include <utility>

namespace twofold::base {

template <class Value>
class Boxed {
public:
    Boxed() = default;
    explicit Boxed(Value value) : value_(std::make_unique<Value>(std::move(value))) {}
    ~Boxed() = default;
    Boxed(Boxed&&) noexcept = default;
    Boxed& operator=(Boxed&&) noexcept = default;
    Boxed(const Boxed& other)
        : value_(other.value_ ? std::make_unique<Value>(*other.value_) : nullptr) {}
    Boxed& operator=(const Boxed& other) {
        if (this != &other) *this = Boxed(other);
        return *this;
    }

    [[nodiscard]] Value* get() const { return value_.get(); }
    Value& operator*() const { return *value_; }
    Value* operator->() const { return value_.get(); }
    explicit operator bool() const { return value_ != nullptr; }

private:
    std::unique_ptr<Value> value_;
};

}  // namespace twofold::base
