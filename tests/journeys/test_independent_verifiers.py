"""Tokens of the running service, judged by libraries of other authors, each used as its own documentation shows it:
jose for Node (remote key set), joserfc, and Authlib's validator for RFC 9068.
"""

from __future__ import annotations

import base64
import functools
import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from authlib.oauth2.rfc6750.errors import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from tests.harness.deployment import Client, Deployment
from tests.harness.node import installed
from tests.harness.processes import Process, ask

pytestmark = pytest.mark.journey

AUDIENCE = "practice-services"
JOSE = Path(__file__).with_name("jose")

Judge = Callable[[str, str], Mapping[str, Any] | None]
"""(token, audience) → its claims, or None: refused."""


@pytest.fixture(scope="module")
def tokens(deployment: Deployment, serve: Process, portal: Client) -> dict[str, str]:
    """One token of each kind, and what an attacker would make of them."""
    portal.register("ivy", "ivy@example.org")
    code = portal.signed_in("ivy")["access_token"]
    head, payload, signature = code.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    raised = _b64({**claims, "sub": "maple:somebody-else"})
    return {
        "code": code,
        "link": portal.exchange_link(portal.link("pay-invoice", "ivy", resource="invoice:inv_1"))["access_token"],
        "plain link": portal.exchange_link(portal.link("update-payment-info", "ivy"))["access_token"],
        "attack: other claims": f"{head}.{raised}.{signature}",
        "attack: no signature": f"{_b64({'alg': 'none', 'typ': 'at+jwt'})}.{payload}.",
        "attack: cut signature": f"{head}.{payload}.{signature[:-8]}",
    }


def _b64(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


@pytest.fixture(scope="module")
def with_jose(tokens: dict[str, str], deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """npm's jose, with a remote key set of its own."""
    folder = installed(JOSE, tmp_path_factory.mktemp("node"))

    @functools.cache
    def verdicts(audience: str) -> dict[str, dict[str, Any]]:
        """Of all tokens at once, since each start of Node costs more than all of them."""
        told = subprocess.run(
            ["node", "verify.mjs", deployment.url, audience],
            cwd=folder,
            input=json.dumps(tokens),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert told.returncode == 0, told.stderr
        return dict(json.loads(told.stdout))

    def judge(token: str, audience: str) -> Mapping[str, Any] | None:
        (name,) = (name for name, known in tokens.items() if known == token)
        verdict = verdicts(audience)[name]
        assert verdict.keys() == ({"claims", "header"} if "claims" in verdict else {"refused"})
        return verdict.get("claims")

    return judge


@pytest.fixture(scope="module")
def with_joserfc(deployment: Deployment, serve: Process) -> Judge:
    """joserfc, with the published key set."""
    keys = KeySet.import_key_set(ask("GET", f"{deployment.url}/.well-known/jwks.json").json)
    needs: dict[str, Any] = {name: {"essential": True} for name in ("sub", "client_id", "iat", "exp", "jti")}

    def judge(token: str, audience: str) -> Mapping[str, Any] | None:
        registry = jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": deployment.url}, aud={"essential": True, "value": audience}, **needs
        )
        try:
            decoded = jwt.decode(token, keys, algorithms=["ES256"])
            registry.validate(decoded.claims)
        except (JoseError, ValueError):
            return None
        assert decoded.header["typ"] == "at+jwt"
        return dict(decoded.claims)

    return judge


class _Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # the library has no types
    """Authlib's validator, as its documentation asks one to complete it."""

    def get_jwks(self) -> Any:
        metadata = ask("GET", f"{self.issuer}/.well-known/oauth-authorization-server").json
        return KeySet.import_key_set(ask("GET", metadata["jwks_uri"]).json)


@pytest.fixture(scope="module")
def with_authlib(deployment: Deployment, serve: Process) -> Judge:
    """Authlib's RFC 9068 validator."""

    def judge(token: str, audience: str) -> Mapping[str, Any] | None:
        validator = _Validator(issuer=deployment.url, resource_server=audience)
        try:
            read = validator.authenticate_token(token)
            validator.validate_token(read, [], None)
        except (InvalidTokenError, ValueError):
            return None
        return dict(read)

    return judge


@pytest.fixture(params=["with_jose", "with_joserfc", "with_authlib"])
def judge(request: pytest.FixtureRequest) -> Judge:
    """Each of the three."""
    found: Judge = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("kind", ["code", "link", "plain link"])
def test_another_library_takes_our_tokens_and_reads_the_same_in_them(
    judge: Judge, tokens: dict[str, str], portal: Client, kind: str
) -> None:
    read = judge(tokens[kind], AUDIENCE)
    assert read is not None
    told = portal.oauth("introspect", token=tokens[kind]).json
    assert {name: told[name] for name in read} == dict(read)
    assert (read["sub"], read["acr"]) == ("maple:ivy", "extra" if kind == "code" else "instant")


@pytest.mark.parametrize("attack", ["other claims", "no signature", "cut signature"])
def test_attack_another_library_refuses_what_was_tampered_with(
    judge: Judge, tokens: dict[str, str], attack: str
) -> None:
    assert judge(tokens[f"attack: {attack}"], AUDIENCE) is None


def test_attack_another_library_refuses_a_token_that_is_meant_for_another_service(
    judge: Judge, tokens: dict[str, str]
) -> None:
    assert judge(tokens["code"], "another-service") is None


def test_authlib_reads_our_scopes(deployment: Deployment, with_authlib: Judge, tokens: dict[str, str]) -> None:
    validator = _Validator(issuer=deployment.url, resource_server=AUDIENCE)
    link = validator.authenticate_token(tokens["link"])
    validator.validate_token(link, ["invoice:view invoice:pay"], None)
    with pytest.raises(InsufficientScopeError):
        validator.validate_token(link, ["invoices:view"], None)
