// SPDX-License-Identifier: Apache-2.0
#include "store.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace shop {
namespace {

using namespace std::chrono_literals;

// Above the 100 ms that make a callback slow. The disk does no better than it was measured, so it will not be
// less.
constexpr auto flush_time = 130ms;

[[noreturn]] void fail(const std::string& what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

int open_log(const std::filesystem::path& directory)
{
    std::filesystem::create_directories(directory);
    const auto path = directory / "orders.log";
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) fail(path.string());
    return file;
}

}  // namespace

Store::Store(const std::filesystem::path& directory) : file_(open_log(directory)), batch_size_(measure_batch())
{
}

Store::~Store()
{
    ::close(file_);
}

// An fsync took 0.5 ms on a virtual disk, 8 ms is usual on a turning one: a fixed number of orders would block for 20
// ms here and for seconds there. The fastest counts: on a busy disk all others say how busy it is.
std::size_t Store::measure_batch()
{
    auto fastest = std::chrono::nanoseconds::max();
    for (int attempt = 0; attempt < 32; ++attempt) {
        const auto start = std::chrono::steady_clock::now();
        flush(1);
        fastest = std::min<std::chrono::nanoseconds>(fastest, std::chrono::steady_clock::now() - start);
    }
    return std::clamp<std::size_t>(flush_time / std::max<std::chrono::nanoseconds>(fastest, 1us), 100, 100'000);
}

void Store::flush(std::size_t orders)
{
    for (std::size_t number = 0; number < orders; ++number) {
        // One write an order: with O_APPEND those of several threads do not mix.
        const auto order = "order " + std::to_string(number) + ": 3 x bolt-m8 to Agnes Example, 1 Loop Street\n";
        if (::write(file_, order.data(), order.size()) != static_cast<ssize_t>(order.size())) fail("write");
        if (::fsync(file_) != 0) fail("fsync");
    }
}

}  // namespace shop
