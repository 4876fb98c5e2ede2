#!/usr/bin/env bash
# Passes mail through Transom with programs nobody here wrote: swaks, curl, Python's smtplib and Postfix (as the sender and as the next hop); and compares what
# its rules see in hostile messages with what four readers of mail show (readers/).
# Installs what is missing (Debian, as root); everything runs in a temporary directory, on ports of its own. `make interop` builds Transom first.
set -eu
cd "$(dirname "$0")/../.."

testsuite() { find /usr/lib/python3* -path '*test_email/data' -type d 2>/dev/null | head -1; }

missing=
for program in swaks curl postfix python3 node npm perl; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$(testsuite)" ] || missing="$missing testsuite"
perl -MMIME::Parser -e 1 2>/dev/null || missing="$missing libmime-tools-perl"
python3 -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # The package of Python's own tests carries the version in its name.
    suite=$(apt-cache search --names-only '^libpython3\.[0-9]+-testsuite$' | sort -V | tail -1 | cut -d' ' -f1)
    # Without a policy the machine's own Postfix would be started.
    policy=/usr/sbin/policy-rc.d
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap 'rm -f $policy' EXIT; }
    node=
    command -v node >/dev/null && command -v npm >/dev/null || node="nodejs npm"
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends swaks curl postfix python3 python3-venv libmime-tools-perl $node "$suite" >/dev/null
fi

python=target/tools/interop/bin/python
[ -x $python ] && $python -c 'import dkim' 2>/dev/null || {
    python3 -m venv target/tools/interop
    target/tools/interop/bin/pip install --quiet --disable-pip-version-check dkimpy==1.1.8
}
$python -c 'import mailparser' 2>/dev/null || $python -m pip install --quiet --disable-pip-version-check mail-parser==4.8.0
$python -c 'import jsonschema, yaml' 2>/dev/null || $python -m pip install --quiet --disable-pip-version-check jsonschema==4.25.1 PyYAML==6.0.3
npm=target/tools/npm
[ -d $npm/node_modules/mailparser ] && [ -d $npm/node_modules/nodemailer ] ||
    npm install --prefix $npm --no-audit --no-fund --silent mailparser@3.9.1 nodemailer@6.9.16

$python tests/interop/schema.py "${TRANSOM:-target/debug/transom}"
$python tests/interop/readers/compare.py "${TRANSOM:-target/debug/transom}" $npm/node_modules
exec $python tests/interop/run.py "${TRANSOM:-target/debug/transom}" "$(testsuite)"
