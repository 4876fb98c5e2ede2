"""Messages as honest programs write them: the names, texts and charsets of `CASES`, written by Python's email package (both policies), npm's nodemailer and Perl's
MIME-tools. Nothing in them may raise a flag, and each name must be seen as it was given."""

import base64
import email
import email.policy
import json
import subprocess
import sys
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

HERE = Path(__file__).resolve().parent

NAMES = [
    "report.pdf", "my report.pdf", "report (1).pdf", "copy(1).pdf", "a;b.txt", "a,b.txt", "a=b.txt", "50%.txt", "100%25.txt", "it's.txt", 'say "hi".txt',
    "C#.txt", "a&b.txt", "a+b.txt", "[x] y.txt", "{x}.txt", "x@y.txt", "~x.txt", "no extension", ".profile", "two.dots.tar.gz", "Grüße.pdf", "naïve café.docx",
    "résumé – final.odt", "Ελλάδα.txt", "отчёт за март.xlsx", "日本語のファイル.zip", "한국어.hwp", "العربية.doc", "emoji 😀.png", "a" * 100 + ".txt",
    "ä" * 60 + ".txt", "日本語" * 20 + ".pdf", "Rechnung Nr. 4711 vom 02.03.2026 (Kopie für Ihre Unterlagen, bitte nicht löschen).pdf", "a\\b.txt", "under_score-dash.txt",
]
TEXTS = [
    ("plain", "Hello,\n\nthis is a text.\n-- \nAnna\n"),
    ("umlauts", "Grüße aus Köln\n.\nFrom here on it is short\n"),
    ("japanese", "こんにちは、世界\n"),
    ("long lines", "word " * 400 + "\n"),
    ("dashes", "--\n--x\n--- original message ---\nbegin at the beginning\n=20 =\n"),
    ("emoji", "😀 fine\n"),
]
HTML = "<html><head><meta charset='utf-8'></head><body><p>Grüße &amp; more</p></body></html>\n"


def headed(message):
    message["From"] = "Jürgen Müller <juergen@outside.example>"
    message["To"] = "b@inside.example"
    message["Subject"] = "Grüße und ein sehr langer Betreff, der gefaltet werden muss, weil er in keine Zeile passt – wirklich"
    message["Date"] = "Mon, 2 Mar 2026 10:00:00 +0000"
    message["Message-ID"] = "<t@outside.example>"
    return message


def python_new():
    """`EmailMessage`, as programs of today write."""
    for name in NAMES:
        message = headed(EmailMessage())
        message.set_content("text\n")
        message.add_attachment(b"content", maintype="application", subtype="octet-stream", filename=name)
        yield name, message.as_bytes(policy=email.policy.SMTP)
    for _, text in TEXTS:
        for charset in ("utf-8", "iso-8859-1", "iso-2022-jp"):
            try:
                text.encode(charset)
            except UnicodeEncodeError:
                continue
            message = headed(EmailMessage())
            message.set_content(text, charset=charset)
            message.add_alternative(HTML, subtype="html")
            message.get_payload()[1].add_related(b"GIF89a", "image", "gif", cid="<x@y>")
            yield None, message.as_bytes(policy=email.policy.SMTP)
    inner = headed(EmailMessage())
    inner.set_content("inside\n")
    message = headed(EmailMessage())
    message.set_content("outside\n")
    message.add_attachment(inner)
    yield None, message.as_bytes(policy=email.policy.SMTP)


def python_old():
    """`MIMEMultipart`, as programs of the last twenty years write."""
    for name in NAMES:
        message = headed(MIMEMultipart())
        message.attach(MIMEText("text\n", "plain", "utf-8"))
        part = MIMEApplication(b"content", Name=name)
        part.add_header("Content-Disposition", "attachment", filename=name if name.isascii() else ("utf-8", "", name))
        message.attach(part)
        yield name, message.as_bytes(policy=email.policy.compat32.clone(linesep="\r\n"))
    report = headed(MIMEMultipart("report", report_type="delivery-status"))
    report.attach(MIMEText("It failed.\n"))
    status = email.message_from_string(
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; a.example\n\nFinal-Recipient: rfc822; b@inside.example\nAction: failed\nStatus: 5.1.1\n")
    report.attach(status)
    report.attach(MIMEMessage(headed(MIMEText("the message\n"))))
    yield None, report.as_bytes(policy=email.policy.compat32.clone(linesep="\r\n"))


def by_program(command):
    """Programs that take a JSON list of names on standard input and give a list of messages in base64."""
    done = subprocess.run(command, input=json.dumps(NAMES), capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    for name, message in zip(NAMES, json.loads(done.stdout)):
        yield name, base64.b64decode(message)


def honest(modules):
    """(who wrote it, the name it was given, the message)"""
    writers = {
        "python": python_new(),
        "python, old": python_old(),
        "nodemailer": by_program(["node", HERE / "write_nodemailer.js", modules / "nodemailer"]),
        "mime-tools": by_program(["perl", HERE / "write_mime_tools.pl"]),
    }
    return [(writer, name, message) for writer, messages in writers.items() for name, message in messages]
