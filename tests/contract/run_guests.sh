#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Programs that are hard on the shim, with a ring and without a collector: they end as they would without, what they do is theirs alone, and
# one that lies in its ring harms nobody.
# Runs alone: a program that waits for a CPU is slow too, and that is a finding. Beside a compiler "of 40 loops at a time 32 are watched"
# had 33 slow callbacks once: a thread that waited for a CPU.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
. "$root/tests/contract/lib/inside.sh"
need_command python3

# --- guests that are hard on it ---
cat >sanitized.c <<'C'
static void callback(int round) { if (round == 20) usleep(150000); }
int main(void) { run_loop(40, callback); return 0; }
C
for sanitizer in address thread undefined; do
    guest sanitized "-fsanitize=$sanitizer"
    check_equal "with gcc's $sanitizer sanitizer: it ends well, its call is told" "0 1 1" "$status $(told_of sanitized)"
done

cat >ends_inside.c <<'C'
static void callback(int round) { if (round == 20) pthread_exit(NULL); }
static void *loop(void *unused) { run_loop(40, callback); return unused; }
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, loop, NULL);
    pthread_join(thread, NULL);
    usleep(400000);
    return 0;
}
C
guest ends_inside
check_equal "a thread that ends within a callback is no stall" "0 0" "$status $(records ends_inside "len(of('stall', 'slow_callback'))")"

cat >crowded.c <<'C'
static void callback(int round) { if (round == 20) usleep(150000); }
static void *loop(void *unused) { run_loop(30, callback); return unused; }
int main(void)
{
    pthread_t threads[40];
    for (int i = 0; i < 40; i++) pthread_create(&threads[i], NULL, loop, NULL);
    for (int i = 0; i < 40; i++) pthread_join(threads[i], NULL);
    return 0;
}
C
guest crowded
check_equal "of 40 loops at a time 32 are watched, and the rest is counted" "0 32 32 8" \
    "$status $(told_of crowded) $(records crowded "r[-1]['lost']['loops_untracked']")"

cat >execs.c <<'C'
static void callback(int round) { if (round == 20) usleep(300000); }
static void *loop(void *unused) { run_loop(40, callback); return unused; }
int main(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, loop, NULL);
    usleep(200000);
    execl("./sanitized", "sanitized", NULL);
    return 1;
}
C
compiled sanitized
guest execs
check_equal "an exec ends one process for the report, and begins another" "0 exec exited" \
    "$status $(records execs "' '.join(x['reason'] for x in of('target_end'))")"
check "whose call is told" has_record execs "any(b['comm'] == 'sanitized' for b in of('blocking_call'))"
ran wrapped -- env A=1 ./sanitized
check "what became another program has its own names" has_record wrapped "any('callback' in n for b in of('blocking_call') for n in names(b['stack']))"
ran children -- sh -c './sanitized; exit 4'
check_equal "a program whose children block ends as it would" 4 "$status"
check "that they are not watched is said" grep -q 'started other programs, which were not watched.*--follow-children' children.said
ran followed --follow-children -- sh -c './sanitized; exit 4'
check "with --follow-children they are" has_record followed "of('blocking_call') and r[-1]['type'] == 'session_end'"

# What a descriptor was is known of the call, not of who comes later.
cat >closes.c <<'C'
#include <fcntl.h>
#include <string.h>
static void callback(int round)
{
    if (round != 20) return;
    int ends[2];
    char byte = 0;
    pipe(ends);
    if (fork() == 0) _exit((usleep(100000), (int)write(ends[1], "x", 1) - 1));
    if (read(ends[0], &byte, 1) == 1) close(ends[0]);
    wait(NULL);
}
int main(void) { run_loop(40, callback); return 0; }
C
guest closes
check_equal "a pipe that is closed by then is a pipe" "0 pipe" "$status $(records closes "' '.join(b['kind'] for b in of('blocking_call') if b['call'] == 'read')")"

# The child's handlers of fork do not run, and what it has inherited is its parent's.
cat >forks.c <<'C'
static void callback(int round)
{
    if (round != 20) return;
    const pid_t child = _Fork();
    if (child == 0) {
        for (int i = 0; i < 10; i++) usleep(15000);
        _exit(0);
    }
    usleep(200000);
    waitpid(child, NULL, 0);
}
int main(void) { run_loop(40, callback); return 0; }
C
guest forks
check_equal "what a child of _Fork does is not its parent's" "0 1 1" "$status $(told_of forks)"

