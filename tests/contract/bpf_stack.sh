#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Each BPF program fits the stack of kernels before 6.13: 512 bytes together with all it calls. Newer ones would not tell.
# Runs beside others: it reads object files.
. "$(dirname "$0")/../../scripts/lib/test.sh"
need_command llvm-objdump clang

depths() { /usr/bin/python3 "$root/tests/contract/bpf/stack_depth.py" "$@"; }

# One by one, before they are linked: a static function is known by its section only, and theirs are few.
for object in "$build"/bpf/*.bpf.o; do
    if [ "$(basename "$object")" = loopwatch.bpf.o ]; then continue; fi
    check "$(basename "$object"): no program and what it calls takes more than 512 bytes of stack" depths "$object"
done

cat >"$work/deep.c" <<'EOF'
#define SEC(name) __attribute__((section(name), used))
static __attribute__((noinline)) int inner(volatile char *p) { volatile char room[280]; for (int i = 0; i < 280; i++) room[i] = *p; return room[3]; }
SEC("tp/x") int outer(void *ctx) { volatile char room[280]; for (int i = 0; i < 280; i++) room[i] = 0; return inner(room); }
EOF
clang -target bpf -O2 -c "$work/deep.c" -o "$work/deep.o"
check_status "a program that takes more is seen" 1 depths "$work/deep.o"
