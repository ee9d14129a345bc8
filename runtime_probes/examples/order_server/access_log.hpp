// SPDX-License-Identifier: Apache-2.0
//
// The access log goes down a pipe to a thread that ships it somewhere slow. A record is longer than a pipe holds (64
// KiB), so its writer must wait for the reader: on the loop's thread, or as a task.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <thread>

#include <asio/posix/stream_descriptor.hpp>

#include <loopwatch/rt.hpp>

namespace shop {

// A pipe, and the thread "log-shipper" that reads it: 150 ms after something came it takes what is there.
class LogShipper {
public:
    // Errors: std::system_error.
    LogShipper();
    // Waits until the write end is closed and all is read.
    ~LogShipper();
    LogShipper(const LogShipper&) = delete;
    LogShipper& operator=(const LogShipper&) = delete;

    // For whoever writes; theirs to close before this object is destroyed.
    int write_end() const noexcept { return write_end_; }

private:
    void ship();

    int read_end_ = -1;
    int write_end_ = -1;
    std::thread thread_;
};

// A long record: what a request and its headers look like with debug output switched on.
std::string make_log_record();

// Blocks until the record is in the pipe. Any thread.
class AccessLog {
public:
    ~AccessLog();
    // Errors: std::system_error.
    void append(const std::string& record);

private:
    LogShipper shipper_;
};

// The same without blocking, for one loop: append() queues, a task writes. A full queue takes no more, for a log must
// not hold up the shop.
class AsyncAccessLog {
public:
    static constexpr std::size_t max_queued = 8;

    explicit AsyncAccessLog(loopwatch::Loop& loop) : loop_(loop) {}
    // On the loop's thread. Returns whether there was room.
    bool append(std::string record);

private:
    loopwatch::Task<> write_queued();

    loopwatch::Loop& loop_;
    LogShipper shipper_;
    asio::posix::stream_descriptor pipe_{loop_.context(), shipper_.write_end()};
    std::deque<std::string> queue_;
    bool writing_ = false;
};

}  // namespace shop