# Nor is what it does in the very loop that its parent runs.
cat >forks_loop.c <<'C'
static pid_t child = -1;
static void callback(int round)
{
    if (round != 20) return;
    child = _Fork();
    if (child == 0) return;
    usleep(150000);
    waitpid(child, NULL, 0);
}
int main(void) { run_loop(40, callback); _exit(0); }
C
guest forks_loop
check_equal "nor are its iterations" "0 1 1 39" "$status $(told_of forks_loop) $(records forks_loop "r[-1]['dispatches']")"

# A child that fork() made begins anew: it has no part of its parent's ring, and is refused nothing that its parent was.
cat >forks_refused.c <<'C'
static int blocks;
static void nothing(int round) { (void)round; }
static void callback(int round) { if (blocks && round == 5) usleep(120000); }
static void *loop(void *unused) { run_loop(1000000, nothing); return unused; }
static int count_rings(void)
{
    char line[512];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) count += strstr(line, " rw-s ") && strstr(line, "/loopwatch-");
    fclose(maps);
    return count;
}
int main(void)
{
    pthread_t threads[32];
    for (int i = 0; i < 32; i++) pthread_create(&threads[i], NULL, loop, NULL);
    usleep(100000);
    run_loop(10, callback);
    printf("parent %d\n", count_rings());
    fflush(stdout);
    if (fork() == 0) {
        blocks = 1;
        run_loop(20, callback);
        printf("child %d\n", count_rings());
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    return 0;
}
C
compiled forks_refused -include string.h
ran refused_followed --follow-children -- ./forks_refused
check_equal "a child is watched though its parent's thread had no lane" "0 usleep 1" \
    "$status $(records refused_followed "' '.join(b['call'] for b in of('blocking_call') if b['pid'] != of('target_start')[0]['pid'])") $(records refused_followed "r[-1]['lost']['loops_untracked']")"
check_equal "with a ring of its own" "parent 1 child 1" "$(grep -E '^(parent|child)' refused_followed.said | xargs)"
ran refused_alone -- ./forks_refused
check_equal "or none" "parent 1 child 0" "$(grep -E '^(parent|child)' refused_alone.said | xargs)"

# A server that allows itself the system calls that it makes, and dies of any other. By prctl or by seccomp, before its loop or in it.
cat >restricts.c <<'C'
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
static const int allowed[] = {SYS_read, SYS_write, SYS_close, SYS_clock_nanosleep, SYS_epoll_wait, SYS_epoll_create1, SYS_epoll_ctl,
    SYS_timerfd_create, SYS_timerfd_settime, SYS_exit_group};
enum { calls = sizeof allowed / sizeof *allowed };
static void restrict_calls(int by_prctl)
{
    struct sock_filter filter[calls + 3] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (int i = 0; i < calls; i++)
        filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], (unsigned char)(calls - i), 0);
    filter[calls + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    filter[calls + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    const struct sock_fprog program = {calls + 3, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) exit(2);
    if (by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) exit(3);
}
static int in_loop, by_prctl;
static void callback(int round)
{
    if (in_loop && round == 10) restrict_calls(by_prctl);
    if (round == 20) usleep(150000);
}
int main(int argc, char **argv)
{
    in_loop = argc > 1 && strchr(argv[1], 'l') != NULL;
    by_prctl = argc > 1 && strchr(argv[1], 'p') != NULL;
    if (!in_loop) restrict_calls(by_prctl);
    run_loop(40, callback);
    _exit(write(1, "served\n", 7) != 7);
}
C
compiled restricts
for way in p s pl sl; do
    ran restricts -- ./restricts $way
    check_equal "a program with a strict seccomp filter ($way) serves on, and its call is told" "0 1 1 usleep" \
        "$status $(told_of restricts) $(records restricts "of('blocking_call')[0]['call']")"
    check "that less is seen of it is said ($way)" has_record restricts "any('seccomp' in x['text'] for x in of('warning')) or any('seccomp' in w for x in of('target_start') for w in x['warnings'])"
    alone warn ./restricts $way
    check_equal "and without a collector ($way), which says that it says no more" "0 served 1" "$status $(cat alone.out) $(grep -c seccomp alone.err)"
done

# A filter that was there before the program, as systemd's SystemCallFilter= and containers set one: filtered KIND VARIABLE=VALUE… PROGRAM…
cat >filtered.c <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
/* What the start of any program needs, and what serves.c does. */
static const int its_own[] = {SYS_execve, SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_access, SYS_openat, SYS_newfstatat, SYS_fstat, SYS_read,
    SYS_pread64, SYS_close, SYS_arch_prctl, SYS_set_tid_address, SYS_set_robust_list, SYS_rseq, SYS_prlimit64, SYS_getrandom, SYS_exit_group,
    SYS_write, SYS_clock_nanosleep, SYS_epoll_wait, SYS_epoll_create1, SYS_epoll_ctl, SYS_timerfd_create, SYS_timerfd_settime};
static const int shims[] = {SYS_link, SYS_tgkill};
static const int nobodys[] = {SYS_keyctl};
static void restrict_to(const int *calls, size_t count, unsigned listed, unsigned other)
{
    struct sock_filter filter[64] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
    for (size_t i = 0; i < count; i++)
        filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], (unsigned char)(count - i), 0);
    filter[count + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, other);
    filter[count + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
    const struct sock_fprog program = {(unsigned short)(count + 3), filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) exit(2);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) exit(3);
}
#define LIST(list) list, sizeof list / sizeof *list
int main(int argc, char **argv)
{
    const char *kind = argv[1];
    for (argv += 2; argc > 2 && strchr(*argv, '=') != NULL; argv++) putenv(*argv);
    if (strcmp(kind, "kills_others") == 0) restrict_to(LIST(its_own), SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS);
    if (strcmp(kind, "kills_shims") == 0) restrict_to(LIST(shims), SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW);
    if (strcmp(kind, "refuses") == 0) restrict_to(LIST(nobodys), SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW);
    execvp(*argv, argv);
    return 4;
}
C
gcc -g -O1 -o filtered filtered.c || fail "filtered does not compile"
cat >serves.c <<'C'
static void callback(int round) { if (round == 20) usleep(150000); }
int main(void)
{
    run_loop(40, callback);
    _exit(write(1, "served\n", 7) != 7);
}
C
compiled serves
# filtered NAME KIND VARIABLE=VALUE… PROGRAM…: what it prints in NAME.out and NAME.err.
filtered() {
    local name=$1
    shift
    status=0
    timeout 60 "${user[@]}" ./filtered "$@" >"$name.out" 2>"$name.err" || status=$?
}
filtered bare kills_others ./serves
check_equal "a program runs under a filter that allows no more than it needs" "0 served" "$status $(cat bare.out)"
filtered asked kills_others LOOPWATCH=warn LD_PRELOAD="$shim" ./serves
check_equal "and with the shim in it, which says that it does nothing, and why" "0 served 1 1" \
    "$status $(cat asked.out) $(wc -l <asked.err) $(grep -c 'not armed: .*seccomp filter.*LOOPWATCH_FILTERS=1' asked.err)"
