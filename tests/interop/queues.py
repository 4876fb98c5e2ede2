"""Postfix before-queue, after-queue and between servers, with the settings that docs/operations.md gives."""

import re
import smtplib
from email import message_from_bytes
from pathlib import Path

from postfix import Postfix
from transom import Transom, free_port

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
SENDER, ANN, BOB, NOBODY = "sender@outside.example", "ann@inside.example", "bob@inside.example", "nobody@inside.example"

RULES = """rules:
  - name: no such box
    at: recipient
    when: {recipient: {address: nobody@inside.example}}
    then: [reject: {code: 550, enhanced: 5.1.1, text: no such box here}]
  - name: a mark for Ann
    when: {recipient: {address: ann@inside.example}}
    then: [header.prepend_text: {name: Subject, text: '[for Ann] '}]
  - name: a mark for Bob
    when: {recipient: {address: bob@inside.example}}
    then: [header.prepend_text: {name: Subject, text: '[for Bob] '}]
  - name: a mail that is refused
    when: {header: {name: X-Refuse}}
    then: [reject: {code: 554, enhanced: 5.7.1, text: forbidden here}]
"""

MESSAGE = b"From: <sender@outside.example>\r\nTo: <ann@inside.example>\r\nSubject: greetings\r\n\r\nHello.\r\n"


def documented(title, transom, back):
    """A block of the page, by its first line, with the ports of this run; `127.0.0.1:0` stands for the ports of others."""
    blocks = re.findall(r"(?ms)^```\n(# .*?)^```$", PAGE.read_text(encoding="utf-8"))
    found = [block for block in blocks if block.splitlines()[0] == f"# {title}"]
    assert len(found) == 1, f"{len(found)} blocks “{title}” in {PAGE}"
    return found[0].replace("10025", str(transom)).replace("10026", str(back))


BOUNCE = (SENDER, "Undelivered Mail Returned to Sender")
ANNS, BOBS = (ANN, "[for Ann] greetings"), (BOB, "[for Bob] greetings")


class Site:
    """A Postfix with Transom at its side, and a Postfix somewhere else that sends to it."""

    def __init__(self, program, directory, recorder, master, main="", listener="", change=lambda text: text):
        self.recorder, back = recorder, free_port()
        directory.mkdir()
        directory.chmod(0o755)
        self.transom = Transom(program, directory / "transom", back, listener, RULES)
        main = change(documented(main, self.transom.port, back)) if main else ""
        self.edge = Postfix(directory / "edge", free_port(), recorder.port, main, documented(master, self.transom.port, back))
        self.outside = Postfix(directory / "outside", free_port(), self.edge.port)

    def stop(self):
        for server in (self.outside, self.edge, self.transom):
            server.stop()

    def send(self, recipients, header=b""):
        with smtplib.SMTP("127.0.0.1", self.outside.port, timeout=60) as client:
            client.sendmail(SENDER, recipients, header + MESSAGE)

    def arrive(self, *expected):
        """Exactly these (recipient, subject) arrive, each once and once through the filter, and nothing is left anywhere."""
        found = []
        while len(found) < len(expected):
            found += self.next()
        assert sorted(found) == sorted(expected), found
        self.outside.wait_until_empty()
        self.edge.wait_until_empty()
        # A bounce of the outside server may have been on its way while the other queue was empty.
        self.outside.wait_until_empty()
        assert self.recorder.is_empty(), f"more than was sent: {self.recorder.wait_mail()}"

    def next(self):
        recipients, message = self.recorder.wait_mail()
        parsed = message_from_bytes(message)
        through = [field for field in parsed.get_all("Received") if "by filter.example" in field]
        # What the server at Transom's side bounces itself is not filtered.
        assert len(through) == 1 or recipients == [SENDER] and not through, f"{len(through)} times through the filter: {message!r}"
        return [(recipient, parsed["Subject"]) for recipient in recipients]


def comes_again(site, server):
    """The second of two classes hears 452 from the filter; `server` comes again for it."""
    site.send([ANN, BOB])
    found = site.next()
    server.wait_for_log(r"to=<(ann|bob)@inside\.example>.*status=deferred.*452.4\.5\.3")
    assert found in ([ANNS], [BOBS]) and site.recorder.is_empty(), found
    server.flush()
    site.arrive(BOBS if found == [ANNS] else ANNS)


def both_at_once(site):
    """With one recipient a delivery nobody comes again."""
    site.send([ANN, BOB])
    site.arrive(ANNS, BOBS)


def one_refused(site, server):
    """A recipient that a rule refuses is refused to `server`, which tells the sender; the other's mail arrives."""
    site.send([ANN, NOBODY])
    line = server.wait_for_log(r"to=<nobody@inside\.example>.*status=bounced")
    assert "550 5.1.1 no such box here" in line, line
    site.arrive(ANNS, BOUNCE)


def refused(site):
    """A mail that a rule refuses is refused to the sender's server."""
    site.send([ANN], b"X-Refuse: yes\r\n")
    line = site.outside.wait_for_log(r"to=<ann@inside\.example>.*status=bounced")
    assert "554 5.7.1 forbidden here" in line, line
    site.arrive(BOUNCE)


def held(site):
    """Behind a queue it is held: nothing bounces."""
    site.send([ANN], b"X-Refuse: yes\r\n")
    site.arrive()
    reasons = [row["reason"] for row in site.transom.held()]
    assert len(reasons) == 1 and "forbidden here" in reasons[0], reasons


def between(program, directory, recorder):
    """A server sends by Transom to another."""
    directory.mkdir()
    directory.chmod(0o755)
    inner = Postfix(directory / "inner", free_port(), recorder.port)
    site = Site.__new__(Site)
    site.recorder, site.edge = recorder, inner
    site.transom = Transom(program, directory / "transom", inner.port, rules=RULES)
    site.outside = Postfix(directory / "outside", free_port(), None, documented("main.cf, between servers", site.transom.port, 0))
    return site


def run(program, directory, recorder, check):
    """Every place with its documented settings; one after the other, for they share the recorder."""
    place = "after the queue"
    sites = {
        "before the queue": lambda at: Site(program, at, recorder, "master.cf, before the queue", listener=", trust: {xforward: [127.0.0.1]}"),
        place: lambda at: Site(program, at, recorder, f"master.cf, {place}", f"main.cf, {place}", ", behind_queue: true"),
        f"{place}, any number of recipients": lambda at: Site(
            program, at, recorder, f"master.cf, {place}", f"main.cf, {place}", ", behind_queue: true",
            lambda text: text.replace("transom_destination_recipient_limit = 1", "")),
        "between servers": lambda at: between(program, at, recorder),
    }
    for number, (name, start) in enumerate(sites.items()):
        site = start(directory / f"site{number}")
        try:
            for test, server in scenarios(name, site):
                title = " ".join(test.__doc__.split()).replace("`server`", "the server before it").rstrip(".")
                check(f"Postfix, {name}: {title}", lambda: test(site, *server))
        finally:
            site.stop()


def scenarios(name, site):
    if name == "after the queue":
        return [(both_at_once, []), (one_refused, [site.edge]), (held, [])]
    if name.startswith("after the queue"):
        return [(comes_again, [site.edge])]
    return [(comes_again, [site.outside]), (one_refused, [site.outside]), (refused, [])]
