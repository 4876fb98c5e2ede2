"""A Postfix of our own: its configuration, queue and port; the machine's Postfix is not touched."""

import os
import pwd
import shutil
import socket
import subprocess
import time

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
relayhost = [127.0.0.1]:{relay}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_tls_security_level = none
smtpd_relay_restrictions = permit_mynetworks, reject
alias_maps =
alias_database =
local_recipient_maps =
message_size_limit = 50000000
smtp_line_length_limit = 0
"""

MASTER = """127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
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
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, directory, port, relay):
        self.port = port
        self.configuration = directory / "etc"
        for path in (self.configuration, directory / "spool", directory / "data"):
            path.mkdir(parents=True)
        shutil.chown(directory / "data", pwd.getpwnam("postfix").pw_name)
        (self.configuration / "main.cf").write_text(MAIN.format(directory=directory, name=directory.name, relay=relay))
        (self.configuration / "master.cf").write_text(MASTER.format(port=port))
        self.postfix("start")
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise SystemExit(f"Postfix does not listen; see {directory}/log")

    def postfix(self, command):
        environment = dict(os.environ, MAIL_CONFIG=str(self.configuration))
        done = subprocess.run(["/usr/sbin/postfix", "-c", str(self.configuration), command], env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"postfix {command}: {done.stdout}{done.stderr}")

    def stop(self):
        self.postfix("stop")
