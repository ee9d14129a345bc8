# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Configures and builds, each step named with its duration. For scripts/test, scripts/demo and scripts/bench; needs log.sh.

# step WHAT LOG COMMAND…: runs it with its output in the file LOG; says what runs, and how long it took. On a terminal the line is
# kept up to date with the last line of the log.
step() {
    local what=$1 file=$2 began=$SECONDS status=0 pid
    shift 2
    mkdir -p "$(dirname "$file")" 2>/dev/null && : >"$file" 2>/dev/null ||
        die "cannot write $file: $(df -h "$(dirname "$file")" 2>/dev/null | awk 'NR == 2 { print $4 " free on " $6 }')" "free some space, or choose another folder with --build-dir"
    "$@" >"$file" 2>&1 &
    pid=$!
    if [ -t 2 ]; then
        while kill -0 "$pid" 2>/dev/null; do
            printf '\r\033[K%s: %s s  %s' "$what" $((SECONDS - began)) "$(tail -n 1 "$file" | cut -c 1-80)" >&2
            sleep 0.5
        done
        printf '\r\033[K' >&2
    else
        log "$what …"
    fi
    wait "$pid" || status=$?
    [ "$status" -ne 0 ] || log "$what: $((SECONDS - began)) s"
    return "$status"
}

# configure_and_build SOURCE BUILD OPTIONS [TARGET…]: everything, or these. OPTIONS are cmake's, in one word; a folder that is configured
# keeps its generator and its other options.
configure_and_build() {
    local source=$1 build=$2 options=$3 generator=()
    shift 3
    if [ ! -e "$build/CMakeCache.txt" ] && command -v ninja >/dev/null; then generator=(-G Ninja); fi
    # shellcheck disable=SC2086
    step "configuring $build" "$build/test-logs/configure.log" cmake -S "$source" -B "$build" "${generator[@]}" $options ||
        give_up_ "configure" "$build"
    step "building $build" "$build/test-logs/build.log" cmake --build "$build" --parallel "$(nproc)" ${1:+--target "$@"} || give_up_ "build" "$build"
}

# give_up_ WHAT BUILD: shows the log; the last lines say why, if it is one of the usual reasons.
give_up_() {
    local file=$2/test-logs/$1.log why="its output is above" hint=""
    cat "$file" >&2
    if grep -q 'No space left on device' "$file"; then
        why="no space left on device" hint="free some space, or choose another folder with --build-dir"
    elif grep -qE 'CMakeCache.txt directory .* is different|does not match the source|does not match the generator' "$file"; then
        why="$2 was configured for another source tree or generator" hint="choose another folder with --build-dir, or remove this one if it is yours"
    elif grep -qE 'Could not find|Could NOT find|not found' "$file" && [ "$1" = configure ]; then
        why="a library or tool is missing" hint="scripts/setup"
    fi
    die "cannot $1: $why" "$hint"
}
