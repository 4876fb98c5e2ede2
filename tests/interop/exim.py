"""An Exim of our own, from its package's files: it conflicts with Postfix as a package, not as a program."""

import os
import pwd
import shutil
import signal
import subprocess

from transom import wait_for_line, wait_for_port

CONFIGURATION = """primary_hostname = exim.example
exim_path = {program}
deliver_drop_privilege = true
spool_directory = {directory}/spool
log_file_path = {directory}/%slog
pid_file_path = {directory}/pid
log_selector = +smtp_protocol_error +smtp_syntax_error +received_recipients
keep_environment =
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
exim_user = Debian-exim
exim_group = Debian-exim
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
chunking_advertise_hosts = *
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
message_size_limit = 50M
host_lookup =
rfc1413_query_timeout = 0s
acl_smtp_rcpt = take
acl_smtp_data = take
begin acl
take:
  deny
    condition = ${{if eq{{$local_part}}{{nobody}}}}
    message = no such box here
  accept
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.1::{relay}
  self = send
  transport = out
begin transports
out:
  driver = smtp
  allow_localhost
  hosts_avoid_tls = *
  message_linelength_limit = 100000
begin retry
* * F,1h,1m
"""


class Exim:
    def __init__(self, program, directory, port, relay, certificate):
        self.port, self.log, self.directory = port, directory / "mainlog", directory
        spool = directory / "spool"
        spool.mkdir(parents=True)
        configuration = directory / "exim.conf"
        key = directory / "key.pem"
        shutil.copy(certificate.key, key)
        configuration.write_text(
            CONFIGURATION.format(program=program, directory=directory, port=port, relay=relay, certificate=certificate.certificate, key=key))
        user = pwd.getpwnam("Debian-exim")
        for path in (directory, spool, key):
            os.chown(path, user.pw_uid, user.pw_gid)
        subprocess.run([program, "-C", configuration, "-bd", "-q1m"], check=True)
        wait_for_port(port, self.log)

    def wait_for_log(self, pattern):
        return wait_for_line(self.log, pattern)

    def stop(self):
        os.kill(int((self.directory / "pid").read_text()), signal.SIGTERM)
