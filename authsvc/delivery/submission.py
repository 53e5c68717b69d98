"""One conversation with a mail host (RFC 5321, RFC 6409): the standard library's client, with what it lacks.

- The end of a mail is awaited for minutes (RFC 5321 §4.5.3.2.6): a host that filters or forwards before it answers has
  the mail already, and giving up early makes copies.
- MAIL, RCPT and DATA go out together where the host offers PIPELINING (RFC 2920): two waits a mail instead of four.
- User names and passwords are UTF-8 (RFC 4616), and a token may stand in for the password (XOAUTH2).
- Name look-up and TLS hand-shake have an end too.
"""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Final

from authsvc.delivery import lookup
from authsvc.delivery.deadlines import DEADLINES, cut
from authsvc.delivery.mail_host import Host, Reply, numbers
from authsvc.errors import DeliveryDeferred, descriptors_exhausted

CONNECT_S: Final = 10.0  # from a found address to a connection
GREETING_S: Final = 300.0  # RFC 5321 §4.5.3.2.1
ANSWER_S: Final = 60.0  # to log in: nothing is lost when this is repeated
ENVELOPE_S: Final = 300.0  # MAIL, RCPT and DATA together: some hosts ask the recipient's first (RFC 5321 §4.5.3.2.3)

Token = Callable[[], str]


