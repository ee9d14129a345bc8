#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The smallest programs do what they say.
# Runs beside others: what the programs print does not depend on time.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
examples=$build/bin/examples
need_program "$examples"/{spawn,cancel,group,race,pipeline,generate,two_loops,assembly_line,awaitable,debug}
cd "$work"

for example in spawn cancel group race pipeline generate two_loops assembly_line awaitable debug; do
    check "$example ends well" timeout 20 sh -c '"$1" >"$2.out"' - "$examples/$example" "$example"
done
check_equal "group: what several failed with" "no bolt left no nut left" "$(tail -n 2 group.out | xargs)"
check_equal "race: the first counts, the others are cancelled" \
    "primary: another task was first answered by replica saved the answer server: a stop was requested stopped" "$(xargs <race.out)"
check_equal "generate: all pages, each once" "page 1 page 2 page 3 page 4 page 5" "$(grep page generate.out | sort | xargs)"
check_equal "assembly_line: all parts, in their order" "packed 1 packed 2 packed 3 packed 4 packed 5" "$(xargs <assembly_line.out)"
check_equal "awaitable: a result, and a cancellation" "42 timed out" "$(xargs <awaitable.out)"
check_equal "pipeline: all orders, each once" "bolt nut screw washer" "$(sort pipeline.out | xargs)"
check_equal "two_loops: the other loop's answers" "1: 10 2: 20 3: 30" "$(xargs <two_loops.out)"
check "debug: the tasks and where they stand" grep -q '^stuck is suspended$' debug.out
check "debug: an exception that nobody retrieved" grep -q '^exception_unretrieved: Task exception was never retrieved: print#.*no more paper' debug.out
check "debug: who was cancelled, and why" grep -q '^task_cancelled: stuck#[0-9]*: cancelled by #[0-9]* (closing)' debug.out
