"""A Dovecot of our own that takes mail by LMTP into mailboxes."""

import os
import pwd
import subprocess
import time

from transom import wait_for_line, wait_for_port

CONFIGURATION = """base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
protocols = lmtp
ssl = no
mail_location = maildir:{directory}/mail/%Ln
postmaster_address = postmaster@inside.example
hostname = lmtp.example
first_valid_uid = 1
auth_username_format = %Ln
mail_uid = mail
mail_gid = mail
passdb {{
  driver = passwd-file
  args = {directory}/users
}}
userdb {{
  driver = passwd-file
  args = {directory}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
"""


class Dovecot:
    def __init__(self, directory, port, users):
        self.port, self.log, self.directory = port, directory / "log", directory
        (directory / "mail").mkdir(parents=True)
        mail = pwd.getpwnam("mail")
        os.chown(directory / "mail", mail.pw_uid, mail.pw_gid)
        (directory / "users").write_text("".join(f"{user}::{mail.pw_uid}:{mail.pw_gid}::{directory}/mail/{user}\n" for user in users))
        (directory / "dovecot.conf").write_text(CONFIGURATION.format(directory=directory, port=port))
        subprocess.run(["dovecot", "-c", directory / "dovecot.conf"], check=True)
        wait_for_port(port, self.log)

    def wait_mail(self, user):
        """The only message in a user's box, taken out."""
        box = self.directory / "mail" / user / "new"
        for _ in range(600):
            found = list(box.iterdir()) if box.exists() else []
            if found:
                assert len(found) == 1, f"{len(found)} messages for {user}"
                message = found[0].read_bytes()
                found[0].unlink()
                return message
            time.sleep(0.1)
        raise AssertionError(f"nothing for {user} in {box}")

    def wait_for_log(self, pattern):
        return wait_for_line(self.log, pattern)

    def stop(self):
        subprocess.run(["doveadm", "-c", self.directory / "dovecot.conf", "stop"], check=True)