class Submission(smtplib.SMTP):
    """One connection. For one thread at a time; closed after any error."""

    carried = 0
    used_ms = 0

    def __init__(
        self, host: Host, ehlo: str, tls: ssl.SSLContext, *, plain_allowed: bool, answer_s: float, patience_s: float
    ) -> None:
        super().__init__(local_hostname=ehlo, timeout=max(answer_s, patience_s))
        self.command_encoding = "utf-8"  # RFC 6531; ASCII otherwise
        self._host = host.name  # whom STARTTLS checks the certificate against
        self._next_hop = host
        self._tls = tls
        self._plain_allowed = plain_allowed
        self._answer_s = answer_s
        self._patience_s = patience_s
        self._is_cut_off = False

    def open(self, token: Token | None) -> None:
        """Connect, encrypt, log in. `token` gives an OAuth access token. Raises `DeliveryDeferred`."""
        try:
            self._greet(token)
        except ssl.SSLCertVerificationError:
            detail, cause = "certificate not trusted", "unreachable"
        except smtplib.SMTPAuthenticationError as refusal:
            detail, cause = f"log-in: {numbers(refusal.smtp_code, refusal.smtp_error)}", "login"
        except smtplib.SMTPNotSupportedError:
            detail, cause = "log-in: the host offers none that we know", "login"
        except smtplib.SMTPResponseException as refusal:
            detail, cause = numbers(refusal.smtp_code, refusal.smtp_error), "host"
        except (OSError, smtplib.SMTPException) as error:
            detail = f"not reachable: {self.what_happened(error)}"
            cause = "ours" if descriptors_exhausted(error) else "unreachable"
        except DeliveryDeferred as error:
            detail, cause = error.detail, error.cause
        else:
            return
        self.hang_up()
        raise DeliveryDeferred(detail, cause=cause)

    def _greet(self, token: Token | None) -> None:
        addresses = lookup.RESOLVER.addresses(self._next_hop.name, self._next_hop.port)
        with self._within(CONNECT_S):
            self.sock = lookup.connect(addresses, CONNECT_S)
            self.sock.settimeout(max(self._answer_s, self._patience_s))
            # The dot is a segment of its own: it must not wait for a delayed acknowledgement (RFC 1122 §4.2.3.2).
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._next_hop.implicit_tls:
                # The hand-shake in a step of its own, so that `cut` finds the socket in the middle of it.
                self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._host, do_handshake_on_connect=False)
                self.sock.do_handshake()
        with self._within(min(GREETING_S, self._patience_s)):
            code, words = self.getreply()
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)
        with self._within(self._answer_s):
            self.ehlo_or_helo_if_needed()
            if not self._next_hop.implicit_tls:
                if self.has_extn("starttls"):
                    self.starttls(context=self._tls)
                    self.ehlo_or_helo_if_needed()
                elif not self._plain_allowed:
                    raise DeliveryDeferred("no STARTTLS offered", cause="unreachable")
        # The token may have to be fetched first, which has an end of its own.
        password = token() if token is not None else self._next_hop.password
        if self._next_hop.user:
            with self._within(self._answer_s):
                self._log_in(password, by_token=token is not None)

    def _log_in(self, password: str, *, by_token: bool) -> None:
        """RFC 4954, in UTF-8 (RFC 4616 §2), where the library knows ASCII only. Raises SMTPException."""
        user = self._next_hop.user
        known = {"PLAIN": [f"\0{user}\0{password}"], "LOGIN": [user, password]}
        if by_token:
            # To a refusal with details (334) the client answers with nothing, and gets the refusal itself.
            known = {"XOAUTH2": [f"user={user}\x01auth=Bearer {password}\x01\x01", ""]}
        refusal: smtplib.SMTPException = smtplib.SMTPNotSupportedError()
        offered = str(self.esmtp_features.get("auth", "")).upper().split()
        for mechanism, (first, *rest) in known.items():
            if mechanism not in offered:
                continue
            code, words = self.docmd("AUTH", f"{mechanism} {_base64(first)}")
            for answer in rest:
                if code == 334:
                    code, words = self.docmd(_base64(answer))
            if code == 235:
                return
            refusal = smtplib.SMTPAuthenticationError(code, words)
        raise refusal

    def transmit(
        self,
        sender: str,
        recipient: str,
        content: bytes,
        options: str,
        before_dot: Callable[[], None],
        answer_s: float,
    ) -> Reply:
        """One mail, CRLF at every line's end; the host's last answer to it, which may be a refusal.

        Raises OSError or SMTPException when the connection broke before the host had all of it, and `DeliveryDeferred`
        with cause `in_doubt` when its answer to the whole was lost, and what `before_dot` raises: then the host has
        nothing that it would deliver.
        """
        commands = [f"MAIL FROM:<{sender}>{options}", f"RCPT TO:<{recipient}>", "DATA"]
        with self._within(answer_s):
            refusal = self._pipelined(commands) if self.has_extn("pipelining") else self._one_by_one(commands)
            if refusal is not None:
                return refusal
            # An error here means that the final dot, which goes last, hasn't left.
            self.send(content.replace(b"\r\n.", b"\r\n.."))
            before_dot()
            self.send(b".\r\n")
        try:
            with self._within(self._patience_s):
                reply = Reply("end", *self.getreply())
        except (OSError, smtplib.SMTPException):
            self.hang_up()
            raise DeliveryDeferred("perhaps sent: no answer to the whole mail", cause="in_doubt") from None
        if reply.code < 200:  # no reply that SMTP knows
            self.hang_up()
            raise DeliveryDeferred("perhaps sent: no answer to the whole mail", cause="in_doubt")
        self.carried += 1
        return reply

    def check_sender(self, sender: str) -> Reply:
        """Ask whether we may send as this address; nothing is sent. Raises OSError, SMTPException."""
        with self._within(self._answer_s):
            return Reply("mail", *self.docmd(f"MAIL FROM:<{sender}>"))

    def what_happened(self, error: Exception) -> str:
        """In a word, why an exchange ended early."""
        if isinstance(error, TimeoutError) and error.args[:1] == (lookup.NO_ANSWER,):
            return lookup.NO_ANSWER
        if descriptors_exhausted(error):
            return "this process has no file descriptor left"
        return "no answer in time" if self._is_cut_off or isinstance(error, TimeoutError) else type(error).__name__

    def cut_off(self) -> None:
        """End the exchange that is under way, from another thread."""
        self._is_cut_off = True
        cut(self.sock)

    def hang_up(self) -> None:
        """Without a word: it may be the host's turn to speak."""
        cut(self.sock)
        with suppress(OSError, smtplib.SMTPException):
            self.close()

    def _one_by_one(self, commands: list[str]) -> Reply | None:
        for stage, command in zip(("mail", "rcpt", "data"), commands, strict=True):
            reply = Reply(stage, *self.docmd(command))
            if not reply.positive:
                self._reset()
                return reply
        return None

    def _pipelined(self, commands: list[str]) -> Reply | None:
        self.send("\r\n".join(commands) + "\r\n")
        replies = [Reply(stage, *self.getreply()) for stage in ("mail", "rcpt", "data")]
        refusal = next((reply for reply in replies if not reply.positive), None)
        if refusal is None:
            return None
        if replies[-1].positive:  # it waits for a mail to nobody (RFC 2920 §3.1)
            self.hang_up()
        else:
            self._reset()
        return refusal

    def _reset(self) -> None:
        """After a refusal, ready for the next mail; a host that doesn't play along is left."""
        try:
            done = self.docmd("RSET")[0] == 250
        except (OSError, smtplib.SMTPException):
            done = False
        if not done:
            self.hang_up()

    def _within(self, span_s: float) -> AbstractContextManager[None]:
        return DEADLINES.within(span_s, self.cut_off)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
