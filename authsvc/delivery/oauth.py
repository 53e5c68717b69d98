"""Access tokens for the mail host, where it takes no password (Microsoft 365): client credentials (RFC 6749 §4.4).

`AUTHSVC_MAIL_OAUTH_URL` is the token endpoint with client id, secret and scope in it:
`https://CLIENT:SECRET@login.example/oauth2/token?scope=…`. What it gives is used until shortly before its end.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.client import HTTPException
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from authsvc.delivery.https import Poster
from authsvc.errors import DeliveryDeferred
from authsvc.ports import Clock

CALL_S: Final = 20.0
SPARE_MS: Final = 60_000  # a token is fetched anew so long before it ends
DEFAULT_LIFE_S: Final = 300  # where the answer doesn't say (RFC 6749 §5.1 recommends that it does)


class AccessToken:
    """Gives the current token when it is called. Thread-safe."""

    def __init__(self, url: str, clock: Clock, *, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        where = parts.netloc.rpartition("@")[2]
        self._url = f"{parts.scheme}://{where}{parts.path}"
        # RFC 6749 §2.3.1: both are form-encoded before they go into Basic.
        user, password = (quote(unquote(part or ""), safe="") for part in (parts.username, parts.password))
        self._basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        scope = {name: values[-1] for name, values in parse_qs(parts.query).items() if name == "scope"}
        self._form = urlencode({"grant_type": "client_credentials", **scope}).encode()
        self._clock = clock
        self._poster = Poster(tls=tls, call_s=CALL_S)
        self._lock = threading.Lock()
        self._token = ""
        self._until_ms = 0

    def __call__(self) -> str:
        """Raises `DeliveryDeferred`, whose detail says what failed."""
        with self._lock:
            if self._clock.now_ms() >= self._until_ms:
                self._token, life_s = self._fetch()
                self._until_ms = self._clock.now_ms() + life_s * 1000 - SPARE_MS
            return self._token

    def forget(self) -> bool:
        """The mail host refused it. True when it may have been an old one, so that another try is worth it."""
        with self._lock:
            had = self._until_ms > 0
            self._until_ms = 0
            return had

    def _fetch(self) -> tuple[str, int]:
        fields = {
            "Authorization": f"Basic {self._basic}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
            "Connection": "close",  # the next call is an hour away
        }
        try:
            answer = self._poster.post(self._url, self._form, fields)
        except ssl.SSLCertVerificationError:
            raise DeliveryDeferred("token endpoint: certificate not trusted", cause="login") from None
        except (OSError, HTTPException) as error:
            raise DeliveryDeferred(f"token endpoint: {type(error).__name__}", cause="login") from None
        if answer.status != 200:
            raise DeliveryDeferred(f"token endpoint: {answer.status}", cause="login")
        try:
            document = json.loads(answer.body)
            token, life_s = str(document["access_token"]), int(document.get("expires_in", DEFAULT_LIFE_S))
        except (ValueError, TypeError, KeyError):
            raise DeliveryDeferred("token endpoint: no token in its answer", cause="login") from None
        return token, life_s
