#!/bin/sh
# Installs what the tests need beyond Python packages, where Debian's apt and its rights are at hand.
set -u

command -v chromium >/dev/null 2>&1 && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "chromium was not found: tests of the pages will be skipped. Install a package named chromium to run them." >&2
    exit 0
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root="sudo -n"
fi
echo "Installing chromium for the tests of the pages"
if ! { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends chromium; } >/tmp/loopfront-apt.log 2>&1; then
    echo "chromium could not be installed (see /tmp/loopfront-apt.log): tests of the pages will be skipped." >&2
fi
exit 0
