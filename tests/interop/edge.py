"""What must survive between two servers: extensions, TLS, logins and who the client is, with servers and clients nobody here wrote."""

import base64
import re
import smtplib
import socket
import ssl
import subprocess
from pathlib import Path

from certificate import Certificate
from dovecot import Dovecot
from exim import Exim
from opensmtpd import OpenSmtpd
from postfix import Postfix
from queues import documented
from recorder import OFFERED, Recorder
from transom import Transom, free_port

SENDER, ANN, BOB, NOBODY = "sender@outside.example", "ann@inside.example", "bob@inside.example", "nobody@inside.example"
USER, PASSWORD = "ann", "open sesame"
WISHES = ("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;first+2Bname@inside.example")


class Site:
    """Everything of one run: servers are stopped in the end, whatever happened."""

    def __init__(self, program, directory, tools, samples):
        self.program, self.directory, self.tools, self.samples = program, directory, tools, samples
        self.running = []
        self.certificate = Certificate(directory / "certificates")

    def add(self, server):
        self.running.append(server)
        return server

    def transom(self, name, next_hop, **settings):
        return self.add(Transom(self.program, self.directory / name, next_hop, **settings))

    def stop(self):
        for server in reversed(self.running):
            server.stop()

    def tls(self, name="localhost", mode="required"):
        """`relay.tls` towards a next hop with our certificate, verified."""
        return f", tls: [{{domain: 127.0.0.1, mode: {mode}, certificates: verify, name: {name}, ca: {self.certificate.authority}}}]"


def send(port, message, recipients=(ANN,), options=(), wishes=(), sender=SENDER):
    """The bytes as they are, by hand: the replies to each RCPT and to the end of the data."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("client.example")
        expect(client.mail(sender, options), 250)
        codes = [client.rcpt(recipient, wishes)[0] for recipient in recipients]
        client.putcmd("data")
        expect(client.getreply(), 354)
        client.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        return codes + [client.getreply()[0]]


def expect(reply, code):
    assert reply[0] == code, reply


def below(message, found):
    """What was sent is there, to the byte, under the fields that servers put on top."""
    assert found.endswith(message), f"not what was sent: {found[-len(message) - 40:]!r}"


def next_hop_takes(site, transom, recorder):
    """Every kind of body arrives at the far end as it was sent."""
    names = ("plain.eml", "dots.eml", "eight-bit-body.eml", "nested-multiparts.eml", "large-attachment.eml")
    for name in names:
        message = (site.samples / name).read_bytes()
        assert send(transom.port, message, options=["BODY=8BITMIME"]) == [250, 250], name
        below(message, recorder.wait())
    return f"{len(names)} messages"


def keeps_dsn(transom, recorder):
    """What the sender asks to be told reaches the far end through both."""
    assert send(transom.port, b"Subject: x\r\n\r\nx\r\n", options=["RET=HDRS", "ENVID=an+2Bid"], wishes=WISHES) == [250, 250]
    _, _, (mail, rcpt, *_) = recorder.wait_all()
    assert "RET=HDRS" in mail and "ENVID=an+2Bid" in mail, mail
    assert all(wish.lower() in rcpt.lower() for wish in WISHES), rcpt


def before_the_queue(site, recorder, check):
    """Postfix shows Transom all that clients say with MAIL and RCPT, whatever Transom announces."""
    for trust in ("", ", trust: {xforward: [127.0.0.1]}"):
        name, back = ("trusted" if trust else "untrusted"), free_port()
        transom = site.transom(f"before-{name}", back, listener=trust)
        master = documented("master.cf, before the queue", transom.port, back)
        edge = site.add(Postfix(site.directory / f"edge-{name}", free_port(), recorder.port, "", master))
        # Only who is trusted need not wait until the server behind has said what it has.
        if not trust:
            assert send(edge.port, b"Subject: x\r\n\r\nx\r\n") == [250, 250]
            recorder.wait()
        check(f"Postfix before the queue, {name}, keeps RET, ENVID, NOTIFY and ORCPT", lambda: keeps_dsn(edge, recorder))


def keeps_smtputf8(transom, recorder):
    """An address and a header beyond ASCII."""
    message = "From: <sender@outside.example>\r\nSubject: grün\r\n\r\nx\r\n".encode()
    with smtplib.SMTP("127.0.0.1", transom.port, timeout=60) as client:
        client.ehlo("client.example")
        client.command_encoding = "utf-8"
        expect(client.mail(SENDER, ["SMTPUTF8", "BODY=8BITMIME"]), 250)
        expect(client.rcpt("grün@inside.example"), 250)
        expect(client.data(message), 250)
    recipients, found, (mail, *_) = recorder.wait_all()
    assert "SMTPUTF8" in mail and recipients == ["grün@inside.example"], (mail, recipients)
    below(message, found)


def without_smtputf8(site):
    """A next hop that has it not: it is not announced, and a client that says it all the same is refused."""
    recorder = Recorder([word for word in OFFERED if word != "SMTPUTF8"])
    transom = site.transom("no-utf8", recorder.port)
    with smtplib.SMTP("127.0.0.1", transom.port, timeout=60) as client:
        client.ehlo("client.example")
        assert not client.has_extn("smtputf8")
        expect(client.docmd("MAIL", f"FROM:<{SENDER}> SMTPUTF8"), 555)


def binary(port, message):
    """BODY=BINARYMIME in two chunks: the reply to MAIL, and to the last chunk if there was one."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("client.example")
        code, _ = client.mail(SENDER, ["BODY=BINARYMIME"])
        if code != 250:
            return [code]
        expect(client.rcpt(ANN), 250)
        half = len(message) // 2
        client.send(b"BDAT %d\r\n" % half + message[:half])
        expect(client.getreply(), 250)
        client.send(b"BDAT %d LAST\r\n" % (len(message) - half) + message[half:])
        return [code, client.getreply()[0]]


