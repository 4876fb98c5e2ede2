"""A next hop that takes everything and hands it out, to the byte, with the commands it came by."""

import queue
import re
import socketserver
import threading

OFFERED = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8")


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.say("220 recorder.example ESMTP")
        self.start()
        for line in self.rfile:
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"EHLO":
                self.wfile.write(b"".join(f"250-{word}\r\n".encode() for word in ("recorder.example", *self.server.offers)) + b"250 HELP\r\n")
            elif verb == b"DATA":
                self.commands.append("DATA")
                self.say("354 go on")
                message = self.data()
                if message is None:
                    return
                self.take(message)
            elif verb == b"BDAT":
                self.commands.append(line.decode().strip())
                self.chunks += self.rfile.read(int(line.split()[1]))
                if line.split()[-1].upper() == b"LAST":
                    self.take(self.chunks)
                else:
                    self.say("250 2.0.0 chunk")
            elif verb in (b"MAIL", b"RCPT"):
                self.commands.append(line.decode().strip())
                if verb == b"RCPT":
                    self.recipients.append(re.search(rb"<(.*?)>", line)[1].decode())
                self.say("250 2.1.0 ok")
            elif verb == b"QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                if verb == b"RSET":
                    self.start()
                self.say("250 2.0.0 ok")

    def start(self):
        self.recipients, self.commands, self.chunks = [], [], b""

    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def take(self, message):
        self.server.taken.put((self.recipients, message, self.commands))
        self.start()
        self.say("250 2.0.0 taken")

    def data(self):
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(re.sub(rb"\A\.", b"", line))
        return None


class Recorder:
    def __init__(self, offers=OFFERED):
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer.daemon_threads = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self.server.taken, self.server.offers = queue.Queue(), offers
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self):
        """The next message, in the order they came."""
        return self.wait_mail()[1]

    def wait_mail(self):
        """The recipients of the next message, and the message."""
        return self.wait_all()[:2]

    def wait_all(self):
        """Recipients, message, and the commands of its transaction from MAIL on."""
        try:
            return self.server.taken.get(timeout=60)
        except queue.Empty:
            raise AssertionError("nothing arrived") from None

    def is_empty(self):
        return self.server.taken.empty()
