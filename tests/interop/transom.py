"""`transom serve` in a directory of its own."""

import json
import socket
import subprocess
import threading
from pathlib import Path


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Transom:
    def __init__(self, program, directory, next_hop, listener="", rules=""):
        """`listener` is more settings of the listener; `rules` is the text of a rule file."""
        directory.mkdir()
        self.program = Path(program).resolve()
        self.configuration = directory / "transom.yaml"
        self.configuration.write_text(
            f"hostname: filter.example\nlisteners: [{{address: 127.0.0.1:0{listener}}}]\nrelay: {{next_hops: [127.0.0.1:{next_hop}]}}\n"
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
        log = open(directory / "log", "w", encoding="utf-8")
        threading.Thread(target=lambda: [log.write(line) and log.flush() for line in self.child.stderr], daemon=True).start()

    def stop(self):
        self.child.terminate()
        self.child.wait(timeout=60)

    def held(self):
        """What lies in the quarantine."""
        listed = subprocess.run([self.program, "quarantine", "list", "--json", "--config", self.configuration], capture_output=True, text=True, check=True)
        return json.loads(listed.stdout)
