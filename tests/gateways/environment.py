"""What stands around a gateway: authsvc as it ships, a service that tells what reached it, and tokens good and bad.

authsvc runs under the issuer that the recipes name, so that they are run as they are printed: only ports and folders
are put in their places. Bad tokens are signed with the service's own key, by authsvc wired once more in this process
over the same store; whoever refuses them has looked at the claim that is wrong, and not just at the signature.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from authsvc import wiring
from authsvc.config import environment
from authsvc.crypto import keys as signing
from authsvc.crypto.keys import SigningKey
from authsvc.crypto.mint import b64u, unb64u
from tests.delivery.mail_hosts import Authority
from tests.harness.deployment import Client, Deployment
from tests.harness.processes import Answer, ask

ISSUER = "https://auth.example.org"
AUDIENCE = "practice-services"
NAMES = ("Subject", "Practice", "Patient", "Scope", "Acr", "Session", "Resource", "Actor")
TOLD = tuple(f"X-Auth-{name}" for name in NAMES)
PAST_S = 300  # longer ago than any leeway


class Heard(BaseHTTPRequestHandler):
    """Answers 200 with what it was asked, header by header."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        heard = {
            "method": self.command,
            "path": self.path,
            "headers": list(self.headers.items()),
            "body": body.decode(),
        }
        said = json.dumps(heard).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Nothing: the tests look at answers."""


class Relay(BaseHTTPRequestHandler):
    """authsvc's key set over https, for those that take it from nowhere else."""

    source = ""

    def do_GET(self) -> None:
        got = ask("GET", self.source + self.path)
        self.send_response(got.status)
        self.send_header("Content-Type", got.header("Content-Type"))
        self.send_header("Content-Length", str(len(got.body)))
        self.end_headers()
        self.wfile.write(got.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


class Quiet(ThreadingHTTPServer):
    """Clients that hang up, or don't like a certificate, are no news."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """An HTTP server on loopback; its port."""
    with Quiet(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


YOUNG_S = 200.0


class GatewaySetup:
    """The deployment, its portal, and one patient who is signed in and holds emailed links."""

    def __init__(self, deployment: Deployment, service_port: int, tls_port: int, authority: Authority) -> None:
        self.deployment = deployment
        self.service_port = service_port
        self.tls_port = tls_port
        self.ca = authority.ca
        self.tls = authority.context()
        self.portal: Client = deployment.add_client("portal")
        self.portal.register("p1", "anna@example.org")
        deployment.add_practice("oak")
        other = deployment.add_client("oak-portal", practice="oak")
        other.register("p1", "anna@example.org")
        self._other = other
        self._minted: dict[str, tuple[str, float]] = {}
        self._inside = wiring.bootstrap(*environment.load(deployment.environ))
        self._inside.signing_keys.ensure()
        self._numbers = itertools.count(1)
        self.stranger: SigningKey = signing.generate("ES256")

    # Tokens live ten minutes, and on a busy machine these tests may take longer: each is minted anew in good time.

    @property
    def code(self) -> str:
        """The token of a code sign-in."""
        return self._young("code", lambda: str(self.sign_in()["access_token"]))

    @property
    def link(self) -> str:
        """The token of an emailed link to one invoice."""
        return self._young("link", lambda: self.linked("pay-invoice", resource="invoice:inv_1"))

    @property
    def elsewhere(self) -> str:
        """The token of a code sign-in at another practice."""
        return self._young("elsewhere", lambda: str(self._other.signed_in("p1")["access_token"]))

    def _young(self, name: str, mint: Callable[[], str]) -> str:
        token, at = self._minted.get(name, ("", -YOUNG_S))
        if time.monotonic() - at >= YOUNG_S:
            token = mint()
            self._minted[name] = (token, time.monotonic())
        return token

    def sign_in(self) -> dict[str, Any]:
        """Tokens of a code sign-in, of a patient of its own: codes to one patient are few in a quarter of an hour."""
        patient = f"s{next(self._numbers)}"
        self.portal.register(patient, f"{patient}@example.org")
        return self.portal.signed_in(patient)

    def signed_out(self, token: str) -> None:
        """End the session that this token rests on."""
        claims = read(token)
        answer = self.portal.call("DELETE", f"patients/{claims['patient']}/sessions/{claims['sid']}")
        assert answer.status == 204, answer

    def linked(self, workflow: str, **members: str) -> str:
        """The token that a new emailed link brings."""
        return str(self.portal.exchange_link(self.portal.link(workflow, "p1", **members))["access_token"])

    def headers_received(self, token: str, **wanted: str) -> dict[str, str]:
        """The X-Auth headers that authsvc itself gives for this token, without the empty ones."""
        answer = self.deployment.forward_auth(token, **wanted)
        assert answer.status == 200, answer
        return {name: answer.header(name) for name in TOLD if answer.header(name)}

    # --- keys ---------------------------------------------------------------------------------------------------------

    def rotated_if_safe(self) -> bool:
        """Rotate once the next key has been published long enough; whether that was so."""
        self._inside.signing_keys.refresh()
        if self._inside.signing_keys.view().keyset.next.signs_from_ms > time.time() * 1000:
            return False
        self.deployment.cli("keys", "rotate", "--reason", "a test")
        return True

    def haproxy_map(self, folder: str) -> str:
        """What `keys export --format haproxy` prints, for another folder."""
        return self._inside.signing_keys.export("haproxy").replace("/etc/haproxy/authsvc", folder)

    # --- tokens that authsvc would never issue -----------------------------------------------------------------------

    def signed(self, token: str, key: SigningKey | None = None, **claims: Any) -> str:
        """This token with other claims, signed again; by authsvc's own current key unless another is given."""
        key = key or self.signer
        return _compact({"alg": key.alg, "typ": "at+jwt", "kid": key.kid}, {**read(token), **claims}, key.sign)

    def headed(self, token: str, **header: str) -> str:
        """This token's claims under another header, the signature good."""
        return _compact({"alg": "ES256", **header}, read(token), self.signer.sign)

    @property
    def signer(self) -> SigningKey:
        self._inside.signing_keys.refresh()
        return self._inside.signing_keys.signer()

    def unsigned(self, token: str) -> str:
        """alg `none`, under a kid that is known."""
        return _compact({"alg": "none", "typ": "at+jwt", "kid": self.signer.kid}, read(token), lambda _: b"")

    def signed_with_the_public_key(self, token: str) -> str:
        """HS256, the published PEM as the secret: what a verifier falls for that lets the token choose."""

        def sign(message: bytes) -> bytes:
            return hmac.digest(self.signer.pem.encode(), message, hashlib.sha256)

        return _compact({"alg": "HS256", "typ": "at+jwt", "kid": self.signer.kid}, read(token), sign)

    def expired(self, token: str) -> str:
        now_s = int(time.time())
        return self.signed(token, iat=now_s - 2 * PAST_S, auth_time=now_s - 2 * PAST_S, exp=now_s - PAST_S)


def read(token: str) -> dict[str, Any]:
    """The claims, unchecked."""
    claims: dict[str, Any] = json.loads(unb64u(token.split(".")[1]))
    return claims


def kid_of(token: str) -> str:
    return str(json.loads(unb64u(token.split(".")[0]))["kid"])


def _compact(header: Mapping[str, Any], claims: Mapping[str, Any], sign: Any) -> str:
    signed = ".".join(b64u(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    return f"{signed}.{b64u(sign(signed.encode()))}"


def heard(answer: Answer) -> dict[str, str]:
    """What reached the service under a name that a framework might read as X-Auth-*; empty ones left out, a name that
    came twice shown as such."""
    assert answer.status == 200, answer
    found: dict[str, str] = {}
    for name, value in answer.json["headers"]:
        if name.lower().replace("_", "-").startswith("x-auth-") and value:
            shown = name.title()
            found[shown] = f"{found[shown]} AND {value}" if shown in found else value
    return found
