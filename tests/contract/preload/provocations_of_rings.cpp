// SPDX-License-Identifier: Apache-2.0
//
// The rows of liburing, each waiting for a time-out that it has asked its ring for.
#include <liburing.h>

#include "provoking.hpp"

namespace {

template <class Wait>
Provocation waiting_for_ring(std::uint64_t arg, Wait wait)
{
    return [=] {
        io_uring ring;
        io_uring_cqe* done = nullptr;
        __kernel_timespec after = {0, static_cast<long>(block_ns)};
        if (io_uring_queue_init(4, &ring, 0) != 0) return Expected{};
        io_uring_prep_timeout(io_uring_get_sqe(&ring), &after, 0, 0);
        tap::clear();
        wait(&ring, &done);
        io_uring_queue_exit(&ring);
        return Expected{.arg = arg};
    };
}

constexpr std::uint64_t for_ever = ~std::uint64_t{0};

}  // namespace

const std::map<std::string, Provocation>& ring_provocations()
{
    static const std::map<std::string, Provocation> all = {
        {"io_uring_submit_and_wait",
         waiting_for_ring(1, [](io_uring* ring, io_uring_cqe**) { io_uring_submit_and_wait(ring, 1); })},
        {"io_uring_submit_and_wait_timeout", waiting_for_ring(for_ever,
                                                              [](io_uring* ring, io_uring_cqe** done) {
                                                                  io_uring_submit_and_wait_timeout(ring, done, 1,
                                                                                                   nullptr, nullptr);
                                                              })},
        {"io_uring_wait_cqes", waiting_for_ring(for_ever,
                                                [](io_uring* ring, io_uring_cqe** done) {
                                                    io_uring_submit(ring);
                                                    io_uring_wait_cqes(ring, done, 1, nullptr, nullptr);
                                                })},
        {"io_uring_wait_cqe_timeout", waiting_for_ring(for_ever,
                                                       [](io_uring* ring, io_uring_cqe** done) {
                                                           io_uring_submit(ring);
                                                           io_uring_wait_cqe_timeout(ring, done, nullptr);
                                                       })},
        {"__io_uring_get_cqe", waiting_for_ring(1,
                                                [](io_uring* ring, io_uring_cqe** done) {
                                                    io_uring_submit(ring);
                                                    io_uring_wait_cqe(ring, done);
                                                })},
    };
    return all;
}
