"""Back-channel logout: a client hears from us that a session is over, whatever browser it was in (OpenID Connect
Back-Channel Logout 1.0 §2.5).

One POST with a signed logout token, and only the answer's status counts: 200, or 204 where a framework makes one of an
empty answer, is done; 400 is the client's no, and final (§2.8). Redirects are not followed: the token is for the
registered address alone.

The address comes from an operator's registration, never from a request, so there is no list of forbidden networks:
a portal on the practice's own private network is just where it should be. The certificate is checked against the
system's authorities (OpenSSL's SSL_CERT_FILE names others, for a private one).
"""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import urlencode

from authsvc.delivery.http_sender import BUSY, HttpSender
from authsvc.delivery.https import CALL_S, Poster
from authsvc.model import Message
from authsvc.ports import Clock

FIELDS: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"}


class BackchannelSender:
    """Calls clients; `message.url` is where, `message.token` what it gets. Thread-safe."""

    def __init__(self, clock: Clock, *, tls: ssl.SSLContext | None = None, call_s: float = CALL_S) -> None:
        self._sender = HttpSender(clock, Poster(tls=tls, call_s=call_s), lambda code: code < 500 and code not in BUSY)

    def send(self, message: Message) -> str:
        """The status that the client answered. Raises `DeliveryDeferred`, `DeliveryRefused`."""
        body = urlencode({"logout_token": message.token}).encode()
        return self._sender.deliver(message.url, body, FIELDS, message.before_sending)
