#!/bin/sh
# Installs what the tests need beyond Python packages, where Debian's apt and its rights are at hand.
set -u
PATH="$PATH:/usr/sbin:/usr/local/sbin"

missing=""
for need in chromium:chromium sshd:openssh-server adb:adb mksh:mksh toybox:toybox busybox:busybox \
    qemu-aarch64-static:qemu-user-static proot:proot ip:iproute2 iptables:iptables pg_ctlcluster:postgresql; do
    command -v "${need%%:*}" >/dev/null 2>&1 || missing="$missing ${need##*:}"
done
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Not found:$missing. Tests that need them will be skipped; install packages of these names to run them." >&2
    exit 0
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root="sudo -n"
fi
echo "Installing what tests need:$missing"
# shellcheck disable=SC2086 # a list of packages
if ! { $as_root apt-get update -qq && $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >/tmp/loopfront-apt.log 2>&1; then
    echo "Could not be installed:$missing (see /tmp/loopfront-apt.log). Tests that need them will be skipped." >&2
fi
exit 0
