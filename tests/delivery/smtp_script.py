"""A mail host that answers what a test tells it to, on any number of connections, over plain TCP on loopback."""

from __future__ import annotations

import base64
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class SmtpScript:
    """`replies` by verb (`EHLO`, `AUTH`, `MAIL`, `RCPT`, `RSET`), one a command, and 250 after the last; an empty one
    hangs up. `greeting` is waited for before 220, and `before_data` called before 354. `end` is called after each whole
    mail, and its answer sent; an empty one hangs up."""

    features: tuple[str, ...] = ("PIPELINING",)
    replies: dict[str, list[str]] = field(default_factory=dict)
    end: Callable[[], str] = lambda: "250 2.0.0 taken"
    greeting: threading.Event | None = None
    before_data: Callable[[], None] = lambda: None
    port: int = 0
    mails: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    answers_to_auth: list[str] = field(default_factory=list)
    connections: int = 0
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def count(self, verb: str) -> int:
        return sum(command.upper().startswith(verb) for command in self.commands)


class _Conversation(socketserver.StreamRequestHandler):
    server: _Server
    recipient = False

    def handle(self) -> None:
        host = self.server.script
        host.connections += 1
        if host.greeting is not None and not host.greeting.wait(20):
            return
        try:
            self._say("220 scripted")
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                if not self._answer(host, line):
                    return
        except OSError:
            return  # the other side hung up

    def _answer(self, host: SmtpScript, line: str) -> bool:
        host.commands.append(line)
        verb = line[:4].upper()
        planned = host.replies.get(verb)
        if planned:
            reply = planned.pop(0)
            if verb == "AUTH":
                self._note_auth(host, line)
        elif verb == "EHLO":
            reply = "\r\n".join(["250-scripted", *(f"250-{each}" for each in host.features), "250 8BITMIME"])
        elif verb == "DATA" and self.recipient:
            return self._data(host)
        elif verb == "DATA":
            reply = "503 5.5.1 nobody to send to"
        elif verb == "AUTH":
            self._note_auth(host, line)
            reply = "235 2.7.0 fine"
        else:
            reply = "250 2.0.0 fine"
        if verb == "RCPT":
            self.recipient = reply.startswith("2")
        if reply:
            self._say(reply)
        if reply.startswith("334"):
            self._note_auth(host, self.rfile.readline().decode() or "=")
            self._say("235 2.7.0 fine")
        return bool(reply)

    def _data(self, host: SmtpScript) -> bool:
        host.before_data()
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:  # hung up before the dot: there is no mail
                return False
            lines.append(line[1:] if line.startswith(b".") else line)
        host.mails.append(b"".join(lines))
        host.arrived.release()
        reply = host.end()
        if reply:
            self._say(reply)
        return bool(reply)

    def _note_auth(self, host: SmtpScript, line: str) -> None:
        host.answers_to_auth.append(base64.b64decode(line.split()[-1]).decode())

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    script: SmtpScript


@contextmanager
def serving(script: SmtpScript | None = None) -> Iterator[SmtpScript]:
    host = script or SmtpScript()
    with _Server(("127.0.0.1", 0), _Conversation) as server:
        server.script = host
        host.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()
