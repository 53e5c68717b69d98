"""Mail by SMTP submission (RFC 6409): encrypted, with the host's certificate checked, or not at all.

`smtps://` is TLS from the first byte, `smtp://` is STARTTLS, and required: RFC 8314 §3 and ASVS 12.3.1 know no
fallback. The one exception is a mail catcher on a developer's own machine: in development a loopback host that offers
no STARTTLS is spoken to without it. A certificate that fails its check is never an exception.

Connections are kept, one for each mail that is under way. What goes wrong on the way to the host says nothing about the
message, so it is deferred; after such a failure the host is left alone for a moment, so that a thousand waiting mails
don't each wait for a time-out.
"""

from __future__ import annotations

import smtplib
import ssl
import threading
from dataclasses import dataclass
from typing import Final

from authsvc.delivery.compose import Composer
from authsvc.delivery.mail_host import Host
from authsvc.delivery.oauth import AccessToken
from authsvc.delivery.submission import ANSWER_S, ENVELOPE_S, Submission
from authsvc.errors import DeliveryDeferred, DeliveryRefused
from authsvc.model import Message
from authsvc.ports import Clock

PATIENCE_S: Final = 600.0  # for the answer to a whole mail (RFC 5321 §4.5.3.2.6)
REUSED_ANSWER_S: Final = 15.0  # for the envelope on a connection that waited: it may have died without a word
IDLE_MS: Final = 60_000  # a connection unused for longer is opened anew
MAILS_PER_CONNECTION: Final = 100  # many hosts count, and hang up when it suits them least
PAUSE_MS: Final = 5_000  # how long a host is left alone after it couldn't be reached
FEWER_MS: Final = 60_000  # how long no more connections are opened than the host took
TURN_S: Final = 30.0  # how long a mail waits for a connection meanwhile


@dataclass(frozen=True)
class Limit:
    """No more than so many connections until an instant; None: as many as there are threads."""

    connections: int | None
    until_ms: int


