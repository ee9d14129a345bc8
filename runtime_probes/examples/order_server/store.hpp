// SPDX-License-Identifier: Apache-2.0
//
// The order log: every order is on the disk before the next one is written, as a careful and naive program would do it.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace shop {

class Store {
public:
    // Opens `directory`/orders.log, made if missing, and measures how fast the disk is. Errors: std::system_error.
    explicit Store(const std::filesystem::path& directory);
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    // Appends so many orders, each on the disk before the next. Blocks. Any thread. Errors: std::system_error.
    void flush(std::size_t orders);
    // So many orders that flush() takes 130 ms at least, on whatever disk.
    std::size_t batch_size() const noexcept { return batch_size_; }

private:
    std::size_t measure_batch();

    int file_;
    std::size_t batch_size_;
};

}  // namespace shop
