"""What Python's email package shows of messages: a JSON list of base64 on standard input, a list of {names, texts, attachments} on standard output."""

import base64
import email
import email.header
import email.policy
import json
import sys


def text_of(part):
    """As `get_content` gives it; where that fails, what is left is read as most programs do."""
    try:
        return str(part.get_content())
    except (AttributeError, KeyError, LookupError, ValueError):
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(part.get_payload())


def name_of(part):
    """Programs that use the old policy decode encoded words themselves."""
    name = part.get_filename()
    if name and part.policy is email.policy.compat32:
        parts = email.header.decode_header(name)
        name = "".join(text if isinstance(text, str) else text.decode(charset or "ascii", "replace") for text, charset in parts)
    return name


def look(message):
    shown = {"names": [], "texts": [], "attachments": 0}
    for policy in (email.policy.default, email.policy.compat32):
        try:
            parts = list(email.message_from_bytes(message, policy=policy).walk())
        except Exception:  # as below
            continue
        for part in parts:
            try:
                name = name_of(part)
                attached = part.get_content_disposition() == "attachment"
                text = part.get_content_maintype() == "text" and not attached
            except Exception:  # some of its parsers give up with errors of their own: it shows nothing then
                continue
            if name:
                shown["names"].append(name)
            if attached:
                shown["attachments"] += 1
            if text and not part.is_multipart():
                shown["texts"].append(text_of(part))
    return shown


print(json.dumps([look(base64.b64decode(message)) for message in json.load(sys.stdin)]))
