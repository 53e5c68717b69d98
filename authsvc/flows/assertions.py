"""A client that signs its calls (private_key_jwt): each assertion is checked, and then good once."""

from __future__ import annotations

from authsvc.crypto import assertions, mint
from authsvc.crypto.assertions import Assertion
from authsvc.errors import TokenInvalid
from authsvc.flows.dependencies import Dependencies
from authsvc.model import Client
from authsvc.store.clients import ClientStore

TOKEN_PATH = "/oauth2/token"


class Assertions:
    """Takes assertions, and remembers each until nobody would believe it any more."""

    def __init__(self, deps: Dependencies, store: ClientStore) -> None:
        self._deps = deps
        self._store = store

    def accept(self, client: Client, assertion: Assertion) -> None:
        """Raises TokenInvalid; Unavailable while the store can't say whether it came before."""
        issuer, now_ms = self._deps.settings.public_url, self._deps.clock.now_ms()
        endpoint = issuer.rstrip("/") + TOKEN_PATH if client.assertion_audience == "token-endpoint" else ""
        proven = assertions.prove(assertion, client.jwks, issuer, now_ms, token_endpoint=endpoint)
        if not self._store.use_assertion(self._deps.new_id(), client.id, mint.digest(proven.jti), proven.gone_ms):
            raise TokenInvalid("replayed")
