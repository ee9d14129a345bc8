// SPDX-License-Identifier: Apache-2.0
//
// A library that calls libc at the most awkward moments: from an IFUNC resolver (ld.so relocates a needed library
// before the preloaded ones, so the shim that answers has no GOT yet), from within dlsym (which it interposes, as some
// tools do), and from a constructor.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "early.h"

static struct early_results results;
const struct early_results* early_results(void)
{
    return &results;
}

static int answer(void)
{
    return 42;
}

static int (*resolve_answer(void))(void)
{
    const int fd = open("/proc/self/exe", O_RDONLY);
    results.resolver_read = read(fd, results.resolver_bytes, sizeof results.resolver_bytes);
    return answer;
}
// Local, so that its resolver runs when this library is relocated, not when the program is.
static int chosen_answer(void) __attribute__((ifunc("resolve_answer")));
int early_answer(void)
{
    return chosen_answer();
}

typedef void* dlsym_fn(void*, const char*);
// RTLD_NEXT is relative to the caller: seen from here it is still what follows the shim, since the shim comes first.
void* dlsym(void* handle, const char* name)
{
    static dlsym_fn* real;
    if (!real) *(void**)&real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    errno = 0;
    results.dlsym_calls++;
    if (write(-1, "", 1) == -1 && errno == EBADF) results.dlsym_writes++;
    return real(handle, name);
}

__attribute__((constructor)) static void construct(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    errno = 77;
    results.constructor_lock = pthread_mutex_lock(&mutex);
    results.constructor_errno = errno;
    pthread_mutex_unlock(&mutex);
    results.constructor_read = read(-1, 0, 0);
}