filtered unasked kills_others LD_PRELOAD="$shim" ./serves
check_equal "where nobody asks, it says nothing" "0 served 0" "$status $(cat unasked.out) $(wc -l <unasked.err)"
mkdir -m 700 rings
test -z "${user[*]}" || chown $nobody:$nobody rings
filtered ringed kills_others LOOPWATCH_RUN="0:100000000:10000000:0:$work/rings" LD_PRELOAD="$shim" ./serves
check_equal "it makes no ring there either" "0 served 0" "$status $(cat ringed.out) $(find rings -type f | wc -l)"
filtered trusted refuses LOOPWATCH=warn LOOPWATCH_FILTERS=1 LD_PRELOAD="$shim" ./serves
check_equal "under a filter that is said to refuse no more than calls, it is armed" "0 served 1 1" \
    "$status $(cat trusted.out) $(grep -c '^loopwatch: armed' trusted.err) $(grep -c 'held loop serves' trusted.err)"
filtered within refuses "$loopwatch" run --inside --format ndjson -o within.ndjson ./serves
mv within.ndjson within.out
check_equal "loopwatch tries out the filter that it runs under itself: this one refuses" "0 1 1" "$status $(told_of within)"
filtered killing kills_shims "$loopwatch" run --inside --format ndjson -o killing.ndjson ./serves
check_equal "this one kills, and nothing is started" "4 0 1" "$status $(grep -c served killing.out killing.err | grep -vc ':0$' || true) $(grep -c 'seccomp filter' killing.err)"
ran becomes -- ./filtered kills_others ./serves
check_equal "a program that restricts itself and becomes another one, which serves on" "0 1" "$status $(grep -c served becomes.said)"
check "that it is not watched any more is said" has_record becomes \
    "any('seccomp' in x['text'] and 'becomes by exec' in x['text'] for x in of('warning')) or any('seccomp' in w and 'becomes by exec' in w for x in of('target_start') for w in x['warnings'])"
