/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/types.h>

struct early_results {
    ssize_t resolver_read;
    char resolver_bytes[4];
    int constructor_lock, constructor_errno;
    ssize_t constructor_read;
    int dlsym_calls, dlsym_writes;
};
const struct early_results* early_results(void);
int early_answer(void);
