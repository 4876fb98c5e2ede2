"""`transom serve` in a directory of its own."""

import json
import re
import socket
import subprocess
import threading
import time
from pathlib import Path


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_line(log, pattern):
    """The first line of a log in which `pattern` is found; what is asked for must come within a minute."""
    for _ in range(600):
        for line in log.read_text(errors="replace").splitlines() if log.exists() else ():
            if re.search(pattern, line):
                return line
        time.sleep(0.1)
    raise AssertionError(f"no {pattern!r} in {log}")


def wait_for_port(port, log):
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}; see {log}")


class Transom:
    def __init__(self, program, directory, next_hop, listener="", rules="", relay="", more=""):
        """`next_hop` is a port or an address; `listener` and `relay` are more settings of these, `more` of the whole; `rules` is the text of a rule file."""
        directory.mkdir(exist_ok=True)
        self.program = Path(program).resolve()
        self.configuration = directory / "transom.yaml"
        self.configuration.write_text(
            f"hostname: filter.example\nlisteners: [{{address: 127.0.0.1:0{listener}}}]\n"
            f"relay: {{next_hops: ['{f'127.0.0.1:{next_hop}' if isinstance(next_hop, int) else next_hop}']{relay}}}\n{more}"
            + ("chain: [{include: rules.yaml}]\n" if rules else ""))
        if rules:
            (directory / "rules.yaml").write_text(rules)
        self.child = subprocess.Popen([self.program, "serve", "--config", self.configuration], stderr=subprocess.PIPE, text=True)
        self.port, lines = None, []
        for line in self.child.stderr:
            lines.append(line)
            if "listening on " in line:
                self.port = int(line.split("listening on ")[1].split()[0].rsplit(":", 1)[1])
                break
        if self.port is None:
            raise SystemExit("transom did not start:\n" + "".join(lines))
        self.log = directory / "log"
        log = open(self.log, "w", encoding="utf-8")
        log.writelines(lines)
        threading.Thread(target=lambda: [log.write(line) and log.flush() for line in self.child.stderr], daemon=True).start()

    def stop(self):
        self.child.terminate()
        self.child.wait(timeout=60)

    def wait_for_log(self, pattern):
        """The first line of the log in which `pattern` is found."""
        return wait_for_line(self.log, pattern)

    def held(self):
        """What lies in the quarantine."""
        listed = subprocess.run([self.program, "quarantine", "list", "--json", "--config", self.configuration], capture_output=True, text=True, check=True)
        return json.loads(listed.stdout)
