// SPDX-License-Identifier: Apache-2.0
//
// What the shop answers. Six things that take their time, each twice: as people write it, which holds the loop, and as
// it should be.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>

#include <loopwatch/rt.hpp>

#include "access_log.hpp"
#include "catalog.hpp"
#include "http.hpp"
#include "orders.hpp"
#include "store.hpp"
#include "suppliers.hpp"

namespace shop {

// What all loops share.
struct Shop {
    explicit Shop(const std::filesystem::path& directory) : store(directory) {}

    Store store;
    Catalog catalog;
    NameServer name_server;
    AccessLog access_log;
    const std::string order_batch = make_order_batch();
    const std::string log_record = make_log_record();
    std::atomic<std::uint64_t> orders_taken{0};  // any loop
};

// What a request finds on its loop.
struct Desk {
    Shop& shop;
    AsyncAccessLog& access_log;
};

// "GET /fsync", or "GET" of a path that does not exist: clients do not name our tasks.
std::string task_name(const Request& request);

// Never throws, but for Cancelled: errors become a 404, 405 or 500.
loopwatch::Task<Response> handle_request(Desk desk, Request request);

}  // namespace shop