# The filter of a whole container, of a kind of which it is known that it refuses.
filtered_container() {
    unshare -m --propagation private sh -c 'mount -t tmpfs none /run && touch /run/.containerenv && exec "$@"' - \
        ./filtered refuses unshare --pid --fork --mount-proc env LOOPWATCH=warn LD_PRELOAD="$shim" ./serves >container.out 2>container.err
}
if is_root && unshare -m --pid --fork --mount-proc true; then
    filtered_container
    check_equal "a container's own filter refuses, by the marks of docker and podman" "served 1 1" \
        "$(cat container.out) $(grep -c '^loopwatch: armed' container.err) $(grep -c 'held loop serves' container.err)"
else
    skip_check "a container's own filter refuses, by the marks of docker and podman" "needs root"
fi

# The library's calls go to libc first: they are not seen, and nothing breaks.
cat >deep.c <<'C'
void deep(void) { usleep(20000); }
C
gcc -shared -fPIC -include loop.h -o deep.so deep.c
cat >binds_deep.c <<'C'
#include <dlfcn.h>
static void (*deep)(void);
static void callback(int round) { if (round == 20) { deep(); usleep(150000); } }
int main(void)
{
    deep = (void (*)(void))dlsym(dlopen("./deep.so", RTLD_NOW | RTLD_DEEPBIND), "deep");
    run_loop(40, callback);
    return 0;
}
C
guest binds_deep
check_equal "beside a library with RTLD_DEEPBIND the program's own call is told" "0 1 1" "$status $(told_of binds_deep)"

# Many short calls, of which some are long: none of them is said to be no call.
cat >flushes.c <<'C'
static void callback(int round)
{
    if (round != 20) return;
    for (int i = 0; i < 1600; i++) usleep(i % 40 == 0 ? 11000 : 500);
}
int main(void) { run_loop(40, callback); return 0; }
C
guest flushes
check_equal "1,600 calls in a callback are 1,600 calls, and nothing is lost" "0 1 40 1600 True []" \
    "$status $(told_of flushes) $(records flushes "'%d %s' % ((lambda s: (sum(x['count'] for x in s['sources']), s['sources'][0]['call'] == 'usleep' and sum(x['duration_ns'] for x in s['sources'] if x['call'] == 'usleep') > 0.95 * s['duration_ns']))(of('slow_callback')[0]))") $(records flushes "[k for k, n in r[-1]['lost'].items() if n and k != 'dispatch_book']")"
check "nor does a stall say so" has_record flushes "len(of('stall')) >= 3 and not any(x['call'] == '' for s in of('stall') for x in s['sources'])"

# From 20 places, of which 16 have records: the rest is a sum.
cat >places.c <<'C'
#define NAP usleep(1000);
#define NAPS NAP NAP NAP NAP NAP NAP NAP NAP NAP NAP
static void callback(int round)
{
    if (round != 20) return;
    for (int i = 0; i < 10; i++) { NAPS NAPS }
}
int main(void) { run_loop(40, callback); return 0; }
C
guest places
check_equal "what has no record of its own is not recorded, and counted" "0 True True" \
    "$status $(records places "'%s %s' % ((lambda s: (0.12 < sum(x['duration_ns'] for x in s['sources'] if x['args'].get('reason') == 'not recorded') / s['duration_ns'] < 0.28, not any(x['args'].get('reason', '').startswith('on CPU') for x in s['sources'])))(of('slow_callback')[0]))")"

