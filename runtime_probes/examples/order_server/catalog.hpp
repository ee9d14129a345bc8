// SPDX-License-Identifier: Apache-2.0
//
// Prices behind a mutex that a thread of its own, "price-updater", holds for as long as the supplier takes to answer.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

namespace shop {

class Catalog {
public:
    Catalog();

    // Has the prices updated and reads one, in cents; waits for the updater to let go of the mutex, 150 ms. Any thread.
    // Errors: std::out_of_range, no such article.
    int fresh_price(const std::string& article);

private:
    void ask_for_update();
    void update_prices(const std::stop_token& stopping);

    std::mutex mutex_;  // guards prices_
    std::map<std::string, int> prices_;
    std::mutex request_mutex_;  // guards requested_
    std::condition_variable_any request_came_;
    bool requested_ = false;
    std::atomic<bool> updating_{false};  // true while the updater holds mutex_; written by the updater alone
    std::jthread updater_;               // last: it uses all the others
};

}  // namespace shop
