"""Back-channel logout: a client hears from us that a session is over, whatever browser it was in (OpenID Connect
Back-Channel Logout 1.0 §2.5).

One POST with a signed logout token, and only the answer's status counts: 200, or 204 where a framework makes one of an
empty answer, is done; 400 is the client's no, and final (§2.8). Redirects are not followed: the token is for the
registered address alone.

The address comes from an operator's registration, never from a request, so there is no list of forbidden networks:
a portal on the practice's own private network is just where it should be. The certificate is checked against the
system's authorities (OpenSSL's SSL_CERT_FILE names others, for a private one).

A client that hangs costs five seconds, then it is left alone for half a minute: with a hundred logouts waiting for it,
those for the other clients still leave in between.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from authsvc.errors import DeliveryDeferred, DeliveryRefused
from authsvc.model import Message
from authsvc.ports import Clock

CALL_S: Final = 5.0  # one call, from a found address to the answer's status, however lively the client drips
PAUSE_MS: Final = 30_000  # how long a client is left alone after a call that failed

BUSY: Final = frozenset({408, 425, 429})  # of 4xx those that mean "later" (RFC 9110, RFC 8470, RFC 6585)


class BackchannelSender:
    """Calls clients; `message.url` is where, `message.token` what it is told. For one thread."""

    def __init__(self, clock: Clock, *, tls: ssl.SSLContext | None = None, call_s: float = CALL_S) -> None:
        self._clock = clock
        self._tls = tls or ssl.create_default_context()
        self._call_s = call_s
        self._pauses: dict[str, int] = {}  # address: until when; no more of them than clients

    def send(self, message: Message) -> str:
        """The status that the client answered. Raises `DeliveryDeferred`, `DeliveryRefused`."""
        left_ms = self._pauses.get(message.url, 0) - self._clock.now_ms()
        if left_ms > 0:
            raise DeliveryDeferred("not reachable a moment ago", retry_after_s=-(-left_ms // 1000))
        try:
            status = self._post(message.url, message.token)
        except ssl.SSLCertVerificationError:
            trouble = "certificate not trusted"
        except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: a name that can't be looked up
            trouble = f"not reachable: {type(error).__name__}"
        else:
            if 200 <= status <= 299:
                return str(status)
            if status < 500 and status not in BUSY:
                raise DeliveryRefused(str(status))
            trouble = str(status)
        self._pauses[message.url] = self._clock.now_ms() + PAUSE_MS
        raise DeliveryDeferred(trouble)

    def _post(self, url: str, token: str) -> int:
        parts = urlsplit(url)
        call = _Call(parts.hostname or "", parts.port, self._tls if parts.scheme == "https" else None, self._call_s)
        try:
            call.request(
                "POST",
                (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                body=urlencode({"logout_token": token}),
                headers={
                    "Host": parts.netloc,
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "*/*",
                    "Connection": "close",
                },
            )
            # What else the client says is not read: the status is all that there is to know.
            with call.getresponse() as answer:
                status = answer.status
        except (OSError, HTTPException):
            if not call.cut_off:
                raise
        finally:
            call.close()
        if call.cut_off:  # the library takes half an answer for a whole one
            raise TimeoutError
        return status


class _Call(HTTPConnection):
    """The library's client, with an end to the whole of a call, where the library only bounds each wait.

    Looking up the name is left to the system's resolver and its own time limits: it delays other logouts, never a code.
    """

    def __init__(self, host: str, port: int | None, tls: ssl.SSLContext | None, call_s: float) -> None:
        super().__init__(host, port or (443 if tls else 80), timeout=call_s)
        self._tls_context = tls
        self._call_s = call_s
        self._cutter = threading.Timer(call_s, self._cut)
        self._cutter.daemon = True
        self.cut_off = False

    def connect(self) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        self._cutter.start()
        self.sock = self._reached([address[:2] for *_, address in found])
        if self._tls_context is not None:
            # The hand-shake in a step of its own, so that `_cut` finds the socket in the middle of it.
            self.sock = self._tls_context.wrap_socket(
                self.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            self.sock.do_handshake()

    def close(self) -> None:
        self._cutter.cancel()
        super().close()

    def _reached(self, addresses: list[Any]) -> socket.socket:
        """A connection to the first address that takes it. Each gets half of what time is left, so that there is some
        for the next one and for the call itself."""
        ends_s = time.monotonic() + self._call_s
        trouble = OSError()
        for address in addresses:
            try:
                made = socket.create_connection(address, max((ends_s - time.monotonic()) / 2, 0.01))
            except OSError as error:
                trouble = error
            else:
                made.settimeout(self._call_s)
                return made
        raise trouble

    def _cut(self) -> None:
        """End the call under the library, which then sees a closed connection wherever it is waiting."""
        self.cut_off = True
        if self.sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # not SSLSocket's own: unsafe between threads