# It keeps its lane full from after the stall until after its end, which leaves no record.
cat >full.c <<'C'
#include <lw_ring.h>
#include <string.h>
static struct lw_lane *lane;
static lw_u64 tail;
static void find_lane(void)
{
    char line[512];
    unsigned long start;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) {
        if (!strstr(line, " rw-s ") || !strstr(line, "/loopwatch-") || sscanf(line, "%lx-", &start) != 1) continue;
        struct lw_ring *ring = (struct lw_ring *)start;
        for (int i = 0; i < LW_LANES; i++)
            if (ring->lanes[i].tid == (lw_u32)getpid()) lane = &ring->lanes[i];
        break;
    }
    fclose(maps);
}
static void spin(int ms)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
}
static void callback(int round)
{
    if (round == 20) {
        find_lane();
        usleep(250000);
        spin(80); /* until it has been read */
        tail = lane->tail;
        lane->tail = lane->head + 8;
        usleep(100000);
    }
    if (round == 21) lane->tail = tail;
    if (round == 40) usleep(150000);
}
int main(void) { run_loop(400, callback); return 0; }
C
compiled full -I "$root/preload" -I "$root/bpf" -I "$root/runtime_probes/include"
ran full --fail-on slow_callback --report junit:full.xml -- ./full
check_equal "a callback whose end was lost is reported once, with how long it lasted at most" "3 [False, True]" \
    "$status $(records full "[s['end_known'] for s in of('slow_callback')]")"
check "as long as it was" has_record full "(lambda s: 430e6 <= s['duration_ns'] < 700e6 and 'held loop full for up to' in s['verdict'])(of('slow_callback')[0])"
check "with the call that is known" has_record full "(lambda s: [x['call'] for x in s['sources'] if x['call'] and x['duration_ns'] > 10**7] == ['usleep'] and s['sources'][0]['call'] == 'usleep')(of('slow_callback')[0])"
check "and known once" has_record full "sorted(b['duration_ns'] // 10**8 for b in of('blocking_call')) == [1, 2]"
check "so that the gate takes it for what it is" grep -q '(2 times, fingerprint' full.xml
check "what is not known of it is not recorded" has_record full "any(x['args'].get('reason') == 'not recorded' for x in of('slow_callback')[0]['sources'])"
check "and says that more may be missing" grep -q '^loopwatch: --fail-on: findings may be missing: ' full.said
status=0
timeout 60 "${user[@]}" "$loopwatch" run --inside --format text --quiet --fail-on slow_callback:lock -- ./full >quiet.said 2>&1 || status=$?
check_equal "a gate that passes with findings missing says so, --quiet or not" "0 1 1 1" \
    "$status $(grep -c '^  report: findings missing' quiet.said) $(grep -c '^  lost: ring_full' quiet.said) $(grep -c '^loopwatch: --fail-on: findings may be missing' quiet.said)"

# --- without a collector ---
alone warn /usr/bin/python3 loop.py
check_equal "LOOPWATCH=warn: the program ends as it would" 0 "$status"
check_equal "and both of its stalls are said" 2 "$(grep -Ec 'held loop python3 for [12][0-9]{2}\.[0-9] ms: .* in (clock_nanosleep|waitpid).* called from /.*python' alone.err)"
check "armed is said first" sh -c 'head -n 1 alone.err | grep -q "^loopwatch: armed, threshold 100.0 ms"'
alone strict /usr/bin/python3 loop.py
check_equal "strict: it ends with 3" 3 "$status"
check_equal "with the first that was slow" 1 "$(grep -c 'held loop' alone.err)"
alone off /usr/bin/python3 loop.py
check_equal "off: nothing is said" "0 " "$status $(cat alone.err)"
alone strikt true
check "a word that is none is said to be" grep -q 'neither warn, strict nor off' alone.err

# Names are often a client's words: what a terminal obeys, or would be a line of its own, is not printed.
cat >forged.c <<'C'
#include <fcntl.h>
#include <sys/stat.h>
static const char name[] = "evil\033[2J\nloopwatch: forged";
static void callback(int round)
{
    if (round != 20) return;
    if (fork() == 0) _exit((usleep(150000), open(name, O_WRONLY)) < 0);
    close(open(name, O_RDONLY));
    wait(NULL);
}
int main(void) { mkfifo(name, 0600); run_loop(40, callback); unlink(name); return 0; }
C
compiled forged
alone warn ./forged
check "a name with escapes is one line without them" sh -c \
    'grep -q "held loop forged for .*open.*evil?\[2J?loopwatch: forged" alone.err && ! grep -q "^loopwatch: forged" alone.err && ! grep -q "$(printf "\033")" alone.err'

