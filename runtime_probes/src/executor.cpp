// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/run_in_executor.hpp>

#include <algorithm>
#include <thread>

namespace loopwatch {

asio::thread_pool& default_executor()
{
    static asio::thread_pool pool(std::min(32u, std::thread::hardware_concurrency() + 4));
    return pool;
}

}  // namespace loopwatch
