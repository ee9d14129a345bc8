// SPDX-License-Identifier: Apache-2.0
//
// Calls that reach the shim before its constructor has run: checks what early_library.c saw.
#include "early.h"

#include <stdio.h>
#include <string.h>

static int failures;

static void check(int good, const char* sentence)
{
    printf("%s early: %s\n", good ? "ok  " : "FAIL", sentence);
    failures += !good;
}

int main(void)
{
    const struct early_results* seen = early_results();
    check(early_answer() == 42 && seen->resolver_read == 4 && memcmp(seen->resolver_bytes, "\177ELF", 4) == 0,
          "an IFUNC resolver opens and reads a file");
    check(seen->dlsym_calls > 0 && seen->dlsym_writes == seen->dlsym_calls, "dlsym itself may call write");
    check(seen->constructor_lock == 0 && seen->constructor_errno == 77, "a constructor locks, errno is left alone");
    check(seen->constructor_read == -1, "a constructor's failing read fails");
    return failures != 0;
}
