#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# `loopwatch config`: what is in force, with its origin; each kind of bad configuration in one clear line with its place.
# Runs beside others: it only parses and compares text.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
loopwatch=$build/bin/loopwatch
need_command python3
need_program "$loopwatch"
cd "$work"
unset "${!LOOPWATCH_@}"

# refuses SENTENCE LINE [OPTIONS…] <CONFIGURATION: exit status 2, and LINE is all there is on stderr but for the last line.
refuses() {
    local sentence=$1 line=$2
    shift 2
    cat >bad.toml
    check_status "$sentence" 2 "$loopwatch" config check --config bad.toml "$@"
    check_equal "… in one line" "$line
loopwatch: the configuration has 1 error (hint: see above)" "$(cat stderr)"
    check_equal "… and nothing on stdout" "" "$(cat stdout)"
}

check_status "a file that was asked for must be there" 2 "$loopwatch" config check --config none.toml
check "… and is named" grep -qx 'none.toml: cannot be read: No such file or directory' stderr
: >empty.toml
check_status "an empty file is right" 0 "$loopwatch" config check --config empty.toml
check "… and each value is a default" sh -c '! grep -v "# default$" stdout | grep -q " = "' -

printf '[limits' >bad.toml
check_status "no TOML" 2 "$loopwatch" config check --config bad.toml
check "… has its place" grep -Eq '^bad.toml:1:[0-9]+: .*TOML 1.0' stderr
refuses "an unknown section" "bad.toml:1:2: limit is no section (did you mean limits?)" <<<"[limit]"
refuses "an unknown key" "bad.toml:2:1: treshold is no key of defaults (did you mean threshold?)" <<<$'[defaults]\ntreshold = "1s"'
refuses "a duration without a unit" 'bad.toml:2:13: defaults.threshold: "100" has no unit (did you mean 100ms?)' \
    <<<$'[defaults]\nthreshold = "100"'
refuses "a number where a text belongs" \
    'bad.toml:2:7: limits.cpu is an integer: 1 (write a percentage, such as "1%")' <<<$'[limits]\ncpu = 1'
refuses "a number out of range" 'bad.toml:2:9: limits.loops: 0 is out of range (from 1 to 4096)' <<<$'[limits]\nloops = 0'
refuses "a size that is too small" 'bad.toml:2:10: limits.memory: "1KiB" is too small (at least 32 MiB)' <<<$'[limits]\nmemory = "1KiB"'
refuses "a relative path" 'bad.toml:2:7: paths.run: "run" is no absolute path (begin it with /)' <<<$'[paths]\nrun = "run"'
refuses "a rule without a match" 'bad.toml:1:1: target[0] has no match (All of its conditions must hold.)' <<<'[[target]]'
refuses "a bad pattern" 'bad.toml:2:13: target[0].match.exe: "[a" has a [ without its ] (*, ?, [a-z] and \)' \
    <<<$'[[target]]\nmatch.exe = "[a"'
refuses "a bad expression" \
    'bad.toml:2:17: target[0].match.cmdline: "(" is no regular expression: missing ): ( (the syntax is that of RE2: no back references, no look-around)' \
    <<<$'[[target]]\nmatch.cmdline = "("'
refuses "an unknown sink" 'bad.toml:2:8: "files" is no type of sink (the types are: file)' <<<$'[[sink]]\ntype = "files"'
refuses "a sink without its path" 'bad.toml:1:1: sink[0] has no path (The file; records are appended, an object of JSON a line.)' \
    <<<$'[[sink]]\ntype = "file"'
refuses "a bad condition" 'bad.toml:2:8: dump[0].when: "hold < 2s" is no condition (write "hold > 2s" or "block > 2s")' \
    <<<$'[[dump]]\nwhen = "hold < 2s"'
refuses "a file of suppressions that is not there" \
    '/none/rules: cannot be read: No such file or directory (defaults.suppressions of bad.toml:2:1)' \
    <<<$'[defaults]\nsuppressions = ["/none/rules"]'
refuses "a bad value on the command line" '--set limits.cpu: limits.cpu: "x" is no percentage (write a number and %, such as "1%")' \
    --set limits.cpu=x <<<""
refuses "an unknown key on the command line" '--set limits.cup: "limits.cup" is no key (did you mean limits.cpu?)' --set limits.cup=1% <<<""
LOOPWATCH_LIMITS_CUP=1% refuses "an unknown setting in the environment" \
    'env LOOPWATCH_LIMITS_CUP: is no setting (did you mean LOOPWATCH_LIMITS_CPU?)' <<<""

printf '[limits]\ncpu = 1\nlops = 2\n[[sink]]\n' >several.toml
check_status "several errors" 2 "$loopwatch" config check --config several.toml
check_equal "… are reported at once" 3 "$(grep -c '^several.toml:' stderr)"
head -c 1048577 /dev/zero | tr '\0' '#' >large.toml
check_status "a file of more than 1 MiB" 2 "$loopwatch" config check --config large.toml
check "… is named" grep -qx 'large.toml: is larger than 1 MiB' stderr
printf '[limits]\ncpu = "\e[31m"\n' >escape.toml
check_status "escape sequences" 2 "$loopwatch" config check --config escape.toml
check_not "… do not reach the terminal" grep -q $'\e' stderr
check_status "--set without a value is a usage error" 2 "$loopwatch" config check --set limits.cpu
check_status "config alone is a usage error" 2 "$loopwatch" config
check_status "so is another word" 2 "$loopwatch" config chekc

cat >right.toml <<'TOML'
[limits]
cpu = "2%"
loops = 2
[[target]]
match = {unit = "orders*.service"}
labels = {team = "shop"}
[[sink]]
type = "file"
path = "/var/log/loopwatch.ndjson"
TOML
check_status "a right file" 0 env LOOPWATCH_LIMITS_LOOPS=3 "$loopwatch" config check --config right.toml --set limits.targets=4
for line in 'cpu = "2%" *# right.toml:2:1' 'loops = 3 *# env LOOPWATCH_LIMITS_LOOPS' 'targets = 4 *# --set limits.targets' \
    'memory = "128MiB" *# default' 'labels = {team = "shop"} *# right.toml:6:1'; do
    check "… shows ${line%% \**} with its origin" grep -Eqx "$line" stdout
done
"$loopwatch" config check --config right.toml >effective.toml
"$loopwatch" config check --config effective.toml | sed 's/ *#.*//' >again
check_equal "what it prints is a configuration that means the same" "$(sed 's/ *#.*//' effective.toml)" "$(cat again)"
"$loopwatch" config check --config right.toml --format json >json
check_equal "as JSON too" "2% right.toml:2:1 shop" "$(python3 -c '
import json
all = json.load(open("json"))
print(all["limits"]["cpu"]["value"], all["limits"]["cpu"]["origin"], all["target"][0]["labels"]["value"]["team"])')"
check "the reference lists every key" sh -c '"$1" config reference | grep -q "^| .journal_age. | duration | .\"7d\". |"' - "$loopwatch"
