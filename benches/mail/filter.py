"""The filter that people write by hand: aiosmtpd takes the mail, the email package changes it, smtplib sends it on before the client hears 250.

    filter.py LISTEN SINK
"""

import asyncio
import email
import email.policy
import re
import smtplib
import sys
from concurrent.futures import ThreadPoolExecutor

from aiosmtpd.smtp import SMTP

LISTEN, SINK = map(int, sys.argv[1:])
POLICY = email.policy.compat32.clone(linesep="\r\n", max_line_length=0)


def change(content):
    message = email.message_from_bytes(content, policy=POLICY)
    message["X-Filtered"] = "yes"
    for name in {name for name in message.keys() if name.lower().startswith("x-remove-")}:
        del message[name]
    subject = message["Subject"] or ""
    if subject.startswith("invoice "):
        message.replace_header("Subject", "[EXT] " + subject)
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            part.set_payload(re.sub("SECRET-[0-9]+", "REDACTED", part.get_payload()))
    return message.as_bytes()


def relay(sender, recipients, content):
    with smtplib.SMTP("127.0.0.1", SINK, local_hostname="filter.example") as next_hop:
        next_hop.sendmail(sender, recipients, change(content))


class Handler:
    def __init__(self):
        self.threads = ThreadPoolExecutor(100)

    async def handle_DATA(self, server, session, envelope):
        work = asyncio.get_running_loop().run_in_executor
        try:
            await work(self.threads, relay, envelope.mail_from, envelope.rcpt_tos, envelope.content)
        except (OSError, smtplib.SMTPException) as error:
            return f"451 4.4.1 {error}"
        return "250 2.0.0 relayed"


async def main():
    handler = Handler()
    factory = lambda: SMTP(handler, hostname="filter.example", data_size_limit=100 << 20)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", LISTEN, backlog=4096)
    await server.serve_forever()


asyncio.run(main())
