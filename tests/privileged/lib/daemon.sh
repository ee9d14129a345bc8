# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# For scripts that hold a daemon against fixtures: its answers and its journal, asked in Python. Source after watch.sh.

socket=$work/run/control.sock

# answered COMMAND EXPRESSION: of the daemon's answer, as `a`.
answered() {
    "$loopwatch" "$1" --socket "$socket" --format json >"$work/answer" 2>"$work/answer.err" || [ -s "$work/answer" ] || return 1
    python3 -c "import json,sys; a=json.load(open(sys.argv[1])); print($2)" "$work/answer"
}
is_answer() { [ "$(answered "$1" "$2")" = True ]; }

# journal EXPRESSION: of all its records, as `r`; of(TYPE) those of a type.
journal() {
    zstdcat "$work"/state/journal/*.lwj 2>/dev/null | python3 -c "
import json, sys
r = [json.loads(line) for line in sys.stdin]
of = lambda kind: [x for x in r if x['type'] == kind]
print($1)"
}
in_journal() { [ "$(journal "$1")" = True ]; }
