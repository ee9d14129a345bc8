#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Targets that replace themselves by execve(2): of each image every stall is reported, with its stack, from its first on.
# Runs alone: it judges durations.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
. "$root/tests/privileged/lib/watch.sh"
need_bpf
need_command mkfifo setarch
need_program "$loopwatch" "$fixtures/reexec" "$fixtures/reexec_plain"
images=3 stalls=2
all=$((images * stalls))

# replaces NAME COMMAND…: a session that watches a program through its images.
replaces() {
    local name=$1
    start_fixture "$name" "${@:2}" $stalls $images
    watch "$name-report" "$target"
    ask "$name" go '^done' 20 || fail "$name: not done"
    end_session
    check_equal "$name: each image of the process has its target_start" $images "$(records "$name-report" 'len(of("target_start"))')"
    check_equal "$name: and all but the last end by exec" "$(printf 'exec %.0s' $(seq 2 $images))detached" \
        "$(records "$name-report" '" ".join(x["reason"] for x in of("target_end"))')"
    # As blocking calls: the dispatch of an image's last stall does not return.
    check_equal "$name: all stalls of all images are reported, with their stacks" $all \
        "$(records "$name-report" 'len([x for x in of("blocking_call") if 119e6 < x["duration_ns"] < 140e6 and any("sleep_too_long" in n for n in names(x["stack"]))])')"
    check "$name: no slot of an image that is gone was read: $(records "$name-report" 'r[-1]["lost"]["slot_unreadable"]')" \
        has_record "$name-report" 'r[-1]["lost"]["slot_unreadable"] <= 4'
    stop "$target" KILL
}

replaces main "$fixtures/reexec" main
replaces thread "$fixtures/reexec" thread
replaces plain "$fixtures/reexec_plain" main
replaces plain-thread "$fixtures/reexec_plain" thread
# The same addresses in each image: where it waits has been asked about before.
replaces fixed setarch --addr-no-randomize "$fixtures/reexec_plain" main