def keeps_binary(site):
    message = b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256)) * 40 + b"\n.\n\r\r\n.\r\nend"
    able = Recorder((*OFFERED, "CHUNKING", "BINARYMIME"))
    assert binary(site.transom("binary", able.port).port, message) == [250, 250]
    _, found, commands = able.wait_all()
    below(message, found)
    assert "BODY=BINARYMIME" in commands[0] and commands[-1].startswith("BDAT"), commands
    unable = Recorder((*OFFERED, "CHUNKING"))
    answer = binary(site.transom("no-binary", unable.port).port, message)
    assert answer == [555] and unable.is_empty(), answer


def refused_one(transom, recorder):
    """A recipient that the next hop refuses; the other one's mail arrives."""
    assert send(transom.port, b"Subject: x\r\n\r\nx\r\n", [NOBODY, ANN]) == [550, 250, 250]
    assert recorder.wait_mail()[0] == [ANN]


def by_data(server):
    """Exim marks what came by BDAT with a K."""
    line = server.wait_for_log(r"<= sender@outside\.example .* X=TLS")
    assert " K " not in line, line


def exim(site, recorder, check):
    server = site.add(Exim(site.tools / "usr/sbin/exim4", site.directory / "exim", free_port(), recorder.port, site.certificate))
    transom = site.transom("before-exim", server.port, relay=site.tls())
    check("Exim is the next hop", lambda: next_hop_takes(site, transom, recorder))
    check("… over verified TLS", lambda: re.sub(r".*( X=\S+).*", r"\1", server.wait_for_log(r"<= sender@outside\.example .* X=TLS")))
    check("… behind DATA, for its replies to RCPT and to content are alike", lambda: by_data(server))
    check("… keeps RET, ENVID, NOTIFY and ORCPT", lambda: keeps_dsn(transom, recorder))
    check("… takes SMTPUTF8", lambda: keeps_smtputf8(transom, recorder))
    check("… refuses one of two recipients", lambda: refused_one(transom, recorder))
    wrong = site.transom("before-exim-wrong-name", server.port, relay=site.tls("mx.example"))

    def wrong_name():
        with smtplib.SMTP("127.0.0.1", wrong.port, timeout=60) as client:
            client.ehlo("client.example")
            client.mail(SENDER)
            expect(client.rcpt(ANN), 451)
        wrong.wait_for_log("(?i)certificate")

    check("… gets nothing under a certificate of another name", wrong_name)


def opensmtpd(site, recorder, check):
    server = site.add(OpenSmtpd(site.tools / "usr/sbin/smtpd", site.directory / "opensmtpd", free_port(), recorder.port, site.certificate))
    # The policy is `if_available`: Debian's build ends every handshake with an error of its own (with openssl s_client, too), and mail goes on in clear.
    transom = site.transom("before-opensmtpd", server.port)
    check("OpenSMTPD is the next hop", lambda: next_hop_takes(site, transom, recorder))
    check("… in clear, where its TLS fails and the policy allows it", lambda: server.wait_for_log(r"io-error: error") and transom.wait_for_log("(?i)handshake") and None)
    check("… keeps RET, ENVID, NOTIFY and ORCPT", lambda: keeps_dsn(transom, recorder))


