"""A Postfix of our own: its configuration, queue and port; the machine's Postfix is not touched."""

import json
import os
import pwd
import re
import shutil
import subprocess
import time

from transom import wait_for_line, wait_for_port

MAIN = """compatibility_level = 3.6
queue_directory = {directory}/spool
data_directory = {directory}/data
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
myhostname = {name}.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
{routing}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, reject
alias_maps =
alias_database =
local_recipient_maps =
message_size_limit = 50000000
smtp_line_length_limit = 0
{more}
"""

SMTPD = "127.0.0.1:{port} inet n - n - - smtpd\n"

MASTER = """pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, directory, port, relay, main="", master=""):
        """`main` is more of main.cf; `master` more of master.cf, and where it has the service `smtp inet` it is the one on `port`."""
        self.port, self.log = port, directory / "log"
        self.configuration = directory / "etc"
        for path in (self.configuration, directory / "spool", directory / "data"):
            path.mkdir(parents=True)
        shutil.chown(directory / "data", pwd.getpwnam("postfix").pw_name)
        routing = "" if re.search(r"(?m)^relayhost", main) else f"relayhost = [127.0.0.1]:{relay}"
        (self.configuration / "main.cf").write_text(MAIN.format(directory=directory, name=directory.name, routing=routing, more=main))
        own, count = re.subn(r"(?m)^smtp +inet", f"127.0.0.1:{port} inet", master)
        (self.configuration / "master.cf").write_text(("" if count else SMTPD.format(port=port)) + MASTER + own)
        self.postfix("start")
        wait_for_port(port, self.log)

    def postfix(self, command):
        environment = dict(os.environ, MAIL_CONFIG=str(self.configuration))
        done = subprocess.run(["/usr/sbin/postfix", "-c", str(self.configuration), command], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"postfix {command}: {done.stdout}{done.stderr}")

    def flush(self):
        """Tries everything in the queue now, as the server would some minutes later."""
        subprocess.run(["/usr/sbin/postqueue", "-c", str(self.configuration), "-f"], check=True)

    def wait_for_log(self, pattern):
        """The first line of the log in which `pattern` is found."""
        return wait_for_line(self.log, pattern)

    def queue(self):
        """The ids of what waits."""
        listed = subprocess.run(["/usr/sbin/postqueue", "-c", str(self.configuration), "-j"], capture_output=True, text=True, check=True)
        return [json.loads(line)["queue_id"] for line in listed.stdout.splitlines()]

    def wait_until_empty(self):
        for _ in range(600):
            if not self.queue():
                return
            time.sleep(0.1)
        raise AssertionError(f"the queue is not empty: {self.queue()}; see {self.log}")

    def stop(self):
        self.postfix("stop")
