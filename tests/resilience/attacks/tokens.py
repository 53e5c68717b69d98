"""Tokens, codes and clients: replayed, forged, downgraded, carried to another practice, asked without a right."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.resilience.attacks.registry import Found, attack
from tests.resilience.browser import Browser
from tests.resilience.deployment import PERMISSIONS, Deployment
from tests.resilience.http_caller import Client, call

REDIRECT = "https://portal.example/signed-in"


def patient(client: Client, email: str = "") -> str:
    name = f"v-{secrets.token_hex(5)}"
    answer = client.api("put", "PUT", f"patients/{name}", email=email or f"{name}@example.org", portal_access=True)
    assert answer.status == 201, answer
    return name


def session(client: Client, name: str = "") -> dict[str, str]:
    started = client.post("codes", "codes", patient=name or patient(client), delivery="caller")
    assert started.status == 202, started
    answer = client.post("verify", "codes/verify", challenge=started.json["challenge"], code=started.json["code"])
    assert answer.status == 200, answer
    return dict(answer.json)


def refreshed(client: Client, token: str) -> dict[str, str]:
    return dict(client.oauth("refresh", "token", grant_type="refresh_token", refresh_token=token).json)


@attack("refresh-token-replay", "a copied refresh token is used again, two generations later")
def refresh_replay(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    first = session(client)
    second = refreshed(client, first["refresh_token"])
    third = refreshed(client, second["refresh_token"])
    stolen = refreshed(client, first["refresh_token"])
    found.effort = 5
    found.expect("access_token" not in stolen, "fresh tokens for a spent refresh token")
    live = client.introspect(third["access_token"]).json.get("active")
    found.figures.append(f"the family is {'alive' if live else 'ended'}")
    found.expect(not live, "the family goes on after a replay")


@attack("refresh-token-of-another-client", "another client of the practice brings a stolen refresh token")
def refresh_other(deployment: Deployment, found: Found) -> None:
    token = session(deployment.clients["maple"])["refresh_token"]
    thief = deployment.add_client(f"thief-{secrets.token_hex(3)}", "maple")
    for client in (thief, deployment.clients["birch"]):
        found.effort += 1
        found.expect("access_token" not in refreshed(client, token), f"tokens for {client.id}")
    flipped = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    found.expect("access_token" not in refreshed(deployment.clients["maple"], flipped), "tokens for a changed token")


def relying(deployment: Deployment) -> Client:
    name = f"rp-{secrets.token_hex(3)}"
    made = deployment.cli("clients", "add", name, "--practice", "maple", "--redirect-uri", REDIRECT)
    return Client((deployment.url,), "maple", made["client_id"], made["client_secret"])


def authorized(deployment: Deployment, client: Client, verifier: str, browser: Browser | None = None) -> str:
    """The authorization code of a patient who signs in at the hosted pages."""
    name = patient(deployment.clients["maple"])
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    browser = browser or Browser(deployment.url)
    browser.open(f"/oauth2/authorize?{authorize(client, code_challenge=challenge)}")
    answer = browser.submit(email=f"{name}@example.org")
    mail = deployment.smtp.mail_to(f"{name}@example.org", 25)
    assert answer.status == 200, answer
    assert mail, "no code was mailed"
    answer = browser.submit(code=mail.code)
    for _ in range(4):
        where = answer.header("Location")
        if where.startswith(REDIRECT):
            return parse_qs(urlsplit(where).query)["code"][0]
        answer = browser.request("GET", where) if where else browser.submit()
    raise AssertionError(f"no code came back: {answer.status} {browser.text[:200]}")


def authorize(client: Client, **changes: str) -> str:
    usual = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": REDIRECT,
        "scope": "openid invoices:view",
        "state": "s1",
        "nonce": "n1",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    return urlencode({name: value for name, value in (usual | changes).items() if value})


def redeemed(client: Client, code: str, **fields: str) -> dict[str, str]:
    given = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT} | fields
    return dict(client.oauth("token", "token", **given).json)


@attack("authorization-code-replay", "a code is redeemed twice, by the wrong client, without and with a wrong verifier")
def code_replay(deployment: Deployment, found: Found) -> None:
    client, other = relying(deployment), relying(deployment)
    verifier = secrets.token_urlsafe(48)
    code = authorized(deployment, client, verifier)
    tries = {
        "another client": redeemed(other, code, code_verifier=verifier),
        "no verifier": redeemed(client, code),
        "a wrong verifier": redeemed(client, code, code_verifier=secrets.token_urlsafe(48)),
        "another address": redeemed(client, code, code_verifier=verifier, redirect_uri="https://portal.example/other"),
    }
    for words, answer in tries.items():
        found.expect("access_token" not in answer, f"tokens for {words}")
    honest = redeemed(client, code, code_verifier=verifier)
    found.expect("access_token" in honest, f"the honest client is spoiled: {honest}")
    found.expect("access_token" not in redeemed(client, code, code_verifier=verifier), "tokens for a spent code")
    token = honest.get("access_token", "")
    live = deployment.clients["maple"].introspect(token).json.get("active")
    found.expect(not live, "the first tokens live on after a replay")
    found.effort = 7


@attack("pkce-downgrade", "authorize without a challenge, with `plain`, with an empty one")
def pkce_downgrade(deployment: Deployment, found: Found) -> None:
    client = relying(deployment)
    changes = (
        {"code_challenge": "", "code_challenge_method": ""},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": ""},
        {"code_challenge": "short"},
        {"code_challenge": "a" * 200},
    )
    for change in changes:
        answer = call("GET", f"{deployment.url}/oauth2/authorize?{authorize(client, **change)}")
        where = answer.header("Location")
        found.effort += 1
        found.expect("sign-in" not in where, f"a sign-in goes on with {change}")


def _jwt(header: dict[str, str], claims: dict[str, object], signature: bytes = b"x" * 64) -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@attack("forward-auth-junk", "forged, foreign, torn, huge and doubled tokens at forward-auth and introspection")
def forward_auth_junk(deployment: Deployment, found: Found) -> None:
    client = deployment.clients["maple"]
    good = session(client)["access_token"]
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    pem = call("GET", f"{deployment.url}/keys/{header['kid']}.pem").body
    import hmac

    signed = f"{_jwt({**header, 'alg': 'HS256'}, claims).rpartition('.')[0]}"
    mac = base64.urlsafe_b64encode(hmac.digest(pem, signed.encode(), "sha256")).decode().rstrip("=")
    tokens = [
        _jwt({**header, "alg": "none"}, claims, b""),
        f"{signed}.{mac}",
        _jwt({**header, "kid": "../../etc/passwd"}, claims),
        _jwt({**header, "jku": "https://evil.example/keys"}, claims),
        f"{head}.{_jwt({}, {**claims, 'patient': 'other', 'sub': 'maple:other'}).split('.')[1]}.{signature}",
        f"{head}.{body}.",
        f"{head}..{signature}",
        f"{good}.{signature}",
        good[:-3],
        good + "=",
        good.replace(".", ".."),
        "a" * 8000,
        "." * 2000,
        "e30.e30.e30",
        "",
        good.swapcase(),
        "\x7f" * 20,
    ]
    for token in tokens:
        answer = call(
            "GET",
            f"{deployment.url}/v1/forward-auth?practice=maple&scope=invoices:view",
            {"Authorization": f"Bearer {token}"},
        )
        found.effort += 2
        found.expect(answer.status in (400, 401, 403), f"{answer.seen} for {token[:30]!r}")
        found.expect(not client.introspect(token or "x").json.get("active"), f"active: {token[:30]!r}")
    for query in (
        "",
        "practice=birch",
        "practice=maple&practice=birch",
        "practice=maple&unknown=1",
        "practice=*&acr=none",
    ):
        answer = call("GET", f"{deployment.url}/v1/forward-auth?{query}", {"Authorization": f"Bearer {good}"})
        found.effort += 1
        found.expect(answer.status == 403, f"{answer.seen} for ?{query}")
    two = {"Authorization": f"Bearer {tokens[0]}, Bearer {good}"}
    found.expect(call("GET", f"{deployment.url}/v1/forward-auth?practice=maple", two).status == 401, "a doubled header")


@attack("introspection-of-foreign-tokens", "birch's client asks about maple's tokens and sessions")
def foreign_introspection(deployment: Deployment, found: Found) -> None:
    maple, birch = deployment.clients["maple"], deployment.clients["birch"]
    tokens = session(maple)
    for token in (tokens["access_token"], tokens["refresh_token"]):
        answer = birch.introspect(token)
        found.effort += 2
        found.expect(answer.json == {"active": False}, f"told about a token of another practice: {answer.body[:80]!r}")
        birch.oauth("revoke", "revoke", token=token)
    found.expect(maple.introspect(tokens["access_token"]).json.get("active"), "revoked a token of another practice")


@attack("client-beyond-its-rights", "clients with one permission try every call, and another practice")
def beyond_rights(deployment: Deployment, found: Found) -> None:
    calls = {
        "codes:issue": ("POST", "codes", {"email": "a@example.org"}),
        "codes:verify": ("POST", "codes/verify", {"challenge": "ach_" + "A" * 43, "code": "123456"}),
        "links:issue": ("POST", "links", {"patient": "p", "workflow": "portal"}),
        "links:exchange": ("POST", "links/exchange", {"token": "al_" + "A" * 43}),
        "links:revoke": ("DELETE", "links?patient=p", {}),
        "patients:write": ("PUT", "patients/p", {"email": "p@example.org", "portal_access": True}),
        "patients:read": ("GET", "patients/p", {}),
        "sessions:revoke": ("DELETE", "patients/p/sessions", {}),
    }
    for permission in PERMISSIONS:
        client = deployment.add_client(
            f"only-{permission.replace(':', '-')}-{secrets.token_hex(2)}", "maple", permission
        )
        for needed, (method, path, members) in calls.items():
            if needed == permission:
                continue
            found.effort += 2
            answer = client.api("call", method, path, **members)
            found.expect(answer.status == 403, f"{permission} may {method} {path}: {answer.seen}")
            url = f"{deployment.url}/v1/practices/birch/{path}"
            elsewhere = call(method, url, {"Authorization": client.authorization, "Content-Type": "application/json"})
            found.expect(elsewhere.status == 404, f"{permission} at another practice: {elsewhere.seen}")
