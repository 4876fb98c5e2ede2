#!/usr/bin/env bash
# Passes mail through Transom with programs nobody here wrote: swaks, curl, msmtp, nodemailer, openssl and Python's smtplib as clients, Postfix on both sides,
# Exim, OpenSMTPD and Dovecot's LMTP as next hops (docs/interop.md says what each shows); and compares what its rules see in hostile messages with what four readers of mail show (readers/).
# Installs what is missing (Debian, as root); everything runs in a temporary directory, on ports of its own. `make interop` builds Transom first.
set -eu
cd "$(dirname "$0")/../.."

testsuite() { find /usr/lib/python3* -path '*test_email/data' -type d 2>/dev/null | head -1; }

missing=
for program in swaks curl postfix python3 node npm perl msmtp openssl dovecot; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$(testsuite)" ] || missing="$missing testsuite"
[ -e /usr/lib/dovecot/lmtp ] || missing="$missing dovecot-lmtpd"
perl -MIO::Socket::SSL -e 1 2>/dev/null || missing="$missing libio-socket-ssl-perl"
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
    apt-get install -y -qq --no-install-recommends swaks curl postfix python3 python3-venv libmime-tools-perl libio-socket-ssl-perl msmtp openssl dovecot-lmtpd $node "$suite" >/dev/null
fi

# As packages Exim and OpenSMTPD conflict with Postfix; as programs they do not.
peers=target/tools/peers
if [ ! -x $peers/usr/sbin/exim4 ] || [ ! -x $peers/usr/sbin/smtpd ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    mkdir -p $peers/packages
    (cd $peers/packages && apt-get download -qq exim4-daemon-light opensmtpd 2>/dev/null)
    for package in $peers/packages/*.deb; do dpkg -x "$package" $peers; done
    apt-get install -y -qq --no-install-recommends libgnutls-dane0 libidn12 libnsl2 libevent-2.1-7 libdb5.3 >/dev/null
fi
for user in Debian-exim opensmtpd opensmtpq; do
    getent group $user >/dev/null || groupadd --system $user
    id $user >/dev/null 2>&1 || useradd --system --no-create-home --home-dir /var/lib/opensmtpd/empty --shell /usr/sbin/nologin -g $user $user
done
mkdir -p /var/lib/opensmtpd/empty /usr/libexec
# It looks for its helpers there and nowhere else.
[ -e /usr/libexec/opensmtpd ] || ln -s "$PWD/$peers/usr/libexec/opensmtpd" /usr/libexec/opensmtpd

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
exec $python tests/interop/run.py "${TRANSOM:-target/debug/transom}" "$(testsuite)" $peers
