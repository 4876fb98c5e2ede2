#!/bin/sh
# Installs the servers that `make bench` puts beside Transom, where they are missing and it may (Debian, root); without them it runs without them.
set -eu
PATH=$PATH:/usr/sbin
if command -v haproxy >/dev/null && command -v postfix >/dev/null; then exit 0; fi
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
# Without a policy the machine's own servers would be started.
policy=/usr/sbin/policy-rc.d
[ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap 'rm -f $policy' EXIT; }
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy postfix >/dev/null
