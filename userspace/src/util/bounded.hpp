// SPDX-License-Identifier: Apache-2.0
//
// Lists and texts of bounded length, kept in place. Records come by the hundred thousand a second: these take no memory
// of their own, and a record of them is copied as one block.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

namespace loopwatch {

template <class T, std::size_t most>
class BoundedList {
public:
    BoundedList() = default;
    // The first `count` items, or as many of them as there are and fit.
    BoundedList(std::span<const T> items, std::size_t count) : size_(std::min({items.size(), count, most}))
    {
        std::copy_n(items.begin(), size_, items_.begin());
    }

    // What does not fit is left out.
    void push_back(const T& item)
    {
        if (size_ < most) items_[size_++] = item;
    }
    const T* begin() const noexcept { return items_.data(); }
    const T* end() const noexcept { return items_.data() + size_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const T& operator[](std::size_t at) const noexcept { return items_[at]; }

private:
    std::array<T, most> items_ = {};
    std::size_t size_ = 0;
};

// Up to `room` - 1 characters, as a field of a record with its terminating NUL has room for.
template <std::size_t room>
class BoundedText {
public:
    BoundedText() = default;
    // Up to its first NUL. What does not fit is left out.
    template <std::convertible_to<std::string_view> Text>
    BoundedText(const Text& text)
    {
        const std::string_view view = text;
        view.copy(chars_, std::min(view.find('\0'), room - 1));
    }

    std::string_view view() const noexcept { return {chars_, std::strlen(chars_)}; }
    operator std::string_view() const noexcept { return view(); }
    bool empty() const noexcept { return chars_[0] == '\0'; }

private:
    char chars_[room] = {};
};

// A field of a record, which may lack its terminating NUL.
template <std::size_t bytes>
BoundedText<bytes> bounded_text(const char (&field)[bytes])
{
    return std::string_view(field, bytes);
}

}  // namespace loopwatch
