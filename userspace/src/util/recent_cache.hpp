// SPDX-License-Identifier: Apache-2.0
//
// RecentCache: values that are expensive to make, within so many bytes; the least recently used ones are dropped.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <utility>

namespace loopwatch {

template <class Key, class Value>
class RecentCache {
public:
    explicit RecentCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}

    // Valid until the next keep(); nullptr: not kept.
    const Value* find(const Key& key)
    {
        const auto known = by_key_.find(key);
        if (known == by_key_.end()) return nullptr;
        entries_.splice(entries_.end(), entries_, known->second);
        return &known->second->value;
    }
    // `bytes`: what the value takes. One that is larger than the whole cache is not kept.
    void keep(const Key& key, Value value, std::size_t bytes)
    {
        drop(key);
        if (bytes > max_bytes_) return;
        while (bytes > max_bytes_ - bytes_) drop(entries_.begin());
        by_key_[key] = entries_.insert(entries_.end(), {key, std::move(value), bytes});
        bytes_ += bytes;
    }
    void drop(const Key& key)
    {
        if (const auto known = by_key_.find(key); known != by_key_.end()) drop(known->second);
    }
    std::size_t bytes() const noexcept { return bytes_; }

private:
    struct Entry {
        Key key;
        Value value;
        std::size_t bytes;
    };
    using Entries = std::list<Entry>;  // the most recently used one last

    void drop(typename Entries::iterator entry)
    {
        bytes_ -= entry->bytes;
        by_key_.erase(entry->key);
        entries_.erase(entry);
    }

    std::size_t max_bytes_, bytes_ = 0;
    Entries entries_;
    std::map<Key, typename Entries::iterator> by_key_;
};

}  // namespace loopwatch
