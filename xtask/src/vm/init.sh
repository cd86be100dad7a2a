#!/bin/busybox sh
# First process of the machine that `cargo xtask vmtest` boots. What it prints goes to the console, its verdict to the
# second serial port. Every wait has an end: the machine is slow, but it is not stuck.
/bin/busybox mkdir -p /usr/sbin /sbin
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
ip link set lo up

# await WHAT COMMAND...: runs the command until it succeeds
await() {
    what=$1
    shift
    n=0
    until "$@" >/dev/null 2>&1; do
        n=$((n + 1))
        [ $n -lt 300 ] || { echo "vmtest: waited in vain for $what"; return 1; }
        usleep 200000
    done
}
attached() { wget -q -O - http://127.0.0.1:9876/api/status | grep -q '"attached":true'; }
request_is_shown() {
    wget -q -O - 'http://127.0.0.1:9876/api/requests?window=300' >/tmp/requests
    grep -q '"method":"GET"[^}]*"path":"/etc/"[^}]*"status":200' /tmp/requests
}

examine() {
    echo "kernel $(uname -r)"
    for test in /test/*; do
        $test --nocapture || return 1
    done
    apm-agent check || return 1
    python3 -m http.server 8000 --bind 127.0.0.1 >/tmp/server.log 2>&1 &
    await "the server to listen" wget -q -O /dev/null http://127.0.0.1:8000/tmp/ || return 1
    apm-agent --db /tmp/store/apm.db &
    agent=$!
    await "the agent to attach" attached || return 1
    wget -q -O /dev/null http://127.0.0.1:8000/etc/ || return 1
    if ! await "the request to be shown" request_is_shown; then
        cat /tmp/requests
        return 1
    fi
    kill -TERM $agent
    wait $agent || { echo "vmtest: the agent ended with $?"; return 1; }
}

examine
echo "verdict $?" >/dev/ttyS1
poweroff -f
