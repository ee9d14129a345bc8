#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# scripts/test runs a failed script once more: what of it counts as passed.
# Runs beside others: its scripts only print.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"

# The script of a test: what it prints and its status, the first time and the second.
script() {
    cat >"$work/script" <<'SCRIPT'
#!/usr/bin/env bash
cd "$(dirname "$0")"
run=$([ -e ran ] && echo second || echo first)
touch ran
cat "$run.txt"
! grep -q ^FAIL "$run.txt"
SCRIPT
    chmod +x "$work/script"
    rm -rf "$work/ran" "$work/build"
    mkdir "$work/build"
    printf '%b' "$1" >"$work/first.txt"
    printf '%b' "$2" >"$work/second.txt"
}

# verdict FIRST SECOND: of the two runs, and what the summary names.
verdict() {
    script "$1" "$2"
    /usr/bin/python3 - "$root/scripts/lib" "$work" <<'PYTHON'
import pathlib, sys
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import run_tests
work = pathlib.Path(sys.argv[2])
runner = run_tests.Runner(work / "build")
runner.run(run_tests.Test("truth/one", [str(work / "script")], True, ""))
status = run_tests.summary(runner, 1.0)
print("status", status, "flaky", runner.flaky)
PYTHON
}
ends_with() { verdict "$2" "$3" | tee "$work/out" | tail -n 1 | grep -qx "$1" || { cat "$work/out"; return 1; }; }

both='1 checks held, 1 failed, 0 skipped\n'
check "a check that fails twice fails" ends_with "status 1 flaky 0" "FAIL    in 5 ms\nok      b\n$both" "FAIL    in 7 ms\n        | 7 > 4\nok      b\n$both"
check "  and the summary names it, with what it saw" grep -qx '        | 7 > 4' <(grep -A 1 '^FAIL  truth/one: in 7 ms$' "$work/out")
check "one that holds the second time is flaky" ends_with "status 0 flaky 1" "FAIL    a\n$both" "ok      a\n$both"
check "two that fail once each are flaky" ends_with "status 0 flaky 1" "FAIL    a 1\nok      b 2\n$both" "ok      a 3\nFAIL    b 4\n$both"
check "  and both named" test "$(grep -c '^flaky truth/one: [ab] ' "$work/out")" = 2
check "a script that breaks off the second time fails" ends_with "status 1 flaky 0" "FAIL    a\nok      b\n$both" "FAIL    not ready\n$both"
check "one that breaks off the first time too" ends_with "status 1 flaky 0" "FAIL    not ready\n$both" "ok      a\nFAIL    b\n$both"
check "one that is killed" ends_with "status 1 flaky 0" "FAIL    a\nok      b\n" "ok      a\nFAIL    b\n$both"
