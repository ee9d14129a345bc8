#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A loop without probes is recognised once it has waited three times in one place. What held it before that is reported once it is; if it
# never is, that is said, and a thread which is no loop is accused of nothing.
# Runs alone: a program that waits for a CPU is slow too.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
. "$root/tests/contract/lib/inside.sh"

# Both sins of a loop's first two iterations, each in its function.
cat >first.c <<'C'
static volatile unsigned long spins;
__attribute__((noinline)) static void burn(void)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (int i = 0; i < 1000; i++) spins++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < 150);
}
__attribute__((noinline)) static void doze(void) { usleep(150000); __asm__(""); }
static void callback(int round)
{
    if (round == 0) doze();
    if (round == 1) burn();
}
int main(int argc, char **argv) { run_loop(argc > 1 ? atoi(argv[1]) : 20, callback); return 0; }
C
guest first
check_equal "what holds a loop in its first two iterations is found" "0 2 1" "$status $(told_of first)"
check "the first in its function, in the call" has_record first \
    "(lambda s: s['sources'][0]['call'] == 'usleep' and 'doze' in names(s['stack']) and 150e6 <= s['duration_ns'] < 250e6 and s['scope'] == 'iteration')(next(s for s in of('slow_callback') if s['sources'][0]['call']))"
check "and nothing is lost or left out" has_record first "not any(r[-1]['lost'].values()) and not of('warning')"
check "its iterations are counted from the first" has_record first "r[-1]['dispatches'] == 19"
ran gate --fail-on slow_callback -- ./first 4
check_equal "a gate fails for it" 3 "$status"

# A quick iteration that is dropped takes none of the calls of a later one with it.
cat >second.c <<'C'
static void callback(int round) { if (round == 1) usleep(150000); }
int main(void) { run_loop(20, callback); return 0; }
C
guest second
check_equal "what holds a loop after a quick first iteration is found, and in which call" "0 1 usleep" \
    "$status $(records second "len(of('slow_callback'))") $(records second "of('slow_callback')[0]['sources'][0]['call']")"

# What main does once its loop has returned holds up no loop. Unless main may be part of it: then it cannot be known.
cat >after.c <<'C'
static void callback(int round) { (void)round; }
static void *doze(void *unused) { usleep(250000); return unused; }
__attribute__((noinline)) static int serve(void) { run_loop(10, callback); return 1; }
__attribute__((noinline)) static int work(int step) { if (step == 2) usleep(150000); if (step == 3) pause(); return step; }
int main(int argc, char **argv)
{
    pthread_t thread;
    (void)argv;
    for (int step = 0; argc > 1; step++) serve(), work(step);
    pthread_create(&thread, NULL, doze, NULL);
    if (serve()) usleep(150000);
    pthread_join(thread, NULL);
    usleep(150000);
    return 0;
}
C
compiled after
ran after --fail-on slow_callback,blocking_call -- ./after
check_equal "what main does after its loop has ended is no finding" "0 0 0 0" "$status $(told_of after) $(records after "len(of('stall'))")"
ran steps --fail-on slow_callback --duration 2s -- ./after steps
check_equal "of a main that runs its loop step by step it is" "3 1 work" "$status $(told_of steps | cut -c1) $(records steps "of('slow_callback')[0]['stack'][0]['function']")"
check "once that is known, while it lasts too" has_record steps "any(s['duration_ns'] > 0.5e9 and 'pause' in s['verdict'] for s in of('stall'))"

# Twice is no loop as far as is known.
ran twice -- ./first 2
check_equal "what waits twice is accused of nothing" "0 0 0" "$status $(told_of twice)"
check "but what was held back is counted" has_record twice "r[-1]['lost']['iteration_unproven'] == 2"
check "and said" has_record twice "any('not recognised as an event loop' in x['text'] and '(2 times)' in x['text'] for x in of('warning'))"
ran twice --fail-on slow_callback -- ./first 2
check_equal "a gate does not pass for it" 4 "$status"

cat >hangs.c <<'C'
static void callback(int round) { (void)round; for (;;) pause(); }
int main(void) { run_loop(1, callback); return 0; }
C
compiled hangs
ran hangs --duration 2s -- ./hangs
check "a program that hangs in its first callback is said to, while it does" has_record hangs \
    "any('If this is one, it hangs' in x['text'] and x['mono_ns'] <= of('target_end')[0]['mono_ns'] for x in of('warning') if x.get('target'))"
check "and at the end" has_record hangs "r[-1]['lost']['iteration_unproven'] == 1 and not of('stall', 'slow_callback')"

