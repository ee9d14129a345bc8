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

    // Appends a batch of orders; blocks for about a quarter of a second, whatever the disk. Any thread. Returns how many orders
    // were written. Errors: std::system_error.
    std::size_t flush();

private:
    std::size_t measure_batch();
    void append(std::size_t number);

    int file_;
    std::size_t batch_size_;
};

}  // namespace shop
