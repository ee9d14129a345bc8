# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# For scripts that look at what a session keeps of targets that have ended: $session is its pid, $neighbour a target that lives on.
# Source after watch.sh.

kept() { /usr/bin/python3 "$root/tests/privileged/lib/kept_state.py" "$session" "$neighbour"; }
# of KEPT EXPRESSION: over what kept() said, as `k`.
of() { /usr/bin/python3 -c 'import json, sys; k = json.loads(sys.argv[1]); print(eval(sys.argv[2]))' "$1" "$2"; }
nothing_kept() {
    local now
    now=$(kept)
    echo "$now"
    [ "$(of "$now" '[k["loops"], k["asked"], k["targets"], k["thrown_objects"]]')" = "[0, 0, 0, 0]" ]
}

# check_as_before WHEN BEFORE AFTER MAPPINGS KIB: two answers of kept(): so many more mappings and KiB at most, and no more of all else.
check_as_before() {
    log "before: $2"
    log "after: $3"
    check_equal "the counters of the filters are as $1" "$(of "$2" 'k["counters"]')" "$(of "$3" 'k["counters"]')"
    # A thread that looks whether a target has new modules has one open.
    check "the session has as many descriptors, but for 3" test "$(of "$3" 'k["descriptors"]')" -le $(($(of "$2" 'k["descriptors"]') + 3))
    check "its mappings are as many, but for $4" test "$(of "$3" 'k["mappings"]')" -lt $(($(of "$2" 'k["mappings"]') + $4))
    check "the session has grown by less than $5 KiB" test "$(of "$3" 'k["rss_kib"]')" -lt $(($(of "$2" 'k["rss_kib"]') + $5))
}