def dovecot(site, check):
    server = site.add(Dovecot(site.directory / "dovecot", free_port(), ["ann", "bob"]))
    message = (site.samples / "eight-bit-body.eml").read_bytes()
    stored = message.replace(b"\r\n", b"\n")
    transom = site.transom("before-dovecot", f"lmtp:127.0.0.1:{server.port}")

    def one_at_a_time():
        assert send(transom.port, message, [ANN, BOB], ["BODY=8BITMIME"]) == [250, 452, 250]
        below(stored, server.wait_mail("ann"))
        assert send(transom.port, message, [BOB], ["BODY=8BITMIME"]) == [250, 250]
        below(stored, server.wait_mail("bob"))

    check("Dovecot is the next hop by LMTP: one recipient at a time from SMTP", one_at_a_time)
    between = site.transom("between-lmtp", f"lmtp:127.0.0.1:{server.port}", listener=", protocol: lmtp")
    sender = site.add(Postfix(site.directory / "lmtp-client", free_port(), 9, f"default_transport = lmtp:inet:127.0.0.1:{between.port}\nrelayhost =\n"))

    def each_its_own():
        send(sender.port, message, [ANN, NOBODY, BOB], ["BODY=8BITMIME"])
        below(stored, server.wait_mail("ann"))
        below(stored, server.wait_mail("bob"))
        sender.wait_for_log(r"to=<nobody@inside\.example>.*status=bounced")
        for name in ("ann", "bob"):
            sender.wait_for_log(rf"to=<{name}@inside\.example>.*status=sent")

    check("Postfix → LMTP → Transom → LMTP → Dovecot: each recipient has its own answer", each_its_own)


