#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# packaging/: systemd reads the unit and its drop-ins without complaint and rates their exposure; users and folders are made as the unit
# needs them; unit, image and DaemonSet grant the same capabilities; the manifests are valid and their overlays refer to what exists.
# Runs beside others: it reads files.
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/test.sh"
need_command systemd-analyze systemd-sysusers systemd-tmpfiles /usr/bin/python3
need_program "$build/bin/loopwatch"
systemd=$root/packaging/systemd

# --- the unit ---
# exposure_at_most TENTHS [DROP_IN…]: systemd-analyze rates one file, so that drop-ins are appended.
exposure_at_most() {
    local most=$1
    shift
    mkdir -p "$work/rated" && cat "$systemd/loopwatch.service" "${@/#/$systemd/examples/}" >"$work/rated/loopwatch.service" &&
        systemd-analyze security --offline=true --no-pager --threshold="$most" "$work/rated/loopwatch.service"
}
check "the unit's exposure is 2.8 at most" exposure_at_most 28
check "2.4 with minimal.conf" exposure_at_most 24 minimal.conf
check "and 3.1 with sys-admin.conf" exposure_at_most 31 sys-admin.conf

# verified [DROP_IN]: with this build's program, as the one of the unit is not installed.
verified() {
    local units=$work/units
    rm -rf "$units" && mkdir -p "$units/loopwatch.service.d" &&
        sed "s|/usr/bin/loopwatch|$build/bin/loopwatch|" "$systemd/loopwatch.service" >"$units/loopwatch.service" || return 1
    [ $# -eq 0 ] || cp "$systemd/examples/$1" "$units/loopwatch.service.d/" || return 1
    SYSTEMD_UNIT_PATH="$units:" systemd-analyze verify --man=no loopwatch.service >"$work/verify" 2>&1
    local status=$?
    # Units of this machine may have faults of their own.
    ! grep -E 'loopwatch' "$work/verify" && [ "$status" -eq 0 ]
}
check "systemd reads the unit without a complaint" verified
for drop_in in "$systemd"/examples/*.conf; do
    check "and with $(basename "$drop_in")" verified "$(basename "$drop_in")"
done

# --- users and folders ---
mkdir -p "$work/system/etc"
check "its user and group are made" systemd-sysusers --root="$work/system" "$systemd/loopwatch.sysusers"
check_equal "with no shell" loopwatch:/var/lib/loopwatch:/usr/sbin/nologin "$(awk -F: '$1 == "loopwatch" { print $1 ":" $6 ":" $7 }' "$work/system/etc/passwd")"
check "and a group of that name" grep -q '^loopwatch:' "$work/system/etc/group"
if is_root; then
    folders_() {
        systemd-tmpfiles --create --root="$work/system" "$systemd/loopwatch.tmpfiles" &&
            (cd "$work/system" && stat -c '%a %u %n' run/loopwatch var/lib/loopwatch var/log/loopwatch etc/loopwatch)
    }
    uid=$(awk -F: '$1 == "loopwatch" { print $3 }' "$work/system/etc/passwd")
    check_equal "its folders are made, and the configuration is root's" \
        "755 $uid run/loopwatch 750 $uid var/lib/loopwatch 750 $uid var/log/loopwatch 755 0 etc/loopwatch" "$(folders_ | xargs)"
else
    skip_check "its folders are made" "needs root"
fi
if command -v logrotate >/dev/null; then
    check "logrotate reads its file" logrotate --debug --state "$work/logrotate.state" "$root/packaging/logrotate/loopwatch"
else
    skip_check "logrotate reads its file" "logrotate is not installed"
fi
check_equal "the sysctl example sets one value" "kernel.perf_event_paranoid = 2" "$(grep -vE '^(#|$)' "$root/packaging/sysctl/99-perf.conf")"

# --- the image and Kubernetes ---
check "the image's packages are those of the libraries of the program" sh -c '"$1" "$2" | grep -qx libbpf1' - "$root/packaging/container/libraries" "$build/bin/loopwatch"
manifests() { /usr/bin/python3 "$root/tests/contract/lib/manifests.py" "$@"; }
check "the manifests are YAML, and overlays refer to what exists" manifests structure "$root/packaging/kubernetes"
check "the DaemonSet has the rights that it needs and no others" manifests rights "$root/packaging/kubernetes/base/daemonset.yaml"
check "unit, image and DaemonSet grant the same capabilities" manifests capabilities "$root/packaging"
if kubectl kustomize --help >/dev/null 2>&1; then
    for folder in "$root"/packaging/kubernetes/{base,overlays/*}; do
        rendered() { kubectl kustomize "$folder" >"$work/rendered.yaml" && manifests rendered "$work/rendered.yaml"; }
        check "kustomize renders $(basename "$folder")" rendered
    done
else
    skip_check "kustomize renders base and overlays" "kubectl is not installed"
fi
