#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The smallest programs do what they say.
# Runs beside others: what the programs print does not depend on time.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
examples=$build/bin/examples
need_program "$examples"/{spawn,cancel,group,pipeline,two_loops,debug}
cd "$work"

for example in spawn cancel group pipeline two_loops debug; do
    check "$example ends well" timeout 20 sh -c '"$1" >"$2.out"' - "$examples/$example" "$example"
done
check_equal "pipeline: all orders, each once" "bolt nut screw washer" "$(sort pipeline.out | xargs)"
check_equal "two_loops: the other loop's answers" "1: 10 2: 20 3: 30" "$(xargs <two_loops.out)"
check "debug: the tasks and where they stand" grep -q '^stuck is suspended$' debug.out
check "debug: an exception that nobody retrieved" grep -q '^exception_unretrieved: Task exception was never retrieved: print#.*no more paper' debug.out
check "debug: who was cancelled, and why" grep -q '^task_cancelled: stuck#[0-9]*: cancelled by #[0-9]* (closing)' debug.out
