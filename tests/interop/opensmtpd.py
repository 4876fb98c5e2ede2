"""An OpenSMTPD of our own, from its package's files. Its spool has a fixed place, so only one can run at a time."""

import subprocess

from transom import wait_for_line, wait_for_port

CONFIGURATION = """pki open.example cert "{certificate}"
pki open.example key "{key}"
listen on 127.0.0.1 port {port} tls pki open.example hostname open.example
action "relay" relay host smtp+notls://127.0.0.1:{relay}
match from any for any action "relay"
"""


class OpenSmtpd:
    def __init__(self, program, directory, port, relay, certificate):
        self.port, self.log = port, directory / "log"
        directory.mkdir()
        configuration = directory / "smtpd.conf"
        configuration.write_text(CONFIGURATION.format(port=port, relay=relay, certificate=certificate.certificate, key=certificate.key))
        with open(self.log, "w", encoding="utf-8") as log:
            self.child = subprocess.Popen([program, "-d", "-f", configuration], stdout=log, stderr=log)
        wait_for_port(port, self.log)

    def wait_for_log(self, pattern):
        return wait_for_line(self.log, pattern)

    def stop(self):
        self.child.terminate()
        self.child.wait(timeout=60)
