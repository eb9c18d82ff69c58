# shellcheck shell=bash
# Sourced by `up` and `down`: where the cluster of this checkout lies, and whether it runs.

STATE=$PWD/.minato
DATA=$STATE/data
LOG=$STATE/minato.log
KUBECONFIG=$STATE/kubeconfig
MINATO=$PWD/target/$TARGET/release/minato
export KUBECONFIG

# The server's process, if it lives. A recycled pid is not taken for it.
server_pid() {
    local pid
    pid=$(cat "$STATE/pid" 2>/dev/null) || return 1
    tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "--data-dir $DATA " && echo "$pid"
}

# Waits until a command succeeds: `eventually SECONDS COMMAND…`. Gives up early when the server is gone.
eventually() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        server_pid >/dev/null || return 1
        ((SECONDS < end)) || return 1
        sleep 0.2
    done
}

# What there is of this cluster on the host, one line each.
leftovers() {
    local id pid
    for pid in /proc/[0-9]*; do
        tr '\0' ' ' 2>/dev/null <"$pid/cmdline" | grep -qF -- "$DATA" && echo "process ${pid#/proc/}"
    done
    awk -v data="$DATA/" 'index($5, data) == 1 { print "mount " $5 }' /proc/self/mountinfo
    id=$(cat "$DATA/cluster-id" 2>/dev/null) || return 0
    find /sys/fs/cgroup -type d -name "minato-$id*" -printf 'cgroup %p\n' 2>/dev/null
    find /sys/class/net -name "mn$id*" -printf 'interface %f\n'
    if command -v nft >/dev/null; then
        nft list tables | grep -F "minato-$id" || true
    fi
}
