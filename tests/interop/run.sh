#!/usr/bin/env bash
# Passes mail through Transom with programs nobody here wrote: swaks, curl, Python's smtplib and Postfix (as the sender and as the next hop).
# Installs what is missing (Debian, as root); everything runs in a temporary directory, on ports of its own. `make interop` builds Transom first.
set -eu
cd "$(dirname "$0")/../.."

testsuite() { find /usr/lib/python3* -path '*test_email/data' -type d 2>/dev/null | head -1; }

missing=
for program in swaks curl postfix python3; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$(testsuite)" ] || missing="$missing testsuite"
python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # The package of Python's own tests carries the version in its name.
    suite=$(apt-cache search --names-only '^libpython3\.[0-9]+-testsuite$' | sort -V | tail -1 | cut -d' ' -f1)
    # Without a policy the machine's own Postfix would be started.
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap 'rm -f $policy' EXIT; }
    apt-get install -y -qq --no-install-recommends swaks curl postfix python3 python3-venv "$suite" >/dev/null
fi

python=target/tools/interop/bin/python
[ -x $python ] && $python -c 'import dkim' 2>/dev/null || {
    python3 -m venv target/tools/interop
    target/tools/interop/bin/pip install --quiet --disable-pip-version-check dkimpy==1.1.8
}
exec $python tests/interop/run.py "${TRANSOM:-target/debug/transom}" "$(testsuite)"
