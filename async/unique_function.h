// A move-only callable: handlers own response sinks and promises, which std::function cannot hold.
// Callables of up to 48 bytes live inside the object, so that a posted handler costs no allocation.
// Calling an empty one ends the process.
#pragma once

#include "base/assert.h"

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace twofold::async {

template <class Signature>
class UniqueFunction;

template <class R, class... Args>
class UniqueFunction<R(Args...)> {
public:
    UniqueFunction() noexcept = default;
    UniqueFunction(std::nullptr_t) noexcept {}  // implicit, like std::function

    template <class F>
        requires(!std::is_same_v<std::remove_cvref_t<F>, UniqueFunction> &&
                 std::is_invocable_r_v<R, std::remove_cvref_t<F>&, Args...>)
    // NOLINTNEXTLINE(bugprone-forwarding-reference-overload): the constraint keeps moves away
    UniqueFunction(F&& callable) {  // implicit, like std::function
        using Callable = std::remove_cvref_t<F>;
        if constexpr (kFitsInside<Callable>) {
            ::new (static_cast<void*>(storage_)) Callable(std::forward<F>(callable));
            table_ = &kInside<Callable>;
        } else {
            ::new (static_cast<void*>(storage_)) Callable*(new Callable(std::forward<F>(callable)));
            table_ = &kOutside<Callable>;
        }
    }

    UniqueFunction(UniqueFunction&& other) noexcept { take(other); }
    UniqueFunction& operator=(UniqueFunction&& other) noexcept {
        if (this != &other) {
            reset();
            take(other);
        }
        return *this;
    }
    UniqueFunction(const UniqueFunction&) = delete;
    UniqueFunction& operator=(const UniqueFunction&) = delete;
    ~UniqueFunction() { reset(); }

    [[nodiscard]] explicit operator bool() const noexcept { return table_ != nullptr; }

    R operator()(Args... args) {
        TWOFOLD_ASSERT(table_ != nullptr, "an empty function was called");
        return table_->call(storage_, std::forward<Args>(args)...);
    }

private:
    static constexpr std::size_t kInsideBytes = 48;
    static constexpr std::size_t kInsideAlignment = alignof(std::max_align_t);

    struct Table {
        R (*call)(std::byte*, Args&&...);
        void (*move_to)(std::byte* from, std::byte* to) noexcept;  // destroys the source
        void (*destroy)(std::byte*) noexcept;
    };

    template <class F>
    static constexpr bool kFitsInside =
        sizeof(F) <= kInsideBytes && std::alignment_of_v<F> <= kInsideAlignment &&
        std::is_nothrow_move_constructible_v<F>;

    template <class F>
    static F* at(std::byte* place) noexcept {
        return std::launder(reinterpret_cast<F*>(place));
    }

    template <class F>
    static constexpr Table kInside{
        [](std::byte* p, Args&&... args) -> R { return (*at<F>(p))(std::forward<Args>(args)...); },
        [](std::byte* from, std::byte* to) noexcept {
            ::new (static_cast<void*>(to)) F(std::move(*at<F>(from)));
            at<F>(from)->~F();
        },
        [](std::byte* p) noexcept { at<F>(p)->~F(); }};

    template <class F>
    static constexpr Table kOutside{[](std::byte* p, Args&&... args) -> R {
                                        return (**at<F*>(p))(std::forward<Args>(args)...);
                                    },
                                    [](std::byte* from, std::byte* to) noexcept {
                                        ::new (static_cast<void*>(to)) F*(*at<F*>(from));
                                    },
                                    [](std::byte* p) noexcept { delete *at<F*>(p); }};

    void take(UniqueFunction& other) noexcept {
        table_ = std::exchange(other.table_, nullptr);
        if (table_ != nullptr) {
            table_->move_to(other.storage_, storage_);
        }
    }
    void reset() noexcept {
        if (const Table* table = std::exchange(table_, nullptr)) {
            table->destroy(storage_);
        }
    }

    const Table* table_ = nullptr;
    alignas(kInsideAlignment) std::byte storage_[kInsideBytes];
};

}  // namespace twofold::async
