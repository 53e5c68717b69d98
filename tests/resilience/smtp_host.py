"""A scripted SMTP submission host: STARTTLS, log-in, and at each step whatever a fault wants.

It takes a mail when the last dot has been read and its plan for `dot` says 2xx, whether or not the client lives to see
the answer: that is what a real host does (RFC 5321 §4.5.3.2.6), and what makes a mail arrive twice.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import replace

from tests.resilience.patience import stretched
from tests.resilience.smtp_conversation import Conversation, Mail, Over, Step, end


class SmtpHost:
    """Use `plan[step] = Step(...)` to misbehave; `well` ends it."""

    def __init__(self, tls: ssl.SSLContext | None, *, implicit_tls: bool = False) -> None:
        self.usual_tls = self.tls = tls
        self.implicit_tls = implicit_tls
        self.plan: dict[str, Step] = {}
        self.taken: list[Mail] = []
        self.seen: dict[str, int] = {}  # how often each step was reached
        self.refusing = False
        self.opened: set[socket.socket] = set()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name="smtp").start()

    def well(self) -> None:
        self.plan, self.tls, self.refusing = {}, self.usual_tls, False

    def copies(self, recipient: str) -> int:
        return sum(mail.recipient == recipient for mail in list(self.taken))

    def mail_to(self, recipient: str, within_s: float = 20.0, number: int = 1) -> Mail | None:
        deadline = time.monotonic() + stretched(within_s)
        while True:
            mine = [mail for mail in list(self.taken) if mail.recipient == recipient]
            if len(mine) >= number:
                return mine[number - 1]
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)

    def hang_up(self) -> None:
        for line in list(self.opened):
            end(line, "reset")

    def discard(self) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()

    # --- the conversation ---------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                line = self._listener.accept()[0]
            except OSError:
                return
            if self.refusing:
                end(line, "reset")
                continue
            threading.Thread(target=self._talk, args=(line,), daemon=True).start()

    def _talk(self, line: socket.socket) -> None:
        try:
            if self.implicit_tls and self.tls:
                line = self.tls.wrap_socket(line, server_side=True)
            self.opened.add(line)
            Conversation(self, line).run()
        except (OSError, Over):
            pass
        finally:
            self.opened.discard(line)
            with suppress(OSError):
                line.close()

    def step(self, name: str) -> Step:
        """What is planned for this step; counts it."""
        self.seen[name] = self.seen.get(name, 0) + 1
        planned = self.plan.get(name)
        if planned is None or planned.times == 0:
            return Step()
        if planned.times > 0:
            self.plan[name] = replace(planned, times=planned.times - 1)
        return planned
