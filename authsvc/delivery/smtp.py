"""Mail by SMTP submission (RFC 6409): encrypted, with the host's certificate checked, or not at all.

`smtps://` is TLS from the first byte, `smtp://` is STARTTLS, and required: RFC 8314 §3 and ASVS 12.3.1 know no
fallback. The one exception is a mail catcher on a developer's own machine: in development a loopback host that offers
no STARTTLS is spoken to without it. A certificate that fails its check is never an exception.

What went wrong on the way to the host (network, TLS, log-in, a wrong password too) says nothing about the message, so
it is deferred; after such a failure the host is left alone for a moment, so that a thousand waiting mails don't each
wait for a time-out. What the host says about a message decides: 4xx defers, 5xx refuses. Its words may quote the
address, so the delivery record gets the numbers only: `550 5.1.1`.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from authsvc.delivery.compose import Composer
from authsvc.errors import DeliveryDeferred, DeliveryRefused
from authsvc.model import Message
from authsvc.ports import Clock

ANSWER_S: Final = 5.0  # to connect, and for each answer
SEND_S: Final = 10.0  # one message from start to end: a host that drips its answers can't hold the worker
IDLE_MS: Final = 60_000  # a connection unused for longer is opened anew
MAILS_PER_CONNECTION: Final = 100  # many hosts count, and hang up when it suits them least
PAUSE_MS: Final = 5_000  # how long a host is left alone after it couldn't be reached

SUBMISSION_PORT: Final = 587  # RFC 6409
SUBMISSIONS_PORT: Final = 465  # RFC 8314 §3.3

UNTRACKED: Final[Mapping[str, tuple[str, str]]] = {
    "mailgun.org": ("X-Mailgun-Track", "no"),
    "postmarkapp.com": ("X-PM-TrackLinks", "None"),
    "sendgrid.net": (
        "X-SMTPAPI",
        '{"filters":{"clicktrack":{"settings":{"enable":0}},"opentrack":{"settings":{"enable":0}}}}',
    ),
}
"""Hosts that would rewrite our links to count clicks, and the header that asks each of them not to (ASVS 14.2.3)."""

_ENHANCED: Final = re.compile(rb"[245]\.[0-9]{1,3}\.[0-9]{1,3}\b")  # RFC 3463


@dataclass(frozen=True)
class Host:
    """The next hop, as `AUTHSVC_MAIL_URL` says it."""

    name: str
    port: int
    implicit_tls: bool
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str | None = None

    @classmethod
    def of_url(cls, url: str) -> Host:
        """From a URL that the settings have already checked."""
        parts = urlsplit(url)
        implicit = parts.scheme == "smtps"
        return cls(
            name=parts.hostname or "",
            port=parts.port or (SUBMISSIONS_PORT if implicit else SUBMISSION_PORT),
            implicit_tls=implicit,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            ca=parse_qs(parts.query)["ca"][0] if parts.query else None,
        )

    @property
    def loopback(self) -> bool:
        if self.name == "localhost":
            return True
        try:
            return ip_address(self.name).is_loopback
        except ValueError:
            return False


class EmailSender:
    """Sends over one pooled connection. Calls from several threads take turns."""

    def __init__(
        self,
        host: Host,
        composer: Composer,
        clock: Clock,
        *,
        development: bool = False,
        answer_s: float = ANSWER_S,
        send_s: float = SEND_S,
    ) -> None:
        self._host = host
        self._composer = composer
        self._clock = clock
        self._plain_allowed = development and host.loopback
        self._answer_s = answer_s
        self._send_s = send_s
        self._tls = ssl.create_default_context(cafile=host.ca)
        self._turn = threading.Lock()
        self._connection: smtplib.SMTP | None = None
        self._carried = 0
        self._used_ms = 0
        self._pause_until_ms = 0

    def send(self, message: Message) -> str:
        """The host's answer to the message, in numbers. Raises `DeliveryDeferred`, `DeliveryRefused`."""
        mail = self._composer.compose(message)
        for provider, (name, value) in UNTRACKED.items():
            if self._host.name == provider or self._host.name.endswith(f".{provider}"):
                mail[name] = value
        with self._turn:
            return self._exchange(mail)

    def probe(self) -> None:
        """Connect, encrypt and log in, without sending. Raises `DeliveryDeferred`, whose detail says what failed."""
        with self._turn:
            self._pause_until_ms = 0
            self.close()
            self._connected()

    def close(self) -> None:
        """Hang up. The next message opens a new connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, smtplib.SMTPException):
                connection.close()

    def _exchange(self, mail: EmailMessage) -> str:
        recipient = mail["To"].addresses[0].addr_spec
        connection = self._connected()
        options = []
        if not recipient.isascii():
            if not connection.has_extn("smtputf8"):
                raise DeliveryRefused("the mail host has no SMTPUTF8")
            options = ["SMTPUTF8"]
        try:
            with self._bounded(connection):
                connection.sendmail(self._composer.sender.addr_spec, [recipient], mail.as_bytes(), options)
        except smtplib.SMTPRecipientsRefused as refusal:
            raise self._verdict(*refusal.recipients[recipient]) from None
        except smtplib.SMTPResponseException as refusal:
            raise self._verdict(refusal.smtp_code, refusal.smtp_error) from None
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            raise DeliveryDeferred(f"connection lost: {type(error).__name__}") from None
        self._carried += 1
        self._used_ms = self._clock.now_ms()
        return "250"

    def _verdict(self, code: int, words: bytes | str) -> DeliveryDeferred | DeliveryRefused:
        """What an answer about a message means. The connection is not used again: who knows what state it is in."""
        self.close()
        detail = _numbers(code, words)
        return DeliveryRefused(detail) if 500 <= code <= 599 else DeliveryDeferred(detail)

    def _connected(self) -> smtplib.SMTP:
        """The pooled connection if it is alive, else a new one. Raises `DeliveryDeferred`."""
        now_ms = self._clock.now_ms()
        connection = self._connection
        if connection is not None:
            fresh = now_ms - self._used_ms < IDLE_MS and self._carried < MAILS_PER_CONNECTION
            if fresh and self._alive(connection):
                return connection
            self.close()
        if now_ms < self._pause_until_ms:
            raise DeliveryDeferred("mail host not reachable a moment ago", retry_after_s=PAUSE_MS // 1000)
        try:
            self._connection = self._open()
        except DeliveryDeferred:
            self._pause_until_ms = now_ms + PAUSE_MS
            raise
        self._carried, self._used_ms = 0, now_ms
        return self._connection

    def _alive(self, connection: smtplib.SMTP) -> bool:
        try:
            with self._bounded(connection):
                return connection.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def _open(self) -> smtplib.SMTP:
        # The domain of our sender in EHLO: the machine's own name may tell of the inside, and is slow to find.
        connection = _Submission(self._host, self._composer.sender.domain, self._tls, self._answer_s)
        try:
            with self._bounded(connection):
                self._greet(connection)
        except ssl.SSLCertVerificationError:
            detail = "certificate not trusted"
        except smtplib.SMTPAuthenticationError as refusal:
            detail = f"log-in: {_numbers(refusal.smtp_code, refusal.smtp_error)}"
        except smtplib.SMTPResponseException as refusal:
            detail = _numbers(refusal.smtp_code, refusal.smtp_error)
        except (OSError, smtplib.SMTPException) as error:
            detail = f"not reachable: {type(error).__name__}"
        except DeliveryDeferred as error:
            detail = error.detail
        else:
            return connection
        _cut(connection)
        connection.close()
        raise DeliveryDeferred(detail)

    def _greet(self, connection: smtplib.SMTP) -> None:
        code, words = connection.connect(self._host.name, self._host.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)
        connection.ehlo_or_helo_if_needed()
        if not self._host.implicit_tls:
            if connection.has_extn("starttls"):
                connection.starttls(context=self._tls)
                connection.ehlo_or_helo_if_needed()
            elif not self._plain_allowed:
                raise DeliveryDeferred("no STARTTLS offered")
        if self._host.user:
            connection.login(self._host.user, self._host.password)

    @contextmanager
    def _bounded(self, connection: smtplib.SMTP) -> Iterator[None]:
        """Cuts the connection when the exchange inside takes longer than `send_s`, however lively the host looks."""
        cutter = threading.Timer(self._send_s, _cut, (connection,))
        cutter.daemon = True
        cutter.start()
        try:
            yield
        finally:
            cutter.cancel()


class _Submission(smtplib.SMTP):
    """The library's client, with TLS from the start where asked for, and a socket that `_cut` can find at any time."""

    def __init__(self, host: Host, local_hostname: str, tls: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(local_hostname=local_hostname, timeout=timeout_s)
        self._host = host.name  # whom STARTTLS checks the certificate against
        self._implicit_tls = tls if host.implicit_tls else None

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        made = socket.create_connection((host, port), timeout)
        if self._implicit_tls is not None:
            made = self._implicit_tls.wrap_socket(made, server_hostname=host)
        self.sock = made
        return made


def _cut(connection: smtplib.SMTP) -> None:
    """End the conversation under the library, which then sees a closed connection wherever it is waiting."""
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's own: that one isn't safe between threads


def _numbers(code: int, words: bytes | str) -> str:
    """`550 5.1.1`: the host's answer without its words."""
    found = _ENHANCED.search(words.encode() if isinstance(words, str) else words)
    return f"{code} {found[0].decode()}" if found else str(code)