# A child's loop begins anew, whatever its parent's was.
cat >children.c <<'C'
static pid_t child;
static void callback(int round)
{
    if (child == 0 && round == 0) usleep(150000);
    if (child != 0 && round == 10) child = fork();
    if (child == 0 && round == 10) { run_loop(10, callback); _exit(0); }
}
int main(void) { child = getpid(); run_loop(20, callback); wait(NULL); return 0; }
C
compiled children
ran children --follow-children -- ./children
check_equal "the first iteration of a forked child's loop is the child's" "0 usleep true" \
    "$status $(records children "' '.join(s['sources'][0]['call'] for s in of('slow_callback'))") $(records children "of('slow_callback')[0]['pid'] != of('target_start')[0]['pid']")"

# A loop that begins late, deeper in the stack than the program polled before.
cat >late.c <<'C'
#include <poll.h>
__attribute__((noinline)) static void connect_to_peers(void)
{
    struct pollfd fds[2] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}};
    for (int i = 0; i < 2; i++) poll(fds, 2, 5);
    usleep(150000);
}
static void callback(int round) { if (round == 0) usleep(120000); }
__attribute__((noinline)) static int deep(int depth)
{
    char room[512];
    snprintf(room, sizeof room, "%d", depth);
    if (depth > 0) return deep(depth - 1) + (room[0] != '0');
    run_loop(20, callback);
    return room[0];
}
int main(void) { connect_to_peers(); return deep(5) == 0; }
C
guest late
check_equal "of a loop that begins late only its own is reported" "0 1 1 120" \
    "$status $(told_of late) $(records late "of('slow_callback')[0]['duration_ns'] // 10**7 * 10")"

# A wait that a callback makes in the meantime is a call of it.
cat >nests.c <<'C'
#include <poll.h>
__attribute__((noinline)) static void ask_a_peer(void)
{
    struct pollfd fds[2] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}};
    poll(fds, 2, 150);
}
static void callback(int round) { if (round < 2) ask_a_peer(); }
int main(void) { run_loop(20, callback); return 0; }
C
guest nests
check_equal "a callback that polls holds its loop from the first time on" "0 2 2 poll nested_wait ask_a_peer" \
    "$status $(told_of nests) $(records nests "(lambda b: b['call'] + ' ' + b['kind'] + (' ask_a_peer' if 'ask_a_peer' in names(b['stack']) else ''))(of('blocking_call')[0])")"

# A worker that polls once, while it connects, and waits in a queue from then on; and a thread of a pool, which parks where it polls.
cat >queue.c <<'C'
#include <poll.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static void park(int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000, until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    pthread_cond_timedwait(&never, &lock, &until);
    pthread_mutex_unlock(&lock);
}
static void *work(void *unused)
{
    struct pollfd fds[2] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}};
    poll(fds, 2, 5);
    for (int i = 0; i < 4; i++) park(200);
    return unused;
}
__attribute__((noinline)) static void doze(void) { usleep(150000); __asm__(""); }
static void *lead(void *unused)
{
    struct pollfd fds[2] = {{-1, POLLIN, 0}, {-1, POLLIN, 0}};
    for (int round = 0; round < 6; round++) {
        poll(fds, 2, 5);
        if (round == 0) doze();
        pthread_mutex_lock(&lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += (until.tv_nsec += 200000000) / 1000000000, until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&never, &lock, &until);
        pthread_mutex_unlock(&lock);
    }
    return unused;
}
int main(int argc, char **argv)
{
    pthread_t thread;
    (void)argv;
    pthread_create(&thread, NULL, argc > 1 ? lead : work, NULL);
    pthread_join(thread, NULL);
    return 0;
}
C
guest queue
check_equal "a worker that waits in a queue is not reported" "0 0 0 [] 0" \
    "$status $(told_of queue) $(records queue "[x['text'] for x in of('warning')]") $(records queue "r[-1]['lost']['iteration_unproven']")"
ran leads -- ./queue lead
check_equal "a loop that parks where it polls is held by its callback alone" "0 1 1 150 usleep" \
    "$status $(told_of leads) $(records leads "'%d %s' % (of('slow_callback')[0]['duration_ns'] // 10**7 * 10, of('blocking_call')[0]['call'])")"

# --- without a collector ---
alone warn ./first 4
check_equal "LOOPWATCH=warn: both are said" "0 1 1" \
    "$status $(grep -Ec 'held loop first for 1[5-9][0-9]\.[0-9] ms: .* in usleep called from ' alone.err) $(grep -Ec 'held loop first for [1-9][0-9]{2}\.[0-9] ms: on CPU, waiting for one, or in short calls$' alone.err)"
alone strict ./first 4
check_equal "LOOPWATCH=strict: it ends with 3" "3 1" "$status $(grep -c 'held loop' alone.err)"
