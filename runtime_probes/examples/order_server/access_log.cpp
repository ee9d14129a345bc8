// SPDX-License-Identifier: Apache-2.0
#include "access_log.hpp"

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>
#include <asio/write.hpp>

namespace shop {
namespace {

using namespace std::chrono_literals;

constexpr auto shipping_takes = 150ms;
constexpr std::size_t record_bytes = 96 * 1024;

}  // namespace

LogShipper::LogShipper()
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
    read_end_ = ends[0];
    write_end_ = ends[1];
    thread_ = std::thread([this] { ship(); });
    pthread_setname_np(thread_.native_handle(), "log-shipper");
}

LogShipper::~LogShipper()
{
    thread_.join();
    ::close(read_end_);
}

void LogShipper::ship()
{
    std::vector<char> batch(record_bytes);
    for (;;) {
        pollfd waiting{read_end_, POLLIN, 0};
        if (::poll(&waiting, 1, -1) < 0) continue;
        if ((waiting.revents & POLLIN) != 0) std::this_thread::sleep_for(shipping_takes);
        const ssize_t size = ::read(read_end_, batch.data(), batch.size());
        if (size == 0) return;
    }
}

std::string make_log_record()
{
    const std::string line = "GET /order HTTP/1.1 200 host=shop.example agent=curl/7.88.1\n";
    std::string record;
    while (record.size() < record_bytes) record += line;
    return record;
}

AccessLog::~AccessLog()
{
    ::close(shipper_.write_end());
}

void AccessLog::append(const std::string& record)
{
    std::size_t written = 0;
    while (written < record.size()) {
        const ssize_t size = ::write(shipper_.write_end(), record.data() + written, record.size() - written);
        if (size < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "write");
        if (size > 0) written += static_cast<std::size_t>(size);
    }
}

bool AsyncAccessLog::append(std::string record)
{
    if (queue_.size() >= max_queued) return false;
    queue_.push_back(std::move(record));
    if (!std::exchange(writing_, true)) loopwatch::spawn(loop_, write_queued(), "log-writer");
    return true;
}

loopwatch::Task<> AsyncAccessLog::write_queued()
{
    while (!queue_.empty()) {
        const std::string record = std::move(queue_.front());
        queue_.pop_front();
        co_await asio::async_write(pipe_, asio::buffer(record), loopwatch::use_task_nothrow);
    }
    writing_ = false;
}

}  // namespace shop