def submission(site, recorder, check):
    """Clients that log in over TLS, a Postfix behind that is told over TLS who they are."""
    certificate = site.certificate
    users = site.directory / "users.yaml"
    subprocess.run([site.program, "user", "add", "--users", users, "--password-stdin", USER], input=PASSWORD + "\n", text=True, check=True, capture_output=True)
    behind = site.add(Postfix(
        site.directory / "behind", free_port(), recorder.port,
        f"smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {certificate.certificate}\nsmtpd_tls_key_file = {certificate.key}\n"
        "smtpd_authorized_xforward_hosts = 127.0.0.0/8\nsmtpd_tls_loglevel = 1\nsmtpd_tls_received_header = yes\n"))
    tls = f"tls: {{mode: starttls, certificate: {certificate.certificate}, key: {certificate.key}, required: true}}"
    auth = f"auth: {{users: {users}, mechanisms: [PLAIN, LOGIN, SCRAM-SHA-256], required: true}}"
    transom = site.transom("submission", behind.port, listener=f", {tls}, {auth}", relay=site.tls() + ", identity: xforward, connections: {idle_time: 1s}",
                           more="inside: {domains: [inside.example]}\n")
    message = b"From: <sender@outside.example>\r\nTo: <ann@elsewhere.example>\r\nSubject: hi\r\n\r\nHello.\r\n"
    far = "ann@elsewhere.example"

    def arrives(command=None, text=None, **more):
        if command:
            done = subprocess.run(command, input=text, capture_output=True, timeout=120, **more)
            assert done.returncode == 0, (done.stdout[-600:], done.stderr[-600:])
        recipients, found, _ = recorder.wait_all()
        assert recipients == [far], recipients
        assert re.search(rb"by filter\.example with ESMTPSA ", found), found[:600]
        assert b"Hello.\r\n" in found

    def by_smtplib():
        context = ssl.create_default_context(cafile=certificate.authority)
        with smtplib.SMTP("localhost", transom.port, timeout=60) as client:
            client.starttls(context=context)
            client.login(USER, PASSWORD)
            client.sendmail(SENDER, [far], message)
        arrives()

    check("smtplib logs in over STARTTLS", by_smtplib)
    swaks = ["swaks", "--server", "localhost", "--port", str(transom.port), "--from", SENDER, "--to", far, "--tls", "--tls-ca-path", str(certificate.authority),
             "--tls-verify", "--auth-user", USER, "--auth-password", PASSWORD, "--data", message.decode().replace("\r\n", "\n"), "--timeout", "60"]
    for mechanism in ("PLAIN", "LOGIN"):
        check(f"swaks logs in by {mechanism}", lambda: arrives([*swaks, "--auth", mechanism]))
    # Debian's curl is built without SCRAM.
    for mechanism in ("PLAIN", "LOGIN"):
        check(f"curl logs in by {mechanism}", lambda: arrives(
            ["curl", "--silent", "--show-error", "--ssl-reqd", "--cacert", certificate.authority, "--user", f"{USER}:{PASSWORD}", "--login-options",
             f"AUTH={mechanism}", f"smtp://localhost:{transom.port}/client.example", "--mail-from", SENDER, "--mail-rcpt", far, "--upload-file", "-"], message))
    for mechanism in ("plain", "login", "scram-sha-256"):
        check(f"msmtp logs in by {mechanism}", lambda: arrives(
            ["msmtp", "--host=localhost", f"--port={transom.port}", "--tls=on", "--tls-starttls=on", f"--tls-trust-file={certificate.authority}", f"--auth={mechanism}",
             f"--user={USER}", f"--passwordeval=echo '{PASSWORD}'", f"--from={SENDER}", far], message.replace(b"\r\n", b"\n")))
    check("nodemailer logs in", lambda: arrives(
        ["node", str(Path(__file__).parent / "send_nodemailer.js"), str(transom.port), str(certificate.authority), USER, PASSWORD, SENDER, far]))

    def seen_behind():
        behind.wait_for_log(r"Trusted|Anonymous TLS connection established from")
        return re.sub(r".*?: ", "", behind.wait_for_log(r"orig_client=|client=localhost\[127\.0\.0\.1\].*orig"), count=1)

    check("Postfix behind shows in its log who the client was (XFORWARD)", seen_behind)

    def in_one_write():
        rules = "rules: [{name: moved, when: {body: {contains: Hello}}, then: [recipient.replace: {matches: '@elsewhere', with: '@moved'}]}]\n"
        rewriting = site.transom("rewriting", behind.port, rules=rules, relay=site.tls() + ", connections: {idle_time: 1s}",
                                 more="inside: {domains: [elsewhere.example, moved.example]}\n")
        for _ in range(2):
            assert send(rewriting.port, message, [far]) == [250, 250]
            recipients, found, _ = recorder.wait_all()
            assert recipients == ["ann@moved.example"] and b"Hello." in found, recipients
        # RSET for the recipient as it was, twice; EHLO in clear, in TLS, and behind each message.
        return re.sub(r".*?( ehlo=.*)", r"\1", behind.wait_for_log(r"disconnect from .* ehlo=4 .*mail=4 rcpt=4 bdat=2 rset=2"))

    check("Postfix behind takes a rewritten recipient's message in one write", in_one_write)
    check("Postfix behind is sent content by BDAT", lambda: re.sub(r".*?( ehlo=.*)", r"\1", behind.wait_for_log(r"disconnect from .* bdat=")))

    def by_openssl():
        client = subprocess.Popen(["openssl", "s_client", "-starttls", "smtp", "-connect", f"localhost:{transom.port}", "-CAfile", certificate.authority,
                                   "-verify_return_error", "-crlf", "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        client.stdin.write(b"EHLO client.example\n")
        client.stdin.flush()
        heard = []
        while not heard or heard[-1][3:4] != b" ":
            heard.append(client.stdout.readline())
            assert heard[-1], client.stderr.read()
        client.communicate(b"QUIT\n", timeout=60)
        assert any(re.match(rb"250[- ]AUTH .*PLAIN LOGIN SCRAM-SHA-256", line) for line in heard) and not any(b"STARTTLS" in line for line in heard), heard

    check("openssl s_client sees AUTH under TLS", by_openssl)

    def in_clear():
        with smtplib.SMTP("localhost", transom.port, timeout=60) as client:
            client.ehlo("client.example")
            assert not client.has_extn("auth")
            expect(client.docmd("AUTH", "PLAIN " + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()), 530)
            expect(client.mail(SENDER), 530)

    check("in clear there is no login, and no mail", in_clear)

    def wrong_password():
        with smtplib.SMTP("localhost", transom.port, timeout=60) as client:
            client.starttls(context=ssl.create_default_context(cafile=certificate.authority))
            try:
                client.login(USER, "wrong")
            except smtplib.SMTPAuthenticationError as error:
                assert error.smtp_code == 535, error
            else:
                raise AssertionError("a wrong password was taken")

    check("a wrong password is refused", wrong_password)

    def injected():
        with socket.create_connection(("127.0.0.1", transom.port), timeout=60) as client:
            client.recv(1000)
            client.sendall(b"EHLO client.example\r\n")
            client.recv(4000)
            client.sendall(b"STARTTLS\r\nMAIL FROM:<a@outside.example>\r\n")
            heard = b"".join(iter(lambda: client.recv(1000), b""))
            assert not heard.startswith(b"220"), heard

    check("what is injected behind STARTTLS ends the connection", injected)


def run(program, directory, tools, samples, check):
    """`tools` has the files of Exim's and OpenSMTPD's packages."""
    site = Site(program, directory, tools, samples)
    recorder = Recorder((*OFFERED, "DSN", "ENHANCEDSTATUSCODES"))
    try:
        before_the_queue(site, recorder, check)
        exim(site, recorder, check)
        opensmtpd(site, recorder, check)
        dovecot(site, check)
        submission(site, recorder, check)
        check("without SMTPUTF8 behind it is not announced", lambda: without_smtputf8(site))
        check("a BINARYMIME message arrives whole, or is refused at once", lambda: keeps_binary(site))
    finally:
        site.stop()
