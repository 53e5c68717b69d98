"""`authsvc token inspect`: why a token doesn't pass, and with whom."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from authsvc import wiring
from authsvc.cli import token_inspection
from authsvc.config import load as config
from authsvc.crypto import keys as signing
from authsvc.model import Practice
from tests.cli.conftest import Authsvc
from tests.harness.cli import run_command

KEY = signing.generate("ES256")
NOW = 1_795_334_400
GOOD_HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": KEY.kid}
GOOD = {
    "iss": "https://auth.example.org",
    "sub": "maple:p_1",
    "aud": "practice-services",
    "client_id": "desk",
    "practice": "maple",
    "patient": "p_1",
    "scope": "invoices:view",
    "acr": "extra",
    "amr": ["email"],
    "auth_time": NOW - 60,
    "iat": NOW - 60,
    "exp": NOW + 540,
    "jti": "abc",
    "sid": "s_1",
}


def _b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"x" * 64) -> str:
    return ".".join([_b64u(json.dumps(header).encode()), _b64u(json.dumps(claims).encode()), _b64u(signature)])


def refusals(header: dict[str, Any], claims: dict[str, Any], **expected: Any) -> dict[str, str]:
    """Who would refuse it, and all the reasons in one text; every signature counts as good."""
    keys = {KEY.kid: (str(header.get("alg")), lambda _signed, _signature: True)}
    known = {"issuer": GOOD["iss"], "audience": GOOD["aud"], "now_s": NOW, "keys": keys}
    found = token_inspection.inspect(forged(header, claims), token_inspection.Expected(**{**known, **expected}))
    return {who: "; ".join(reasons) for who, reasons in found.refusals.items() if reasons}


OURS, FORWARD = token_inspection.OURS, token_inspection.FORWARD
HAPROXY, ENVOY = token_inspection.HAPROXY, token_inspection.ENVOY
APACHE = {token_inspection.OPENIDC, token_inspection.OAUTH2}
EVERYBODY = set(token_inspection.EVERYBODY)


def test_a_good_token_passes_everywhere() -> None:
    assert refusals(GOOD_HEADER, GOOD) == {}


@pytest.mark.parametrize(
    "header, claims, who, word",
    [
        ({"alg": "none"}, {}, EVERYBODY, "alg 'none'"),
        ({"alg": "HS256"}, {}, EVERYBODY, "alg 'HS256'"),
        ({"alg": "EdDSA"}, {}, {HAPROXY, *APACHE}, "EdDSA"),
        ({"typ": "JWT"}, {}, {OURS, FORWARD}, "another kind of token"),
        ({"typ": "application/AT+JWT"}, {}, set(), ""),
        ({"kid": None}, {}, {OURS, FORWARD, HAPROXY}, "no kid"),
        ({"kid": "stranger"}, {}, EVERYBODY, "is not published"),
        ({}, {"aud": ["practice-services"]}, {OURS, FORWARD, HAPROXY}, "not one string"),
        ({}, {"aud": "other"}, {OURS, FORWARD, HAPROXY, ENVOY, *APACHE}, "is not 'practice-services'"),
        ({}, {"iss": "https://auth.example.org/"}, EVERYBODY, "byte for byte"),
        ({}, {"exp": NOW - 31}, EVERYBODY, "expired 31 s ago"),
        ({}, {"exp": "soon"}, EVERYBODY, "not a number"),
        ({}, {"exp": True}, EVERYBODY, "not a number"),
        ({}, {"nbf": NOW + 90}, {OURS, FORWARD, ENVOY}, "90 s ahead"),
        ({}, {"iat": NOW + 90, "exp": NOW + 900}, {OURS, FORWARD}, "two clocks differ"),
        ({}, {"amr": None}, {OURS}, "claim_amr"),
        ({"jwk": {}}, {}, {OURS}, "its word for it: header"),
    ],
)
def test_each_verifier_minds_what_it_looks_at(
    header: dict[str, Any], claims: dict[str, Any], who: set[str], word: str
) -> None:
    whole = {name: value for name, value in {**GOOD_HEADER, **header}.items() if value is not None}
    said = {name: value for name, value in {**GOOD, **claims}.items() if value is not None}
    found = refusals(whole, said)
    assert found.keys() == who
    assert all(word in reasons for reasons in found.values())


def test_another_practices_token_is_refused_where_the_practice_is_looked_at() -> None:
    assert refusals(GOOD_HEADER, GOOD, practice="oak").keys() == {OURS, FORWARD}
    assert refusals(GOOD_HEADER, GOOD, practice="maple") == {}


def test_what_is_not_known_here_is_not_compared() -> None:
    other = {**GOOD, "iss": "https://elsewhere.example", "aud": "someone"}
    assert refusals(GOOD_HEADER, other, issuer=None, audience=None, keys=None) == {}


def test_a_forged_signature_is_refused_by_everybody() -> None:
    keys = {KEY.kid: ("ES256", lambda _signed, _signature: False)}
    found = token_inspection.inspect(forged(GOOD_HEADER, GOOD), token_inspection.Expected(keys=keys, now_s=NOW))
    assert found.signature == "bad"
    assert all("the signature is not by the key" in " ".join(reasons) for reasons in found.refusals.values())


@pytest.mark.parametrize(
    "text, why",
    [
        ("abc", "three parts"),
        ("a.b.c.d.e", "this has 5"),
        ("!!.!!.!!", "not base64url"),
        (_b64u(b"{") + "." + _b64u(b"{}") + ".eHg", "not JSON"),
        (_b64u(b"[]") + "." + _b64u(b"{}") + ".eHg", "must be JSON objects"),
    ],
)
def test_what_is_no_jwt_is_told_so(text: str, why: str) -> None:
    ran = run_command({}, "token", "inspect", text)
    assert ran.code == 1
    assert why in ran.err


@pytest.mark.parametrize(
    "prefix, what", [("al_", "link"), ("acs_", "rotate it"), ("art_", "refresh"), ("ach_", "challenge")]
)
def test_another_of_our_secrets_is_told_by_its_kind_and_not_repeated(prefix: str, what: str) -> None:
    ran = run_command({}, "token", "inspect", input=prefix + "x" * 43 + "\n")
    assert ran.code == 1
    assert what in ran.err
    assert "x" * 43 not in ran.err


@pytest.fixture
def issued(settings: dict[str, str]) -> str:
    """A real access token."""
    service = wiring.bootstrap(config.load(settings))
    service.signing_keys.ensure()
    maple: Practice = service.practices.add("maple", actor="test", name="Maple")
    client, _ = service.clients.add(
        "desk", practices=("maple",), permissions=frozenset({"codes:reveal"}), audience=None, actor="test"
    )
    service.patients.put(service.act(maple, client), "p_1", email="anna@example.org", portal_access=True)
    started = service.codes.start(service.act(maple, client), patient="p_1", delivery="caller")
    granted = service.codes.verify(service.act(maple, client), started.challenge, str(started.code))
    return str(granted.access_token)  # type: ignore[union-attr]  # one patient: never the chooser


def test_a_token_of_this_service_is_checked_with_the_keys_of_its_store(authsvc: Authsvc, issued: str) -> None:
    ran = authsvc("token", "inspect", "--json", input=f"Bearer {issued}\n")
    assert (ran.code, ran.document["signature"], ran.document["trusted"]) == (0, "good", False)
    assert all(verdict["accepts"] for verdict in ran.document["verdicts"])
    head, claims, signature = issued.split(".")
    tampered = f"{head}.{claims}.{signature[::-1]}"
    told = authsvc("token", "inspect", tampered, "--practice", "maple")
    assert told.code == 0
    assert "Signature: bad" in told.out
    assert "would refuse it" in told.out


def test_a_key_set_from_a_file_will_do(authsvc: Authsvc, issued: str, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(authsvc("keys", "export").out)
    ran = run_command(
        {}, "token", "inspect", issued, "--jwks", str(file), "--issuer", "http://127.0.0.1:8000", "--json"
    )
    assert ran.document["signature"] == "good"
    assert authsvc("token", "inspect", issued, "--jwks", str(tmp_path / "none")).code == 1
    file.write_text("[]")
    assert authsvc("token", "inspect", issued, "--jwks", str(file)).code == 2


def test_a_key_set_from_an_address_is_fetched_carefully(authsvc: Authsvc, issued: str) -> None:
    ran = authsvc("token", "inspect", issued, "--jwks", "http://elsewhere.example/jwks.json")
    assert ran.code == 2
    assert "https" in ran.err
    assert authsvc("token", "inspect", issued, "--jwks", "http://127.0.0.1:1/jwks.json").code == 1


def test_without_settings_the_rest_is_still_said(issued: str) -> None:
    ran = run_command({}, "token", "inspect", issued)
    assert ran.code == 0
    assert "Signature: unchecked" in ran.out
    assert "signature is not checked" in ran.err
    assert time.strftime("%Y-", time.gmtime()) in ran.out
