"""What mail-parser (PyPI) shows of messages. Input and output as in read_python.py."""

import base64
import json
import logging
import re
import sys

import mailparser

# What it makes up where a part has no name: a hash or a random number, and the extension of the type.
MADE_UP = re.compile(r"(?:[0-9a-f]{32,64}|[0-9a-f]{8}-[0-9a-f-]{27}|[a-z]{10})(?:\.[a-z0-9]+)?")


def look(message):
    try:
        mail = mailparser.parse_from_bytes(message)
        attachments = mail.attachments
    except Exception:  # it gives up on some of the tricks: it shows nothing then
        return {"names": [], "texts": [], "attachments": 0}
    names = [one["filename"] for one in attachments if one.get("filename") and not MADE_UP.fullmatch(one["filename"])]
    return {"names": names, "texts": [*mail.text_plain, *mail.text_html, *mail.text_not_managed], "attachments": len(attachments)}


logging.disable(logging.CRITICAL)
print(json.dumps([look(base64.b64decode(message)) for message in json.load(sys.stdin)]))
