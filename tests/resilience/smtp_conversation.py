"""One conversation with a mail client, by the plan of its host: RFC 5321 with STARTTLS and AUTH."""

from __future__ import annotations

import base64
import re
import socket
import ssl
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.resilience.smtp_host import SmtpHost

LOGIN, SECRET = "clinic", "mail-secret"
USUAL = {
    "greeting": "220 mail.example ready",
    "ehlo": "250 ok",
    "helo": "250 ok",
    "starttls": "220 go ahead",
    "auth": "235 2.7.0 welcome",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": "354 go on",
    "dot": "250 2.0.0 taken",
    "rset": "250 2.0.0 ok",
    "noop": "250 2.0.0 ok",
    "quit": "221 2.0.0 bye",
}


@dataclass(frozen=True)
class Step:
    """What happens at one step. `end`: "" goes on, "close" or "reset" ends the connection after the answer."""

    answer: str | None = None  # None: the usual one; "": none at all
    delay_s: float = 0.0
    end: str = ""
    drip_s: float = 0.0  # between single bytes of the answer
    times: int = -1  # how often; -1 is always


@dataclass(frozen=True)
class Mail:
    recipient: str
    message_id: str
    content: bytes
    at: float

    @property
    def text(self) -> str:
        return self.content.decode(errors="replace")

    @property
    def code(self) -> str:
        found = re.search(r"^(\d{6})\r?$", self.text, re.MULTILINE)
        return found.group(1) if found else ""

    @property
    def link(self) -> str:
        joined = self.text.replace("=\r\n", "")
        found = re.search(r"https?://[^\s\"<>]+/l/[\w.~-]+", joined)
        return found.group() if found else ""


class Over(Exception):
    pass


class Conversation:
    def __init__(self, host: SmtpHost, line: socket.socket) -> None:
        self.host, self.line, self.rest = host, line, b""
        line.settimeout(120)

    def run(self) -> None:
        self._answer("greeting")
        recipients: list[str] = []
        while (text := self._line()) is not None:
            word, _, rest = text.partition(" ")
            word = word.lower()
            if word in ("ehlo", "helo"):
                self._hello(word)
            elif word == "starttls" and self.host.tls:
                self._answer("starttls")
                self.line = self.host.tls.wrap_socket(self.line, server_side=True)
                self.rest = b""
                self.host.opened.add(self.line)
            elif word == "auth":
                self._auth(rest)
            elif word == "data":
                if self._answer("data").startswith("354"):
                    self._content(recipients)
                recipients = []
            elif word == "rcpt":
                if self._answer("rcpt").startswith("2"):
                    recipients.append(rest.partition("<")[2].rpartition(">")[0])
            elif word in USUAL:
                self._answer(word)
                recipients = [] if word in ("mail", "rset") else recipients
                if word == "quit":
                    return
            else:
                self._say("502 5.5.2 unknown")

    def _hello(self, word: str) -> None:
        step = self.host.plan.get(word)
        if word == "helo" or (step and step.times):
            self._answer(word)
            return
        secure = isinstance(self.line, ssl.SSLSocket)
        offers = ["250-mail.example", "250-SIZE 10000000"]
        offers += ["250-STARTTLS"] if self.host.tls and not secure and "no-starttls" not in self.host.plan else []
        offers += ["250-AUTH PLAIN LOGIN"] if secure else []
        self._say("\r\n".join([*offers, "250 8BITMIME"]))

    def _auth(self, rest: str) -> None:
        mechanism, _, given = rest.partition(" ")
        if mechanism.upper() == "LOGIN":
            self._say("334 VXNlcm5hbWU6")
            user = given or self._line()
            self._say("334 UGFzc3dvcmQ6")
            right = (_decoded(user), _decoded(self._line())) == (LOGIN, SECRET)
        else:
            if not given:
                self._say("334 ")
                given = self._line() or ""
            right = _decoded(given).split("\0")[1:] == [LOGIN, SECRET]
        if right:
            self._answer("auth")
        else:
            self._say("535 5.7.8 wrong")

    def _content(self, recipients: list[str]) -> None:
        content = []
        early = self.host.plan.get("content")
        while (text := self._line()) is not None and text != ".":
            content.append(text[1:] if text.startswith("..") else text)
            if early and len(content) == 3:
                end(self.line, self.host.step("content").end or "reset")
                raise Over
        if text is None:
            return
        planned = self.host.plan.get("dot")
        if planned is None or planned.times == 0 or (planned.answer or "2").startswith("2") or planned.answer == "":
            whole = "\r\n".join(content)
            found = re.search(r"^message-id:\s*(\S+)", whole, re.IGNORECASE | re.MULTILINE)
            for recipient in recipients:
                self.host.taken.append(
                    Mail(recipient, found.group(1) if found else "", whole.encode(), time.monotonic())
                )
        self._answer("dot")

    def _answer(self, name: str) -> str:
        step = self.host.step(name)
        text = USUAL[name] if step.answer is None else step.answer
        if step.delay_s:
            time.sleep(step.delay_s)
        if text:
            self._say(text, step.drip_s)
        if step.end:
            end(self.line, step.end)
            raise Over
        return text

    def _say(self, text: str, drip_s: float = 0.0) -> None:
        data = text.encode() + b"\r\n"
        if not drip_s:
            self.line.sendall(data)
            return
        for place in range(len(data)):
            self.line.sendall(data[place : place + 1])
            time.sleep(drip_s)

    def _line(self) -> str | None:
        while b"\n" not in self.rest:
            chunk = self.line.recv(65536)
            if not chunk:
                return None
            self.rest += chunk
        text, _, self.rest = self.rest.partition(b"\n")
        return text.rstrip(b"\r").decode(errors="replace")


def _decoded(text: str | None) -> str:
    try:
        return base64.b64decode(text or "").decode(errors="replace")
    except ValueError:
        return ""


def end(line: socket.socket, how: str) -> None:
    with suppress(OSError):
        if how == "reset":
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            line.shutdown(socket.SHUT_RDWR)
        line.close()