class EmailSender:
    """Sends over kept connections, as many as there are threads that call it. Thread-safe."""

    def __init__(
        self,
        host: Host,
        composer: Composer,
        clock: Clock,
        *,
        development: bool = False,
        token: AccessToken | None = None,
        answer_s: float = ANSWER_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._host = host
        self._composer = composer
        self._clock = clock
        self._token = token
        self._plain_allowed = development and host.loopback
        self._answer_s = answer_s
        self._patience_s = patience_s
        self._tls = ssl.create_default_context(cafile=host.ca)
        self._changed = threading.Condition()  # guards what follows
        self._idle: list[Submission] = []
        self._busy: set[Submission] = set()
        self._live = 0  # connections that are open, idle ones included
        self._limit = Limit(None, 0)
        self._pause_until_ms = 0
        self._reached = False
        self._ending = False
        self._first = threading.Lock()  # while it isn't known whether the host can be reached, one thread tries for all

    def send(self, message: Message) -> str:
        """The host's answer to the message, in numbers. Raises `DeliveryDeferred`, `DeliveryRefused`."""
        mail = self._composer.compose(message)
        recipient, content = mail.to.addr_spec, mail.as_bytes(self._host.untracked)
        while True:
            connection, reused = self._take()
            self._busy.add(connection)
            try:
                reply = connection.transmit(
                    self._composer.sender.addr_spec,
                    recipient,
                    content,
                    _options(connection, recipient, content),
                    message.before_sending,
                    REUSED_ANSWER_S if reused else min(ENVELOPE_S, self._patience_s),
                )
            except (OSError, smtplib.SMTPException) as error:
                connection.hang_up()
                if (
                    reused and not self._ending
                ):  # the host had closed it, most likely; the mail hasn't left, so a new one may carry it
                    continue
                raise DeliveryDeferred(
                    f"connection lost: {connection.what_happened(error)}", cause="unreachable"
                ) from None
            except DeliveryDeferred:
                connection.hang_up()  # it may be in the middle of a mail
                raise
            finally:
                self._busy.discard(connection)
                self._give_back(connection)
            if reply.positive:
                return "250"
            if reused and reply.code == 421 and reply.stage == "mail":  # it closes it (RFC 5321 §3.8)
                continue
            raise reply.verdict()

    def probe(self) -> None:
        """Connect, encrypt, log in and ask whether we may send as our sender, without sending. Raises
        `DeliveryDeferred`, whose detail says what failed."""
        connection = self._open()
        try:
            reply = connection.check_sender(self._composer.sender.addr_spec)
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryDeferred(f"connection lost: {connection.what_happened(error)}", cause="unreachable") from None
        finally:
            connection.hang_up()
        if not reply.positive:
            raise reply.verdict()

    def close(self) -> None:
        """Hang up where nothing is under way. The next message opens a new connection."""
        with self._changed:
            while self._idle:
                self._drop(self._idle.pop())

    def cut(self) -> None:
        """End every send that is under way; each raises `DeliveryDeferred`."""
        self._ending = True
        for connection in tuple(self._busy):
            connection.cut_off()

    def _take(self) -> tuple[Submission, bool]:
        """A connection for one mail, and whether it was used before. Raises `DeliveryDeferred`."""
        with self._changed:
            while True:
                now_ms = self._clock.now_ms()
                while self._idle:
                    connection = self._idle.pop()
                    if now_ms - connection.used_ms < IDLE_MS and connection.carried < MAILS_PER_CONNECTION:
                        return connection, True
                    self._drop(connection)
                if self._limit.connections is None or self._live < self._limit.connections:
                    break
                if now_ms >= self._limit.until_ms:
                    self._limit = Limit(None, 0)
                elif not self._changed.wait(TURN_S):
                    raise DeliveryDeferred("no connection was free")
            reached = self._reached
        if reached:
            return self._opened(), False
        with self._first:
            return self._opened(), False

    def _opened(self) -> Submission:
        if self._ending or self._clock.now_ms() < self._pause_until_ms:
            raise DeliveryDeferred(
                "mail host not reachable a moment ago", retry_after_s=PAUSE_MS // 1000, cause="unreachable"
            )
        try:
            connection = self._open()
        except DeliveryDeferred as problem:
            with self._changed:
                if self._live and problem.cause != "unreachable":  # it takes the connections it has, and no more
                    self._limit = Limit(self._live, self._clock.now_ms() + FEWER_MS)
                else:
                    self._pause_until_ms = self._clock.now_ms() + PAUSE_MS
                    self._reached = False
            raise
        with self._changed:
            self._live += 1
            self._reached = True
        return connection

    def _open(self) -> Submission:
        for again in (True, False):
            # The domain of our sender in EHLO: the machine's own name may tell of the inside, and is slow to find.
            connection = Submission(
                self._host,
                self._composer.sender.domain,
                self._tls,
                plain_allowed=self._plain_allowed,
                answer_s=self._answer_s,
                patience_s=self._patience_s,
            )
            try:
                self._busy.add(connection)
                connection.open(self._token)
            except DeliveryDeferred as problem:
                # A token may have been withdrawn before its time: a new one is worth a try.
                if not (again and problem.cause == "login" and self._token and self._token.forget()):
                    raise
            else:
                break
            finally:
                self._busy.discard(connection)
        return connection

    def _give_back(self, connection: Submission) -> None:
        connection.used_ms = self._clock.now_ms()
        with self._changed:
            if connection.sock is None:
                self._live -= 1
            else:
                self._idle.append(connection)
            self._changed.notify()

    def _drop(self, connection: Submission) -> None:
        connection.hang_up()
        self._live -= 1


def _options(connection: Submission, recipient: str, content: bytes) -> str:
    """The parameters of MAIL FROM. Raises `DeliveryRefused` for a mailbox that this host can't take."""
    options = f" SIZE={len(content)}" if connection.has_extn("size") else ""  # RFC 1870
    if recipient.isascii():
        return options
    if not connection.has_extn("smtputf8"):
        raise DeliveryRefused("the mail host has no SMTPUTF8")
    return f"{options} BODY=8BITMIME SMTPUTF8"  # RFC 6531 §3.4
