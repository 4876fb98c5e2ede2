"""A next hop that takes everything and hands it out, to the byte."""

import queue
import re
import socketserver
import threading


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 recorder.example ESMTP\r\n")
        recipients = []
        for line in self.rfile:
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"EHLO":
                self.wfile.write(b"250-recorder.example\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
            elif verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                message = self.data()
                if message is None:
                    return
                self.server.taken.put((recipients, message))
                recipients = []
                self.wfile.write(b"250 2.0.0 taken\r\n")
            elif verb == b"RCPT":
                recipients.append(re.search(rb"<(.*?)>", line)[1].decode())
                self.wfile.write(b"250 2.1.5 ok\r\n")
            elif verb == b"QUIT":
                self.wfile.write(b"221 2.0.0 bye\r\n")
                return
            else:
                self.wfile.write(b"250 2.0.0 ok\r\n")

    def data(self):
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                return b"".join(lines)
            lines.append(re.sub(rb"\A\.", b"", line))
        return None


class Recorder:
    def __init__(self):
        socketserver.ThreadingTCPServer.allow_reuse_address = True
        socketserver.ThreadingTCPServer.daemon_threads = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self.server.taken = queue.Queue()
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self):
        """The next message, in the order they came."""
        return self.wait_mail()[1]

    def wait_mail(self):
        """The recipients of the next message, and the message."""
        try:
            return self.server.taken.get(timeout=60)
        except queue.Empty:
            raise AssertionError("nothing arrived") from None

    def is_empty(self):
        return self.server.taken.empty()
