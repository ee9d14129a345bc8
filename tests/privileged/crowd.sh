#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# An iteration of many small dispatches, none of them slow, is told as such: for how long, how many there were, whose, and what they did.
# Runs alone: a thread that waits for a CPU is slow too.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_program "$loopwatch" "$fixtures/crowd"

start_fixture crowd "$fixtures/crowd"

# crowd_of NAME LINE: what one iteration of them is told as; its truth in $start_ns and $end_ns.
crowd_of() {
    watch "$1" "$target" --block-threshold 50ms
    ask crowd "$2" '^crowd' || fail "no crowd"
    read -r _ start_ns end_ns <<<"$answer"
    # The iteration ends with the poll that follows.
    wait_until 5 has_lines_ "$1" '"type":"slow_callback"' 1 || true
    end_session
}
told() { has_record "$1" "(lambda s: $2)(of('slow_callback')[0])"; }

for how in "burn cpu burn_a_little" "nap sleep nap_a_little"; do
    read -r what kind function <<<"$how"
    crowd_of "$what" "go $what 60 3000"
    check "60 dispatches of 3 ms ($what) are one finding" has_record "$what" 'len(of("slow_callback")) == 1 and len(of("stall")) == 0'
    check "of an iteration, as long as it was" told "$what" \
        "s['scope'] == 'iteration' and s['origin'] == 'usdt' and s['task'] is None and abs(s['duration_ns'] - ($end_ns - $start_ns)) < 3e6"
    check "with how many they were and whose" told "$what" \
        "60 <= s['dispatches'] <= 64 and all(t['name'] == 'one' for t in s['tasks']) and len(s['tasks']) >= 3"
    check "and what they did" told "$what" \
        "any(x['kind'] == '$kind' and any('$function' in n for n in names(x['stack'])) for x in s['sources']) and sum(s['breakdown'].values()) == s['duration_ns']"
    check "said in words" told "$what" "'dispatches in one go, of one#' in s['verdict']"
done

crowd_of slow_one "go nap 3 120000"
check "where one of them is slow, that is what is told" has_record slow_one \
    'len(of("slow_callback")) == 3 and all(s["scope"] == "dispatch" for s in of("slow_callback"))'

crowd_of quick "go nap 20 2000"
check "an iteration below the threshold is none" has_record quick 'len(of("slow_callback")) == 0'
