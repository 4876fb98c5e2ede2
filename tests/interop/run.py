"""Mail through Transom by other people's programs. Usage: run.py TRANSOM DIRECTORY-WITH-PYTHON'S-EMAIL-TEST-DATA PEERS"""

import re
import shutil
import smtplib
import subprocess
import sys
import tempfile
from pathlib import Path

import dkim

import edge
import queues
from postfix import Postfix
from recorder import Recorder
from transom import Transom, free_port

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SENDER, RECIPIENT = "sender@outside.example", "recipient@inside.example"
results = []


def check(name, test):
    """Runs a test, says how it ended, goes on."""
    try:
        told = test()
        results.append(True)
        print(f"ok    {name}{': ' + told if told else ''}", flush=True)
    except Exception as error:  # whatever went wrong: this test failed, the others still run
        results.append(False)
        print(f"FAIL  {name}: {error}", flush=True)


def sample(name):
    return (SAMPLES / name).read_bytes()


def without_received(message):
    """Without the topmost field, which must be Transom's `Received`."""
    assert message.startswith(b"Received: "), f"no Received on top: {message[:80]!r}"
    return re.sub(rb"\AReceived: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", b"", message)


def same(expected, found):
    if expected != found:
        at = next((i for i, (a, b) in enumerate(zip(expected, found)) if a != b), min(len(expected), len(found)))
        raise AssertionError(f"differs at byte {at}: sent {expected[at - 20:at + 40]!r}, arrived {found[at - 20:at + 40]!r}")


def by_smtplib(port, message, sender=SENDER):
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("client.example")
        options = ["BODY=8BITMIME"] if any(byte > 127 for byte in message) else []
        client.sendmail(sender, [RECIPIENT], message, options)


def by_curl(port, message):
    with tempfile.NamedTemporaryFile() as file:
        file.write(message)
        file.flush()
        run("curl", "--silent", "--show-error", "--max-time", "60", f"smtp://127.0.0.1:{port}/client.example", "--mail-from", SENDER,
            "--mail-rcpt", RECIPIENT, "--upload-file", file.name)


def by_swaks(port, message):
    with tempfile.NamedTemporaryFile() as file:
        # swaks reads lines as the system writes them, sends them as SMTP wants them, and ends the last one itself.
        file.write(message.removesuffix(b"\r\n").replace(b"\r\n", b"\n"))
        file.flush()
        run("swaks", "--silent", "2", "--server", "127.0.0.1", "--port", str(port), "--helo", "client.example", "--from", SENDER,
            "--to", RECIPIENT, "--data", "@" + file.name, "--timeout", "60")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stdout[-400:]}{done.stderr[-400:]}"


def verify_dkim(message):
    key = sample("dkim-signed.key.txt").strip()
    assert dkim.verify(message, dnsfunc=lambda name, timeout=5: key), "the DKIM signature does not verify any more"


def arrives(send, port, recorder, name):
    message = sample(name)
    send(port, message)
    same(message, without_received(recorder.wait()))


def signed(port, recorder):
    by_smtplib(port, sample("dkim-signed.eml"), "statements@bank.example")
    verify_dkim(recorder.wait())


def corpus(port, recorder, directory):
    """Every message of Python's own email tests that SMTP can carry."""
    sent, left = 0, []
    for path in sorted(Path(directory).glob("msg_*.txt")):
        message = re.sub(rb"(?<!\r)\n", b"\r\n", path.read_bytes())
        if re.search(rb"\r(?!\n)", message):
            left.append(f"{path.name} (a bare CR)")
            continue
        if not message.endswith(b"\r\n"):
            message += b"\r\n"
        by_wire(port, message)
        try:
            same(message, without_received(recorder.wait()))
        except AssertionError as error:
            raise AssertionError(f"{path.name}: {error}") from error
        sent += 1
    assert sent > 30, f"only {sent} messages found in {directory}"
    return f"{sent} messages" + (f"; not carried by SMTP: {', '.join(left)}" if left else "")


def by_wire(port, message):
    """As smtplib, but the bytes exactly as they are: smtplib would mend line ends."""
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo("client.example")
        options = ["BODY=8BITMIME"] if any(byte > 127 for byte in message) else []
        for code, text in (client.mail(SENDER, options), client.rcpt(RECIPIENT)):
            assert code == 250, (code, text)
        client.putcmd("data")
        code, text = client.getreply()
        assert code == 354, (code, text)
        client.send(re.sub(rb"(?m)^\.", b"..", message) + b".\r\n")
        code, text = client.getreply()
        assert code == 250, (code, text)


def through_postfix(port, recorder, name):
    """swaks or smtplib → Postfix → Transom → Postfix → recorder: both add their own Received, what lies below is as it was."""
    message = sample(name)
    by_smtplib(port, message)
    found = recorder.wait()
    fields = found[: len(found) - len(message)]
    same(message, found[len(fields):])
    count = len(re.findall(rb"(?m)^Received: ", fields))
    assert count == 3, f"{count} Received above the message, not three: {fields!r}"
    if name == "dkim-signed.eml":
        verify_dkim(found)


def main():
    program, data, peers = sys.argv[1:]
    directory = Path(tempfile.mkdtemp(prefix="transom-interop-"))
    directory.chmod(0o755)
    recorder = Recorder()
    running = []
    try:
        transom = Transom(program, directory / "direct", recorder.port)
        running.append(transom)
        for name, send in (("curl", by_curl), ("swaks", by_swaks), ("smtplib", by_smtplib)):
            for file in ("plain.eml", "dots.eml", "eight-bit-body.eml", "nested-multiparts.eml", "large-attachment.eml"):
                if send is by_smtplib or sample(file).isascii():
                    check(f"{name} sends {file}", lambda: arrives(send, transom.port, recorder, file))
        check("a DKIM signature still verifies", lambda: signed(transom.port, recorder))
        check("Python's own email test data arrives byte for byte", lambda: corpus(transom.port, recorder, data))

        inner = Postfix(directory / "next-hop", free_port(), recorder.port)
        running.append(inner)
        middle = Transom(program, directory / "between", inner.port)
        running.append(middle)
        outer = Postfix(directory / "sender", free_port(), middle.port)
        running.append(outer)
        for file in ("plain.eml", "dots.eml", "eight-bit-body.eml", "folded-header.eml", "large-attachment.eml", "dkim-signed.eml"):
            check(f"Postfix sends, Postfix is the next hop: {file}", lambda: through_postfix(outer.port, recorder, file))
        check("swaks through both", lambda: by_swaks(outer.port, sample("plain.eml")) or recorder.wait() and None)
        queues.run(program, directory, recorder, check)
        edge.run(Path(program).resolve(), directory, Path(peers).resolve(), SAMPLES, check)
    finally:
        for server in reversed(running):
            server.stop()
        if all(results):
            shutil.rmtree(directory, ignore_errors=True)
        else:
            print(f"logs are in {directory}")
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    sys.exit(0 if results and all(results) else 1)


if __name__ == "__main__":
    main()
