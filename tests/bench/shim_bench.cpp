// SPDX-License-Identifier: Apache-2.0
//
// What the shim adds to a call: an uncontended pthread_mutex_lock and unlock (libc's cheapest blocking call) straight
// into libc, and through the shim off loop threads, in a dispatch with nobody attached, and in a dispatch with a
// session. Interleaved rounds, medians: differences stand, absolute numbers drift with the machine. Run under
// LD_PRELOAD of the shim.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include <dlfcn.h>
#include <pthread.h>

#include "tap.hpp"

namespace {

constexpr int rounds = 201, calls = 20'000;

using Lock = int (*)(pthread_mutex_t*);
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

std::uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

template <class Call>
double ns_per_call(Call call)
{
    const std::uint64_t start_ns = now_ns();
    for (int i = 0; i < calls; ++i) call();
    return static_cast<double>(now_ns() - start_ns) / calls;
}

// The library's own symbol, past the shim that stands before it in the search order.
Lock libc_lock()
{
    void* libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    return reinterpret_cast<Lock>(dlsym(libc, "pthread_mutex_lock"));
}

// What any interposer costs at least: the address of the function behind it, and a jump.
Lock behind = nullptr;
[[gnu::noinline]] int empty_wrapper(pthread_mutex_t* one)
{
    return __atomic_load_n(&behind, __ATOMIC_RELAXED)(one);
}

double median(std::vector<double>& values)
{
    std::ranges::nth_element(values, values.begin() + rounds / 2);
    return values[rounds / 2];
}

}  // namespace

int main()
{
    tap::attach();
    tap::lower();
    tap::loop().floor_ns = 3'600'000'000'000;  // nothing is to be reported
    const Lock direct = libc_lock(), shim = reinterpret_cast<Lock>(dlsym(RTLD_DEFAULT, "pthread_mutex_lock"));
    if (direct == nullptr || direct == shim) return std::fputs("the shim is not loaded\n", stderr), 1;

    const auto lock_with = [](Lock lock) {
        return ns_per_call([=] {
            lock(&mutex);
            pthread_mutex_unlock(&mutex);
        });
    };
    behind = direct;
    std::array<std::vector<double>, 6> samples;
    for (int i = 0; i < rounds; ++i) {
        samples[0].push_back(lock_with(direct));
        samples[1].push_back(lock_with(shim));
        tap::enter();
        samples[2].push_back(lock_with(shim));
        tap::raise();
        samples[3].push_back(lock_with(shim));
        tap::lower();
        tap::leave();
        samples[4].push_back(ns_per_call(now_ns));
        samples[5].push_back(lock_with(empty_wrapper));
    }
    const char* const names[] = {"libc, directly",
                                 "shim, off loop threads",
                                 "shim, in a dispatch, nobody attached",
                                 "shim, in a dispatch, attached",
                                 "one clock read",
                                 "an empty wrapper"};
    const double base = median(samples[0]);
    for (std::size_t i = 0; i < samples.size(); ++i) {
        const double ns = median(samples[i]);
        std::printf("%-38s %7.2f ns", names[i], ns);
        if ((i >= 1 && i <= 3) || i == 5) std::printf("   +%.2f ns", ns - base);
        std::printf("\n");
    }
    std::printf("attached, beyond two clock reads: %.2f ns\n", median(samples[3]) - base - 2 * median(samples[4]));
    tap::detach();
    return 0;
}
