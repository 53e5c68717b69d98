"""A client that signs its calls (private_key_jwt): each assertion is checked, and then good once."""

from __future__ import annotations

from authsvc.crypto import assertions, mint
from authsvc.crypto.assertions import Assertion
from authsvc.errors import TokenInvalid
from authsvc.flows.script_runner import ScriptRunner
from authsvc.model import Client
from authsvc.store.connection import site_prefix


class Assertions:
    """Takes assertions, and remembers each until nobody would believe it any more."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner

    def accept(self, client: Client, assertion: Assertion) -> None:
        """Raises TokenInvalid; Unavailable while the store can't say whether it came before."""
        issuer, now_ms = self._runner.settings.public_url, self._runner.clock.now_ms()
        proven = assertions.prove(assertion, client.jwks, issuer, now_ms)
        args = {
            "now": now_ms,
            "act": f"{self._runner.new_id()}.assertion",
            "client": client.id,
            "jti": mint.digest(proven.jti),
            "until_ms": proven.gone_ms,
        }
        # Durable like every consumption: a fail-over that forgot the use would let a copy in.
        reply = self._runner.store.run("assertion", site_prefix("clients"), args, durable=True)
        if "err" in reply:
            raise TokenInvalid(reply["err"])
