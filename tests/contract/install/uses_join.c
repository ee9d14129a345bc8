// SPDX-License-Identifier: Apache-2.0
//
// With an argument it waits on standard input until that ends, its task suspended there.
#include <stdio.h>

#include <loopwatch/join.h>

int main(int argc, char** argv)
{
    (void)argv;
    lw_join_loop* const loop = lw_join_loop_new("main");
    if (loop == NULL) return 1;
    lw_join_start(loop);
    lw_join_task* const task = lw_join_task_new(loop, "greeter", LW_HERE);
    if (task == NULL) return 1;
    lw_join_begin(loop, task);
    puts("join: greeted");
    fflush(stdout);
    lw_join_task_suspended(task, LW_HERE, NULL, 0);
    lw_join_end(loop);
    if (argc > 1) {
        lw_join_begin_poll(loop, LW_JOIN_NO_TIMEOUT);
        const int read = getchar();
        lw_join_end_poll(loop, read != EOF);
    }
    lw_join_begin(loop, task);
    lw_join_task_finished(task, LW_OUTCOME_RESULT);
    lw_join_end(loop);
    lw_join_task_free(task);
    lw_join_stop(loop);
    lw_join_loop_free(loop);
}
