// SPDX-License-Identifier: Apache-2.0
#include "catalog.hpp"

#include <chrono>

#include <pthread.h>

namespace shop {
namespace {

using namespace std::chrono_literals;

constexpr auto supplier_takes = 150ms;

}  // namespace

Catalog::Catalog()
    : prices_{{"bolt-m8", 12}, {"nut-m8", 7}, {"washer-m8", 3}},
      updater_([this](const std::stop_token& stopping) { update_prices(stopping); })
{
    pthread_setname_np(updater_.native_handle(), "price-updater");
}

int Catalog::fresh_price(const std::string& article)
{
    ask_for_update();
    const std::lock_guard lock(mutex_);
    return prices_.at(article);
}

void Catalog::ask_for_update()
{
    {
        const std::lock_guard lock(request_mutex_);
        requested_ = true;
    }
    request_came_.notify_one();
    // Until the updater has the mutex: some 50 µs. Without this one could read an old price before it.
    updating_.wait(false);
}

void Catalog::update_prices(const std::stop_token& stopping)
{
    for (;;) {
        {
            std::unique_lock lock(request_mutex_);
            if (!request_came_.wait(lock, stopping, [this] { return requested_; })) return;
            requested_ = false;
        }
        const std::lock_guard lock(mutex_);
        updating_ = true;
        updating_.notify_all();
        std::this_thread::sleep_for(supplier_takes);
        for (auto& [article, price] : prices_) price = price % 100 + 1;
        updating_ = false;
    }
}

}  // namespace shop