# A daemon closes what it does not know, and its own files get the numbers.
cat >reuses.c <<'C'
#define _GNU_SOURCE
#include <fcntl.h>
static void callback(int round) { if (round == 20) usleep(150000); }
int main(void)
{
    for (int fd = 3; fd < 1024; fd++) close(fd);
    for (int i = 0; i < 8; i++) if (write(open("database.bin", O_CREAT | O_WRONLY | O_APPEND, 0600), "data", 4) != 4) return 1;
    run_loop(40, callback);
    return 0;
}
C
compiled reuses
alone warn env LOOPWATCH_LOG=log.txt ./reuses
check_equal "no line goes into a file that has got the log's number" "0 datadatadatadatadatadatadatadata" "$status $(cat database.bin)"
check_equal "they are in the log, all of them" "1 1" "$(grep -c '^loopwatch: armed' log.txt) $(grep -c 'held loop reuses' log.txt)"

# A handler that forks amidst a measured call: the child has no loop, and no ring to which its parent's lane belongs.
cat >forks_inside.c <<'C'
#include <signal.h>
static pid_t child = -1;
static void on_alarm(int number) { (void)number; child = fork(); }
static void callback(int round)
{
    if (round != 20) return;
    signal(SIGALRM, on_alarm);
    ualarm(50000, 0);
    usleep(150000);
    if (child == 0) _exit(7);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 7) exit(1);
}
int main(void) { run_loop(40, callback); return 0; }
C
compiled forks_inside
alone warn ./forks_inside
check_equal "a child that a signal handler forks within a measured call goes on" 0 "$status"
ran forks_inside -- ./forks_inside
check_equal "and with a ring" 0 "$status"
# Another library that answers before the shim does: the shim's own call does not come by.
printf '#include <time.h>\nint nanosleep(const struct timespec *a, struct timespec *b) { (void)a; (void)b; return 0; }' >before.c
gcc -shared -fPIC -o before.so before.c
timeout 60 "${user[@]}" env LOOPWATCH=warn LD_PRELOAD="$work/before.so:$shim" true 2>alone.err
check "what keeps calls from the shim is named" grep -q 'not armed: .*LD_PRELOAD' alone.err

# --- names of code that is generated at run time: the perf map is there once a loop runs, not when the shim is loaded ---
if command -v node >/dev/null; then
    cat >block.js <<'JS'
let round = 0;
const word = new Int32Array(new SharedArrayBuffer(4));
function renderInvoice() { Atomics.wait(word, 0, 0, 200); }
const timer = setInterval(() => { if (++round === 10) renderInvoice(); if (round === 20) clearInterval(timer); }, 10);
JS
    ran named --interval 60s -- node --logfile="$work/v8.log" --no-logfile-per-isolate --perf-basic-prof --interpreted-frames-native-stack block.js
    check "a function of node's has its name from the perf map" has_record named \
        "any('renderInvoice' in x['verdict'] for x in of('slow_callback')) and not any('no names' in x['text'] for x in of('warning'))"
    ran nameless --interval 60s -- node block.js
    check "without a perf map a warning says how to get one" has_record nameless "any('--perf-basic-prof' in x['text'] for x in of('warning'))"
else
    skip_check "a function of node's has its name from the perf map" "needs node (Debian: nodejs)"
fi

# --- a process that lies ---
cat >liar.py <<'PY'
import asyncio, ctypes, os, random, re, time
async def main():
    for _ in range(10):
        await asyncio.sleep(0.002)
    for line in open("/proc/self/maps"):
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw-s .*/loopwatch-", line)
        if found:
            start, end = int(found[1], 16), int(found[2], 16)
            random.seed(int(os.environ["SEED"]))
            for _ in range(2000):
                at = start + random.choice([random.randrange(0, 128 + 32 * 128), random.randrange(0, end - start - 8)])
                ctypes.memmove(at, random.randbytes(8), 8)
                if random.random() < 0.05: time.sleep(0.0005)
    os._exit(0)
asyncio.run(main())
PY
lies=0
for seed in 1 2 3 4 5; do
    status=0
    timeout 60 "${user[@]}" env SEED=$seed "$loopwatch" run --inside --format ndjson -o liar.out -- /usr/bin/python3 liar.py >liar.said 2>&1 || status=$?
    check "seed $seed: who scribbles in its ring harms itself at most" sh -c '[ "$1" = 0 ] || [ "$1" -ge 128 ]' - "$status"
    check "seed $seed: the session ends with its summary" has_record liar "r[-1]['type'] == 'session_end'"
    lies=$((lies + $(records liar "r[-1]['lost']['record_undecodable']")))
done
check "lies are counted" [ "$lies" -gt 0 ]
