"""OAuth and OpenID Connect for programs: tokens, introspection, userinfo, keys, metadata, gateways, the feed."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from tests.wire.processes import until
from tests.wire.provision import JWT_BEARER, Provisioned, Signer
from tests.wire.recorder import ClientSecret, basic, bearer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def cases(site: Provisioned) -> Iterator[tuple[str, Any]]:
    for run in (
        requests,
        refreshing,
        revoking,
        introspecting,
        signing,
        userinfo,
        forward_auth,
        gateways_ask,
        keys,
        metadata,
        feed,
    ):
        yield run.__name__.replace("_", " "), lambda run=run: run(site)


def requests(site: Provisioned) -> None:
    """How a form is read, and who may send it."""
    r = site.r
    for path in ("/oauth2/token", "/oauth2/revoke", "/oauth2/introspect"):
        for method in METHODS:
            r.ask(
                f"{method} {path}",
                method,
                path,
                headers={**site.desk.basic, **FORM},
                body=b"" if method == "POST" else None,
            )
        r.ask(f"{path} unauthenticated", "POST", path, headers=FORM, body=b"token=x")
        r.ask(f"{path} wrong secret", "POST", path, headers={**FORM, **basic("desk", "x")}, body=b"token=x")
        r.ask(f"{path} GET unauthenticated", "GET", path)
        r.ask(f"{path}/ with a slash", "POST", f"{path}/", headers={**site.desk.basic, **FORM}, body=b"")
        as_json = {**site.desk.basic, "Content-Type": "application/json"}
        r.ask(f"{path} as JSON", "POST", path, headers=as_json, body=b'{"token": "x"}')
        r.ask(f"{path} without a type", "POST", path, headers=site.desk.basic, body=b"token=x")
        latin = {**site.desk.basic, "Content-Type": "application/x-www-form-urlencoded; charset=latin-1"}
        r.ask(f"{path} in Latin-1", "POST", path, headers=latin, body=b"token=x")
        r.ask(f"{path} not UTF-8", "POST", path, headers={**site.desk.basic, **FORM}, body=b"token=%ff")
        large = b"token=" + b"x" * 17_000
        r.ask(f"{path} too large", "POST", path, headers={**site.desk.basic, **FORM}, body=large)
        many = "&".join(f"p{number}=1" for number in range(40)).encode()
        r.ask(f"{path} too many fields", "POST", path, headers={**site.desk.basic, **FORM}, body=many)
        r.form(f"{path} a repeated parameter", path, [("token", "x"), ("token", "y")], site.desk)
        r.form(f"{path} an unknown parameter", path, {"shape": "round"}, site.desk)
        r.form(f"{path} an empty one", path, {"token": "", "grant_type": ""}, site.desk)
        r.form(f"{path} a secret in the form", path, {"client_id": "desk", "client_secret": site.desk.secret})
        r.form(f"{path} both ways", path, {"client_id": "desk", "client_secret": "x", "token": "x"}, site.desk)
        r.form(f"{path} Basic and its own id", path, {"client_id": "desk", "token": "x"}, site.desk)
        r.form(f"{path} Basic and another id", path, {"client_id": "billing", "token": "x"}, site.desk)
        r.form(f"{path} an id alone, not public", path, {"client_id": "desk", "token": "x"})
        r.form(f"{path} a public client", path, {"client_id": "app", "token": "x"})
        r.form(f"{path} an unknown public client", path, {"client_id": "nobody", "token": "x"})
        r.form(f"{path} a public client by Basic", path, {"token": "x"}, ClientSecret("app"))
        r.form(f"{path} a token with a space", path, {"token": "a b"}, site.desk)
        r.form(f"{path} an overlong token", path, {"token": "x" * 8193}, site.desk)
    for path in ("/oauth2", "/oauth2/", "/oauth2/unknown", "/oauth2/device"):
        r.ask(f"{path} unauthenticated", "GET", path)
        r.ask(path, "GET", path, headers=site.desk.basic)
    for grant in ("password", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange", "refresh token"):
        r.form(f"the grant {grant}", "/oauth2/token", {"grant_type": grant}, site.desk)
    r.form("refresh without a token", "/oauth2/token", {"grant_type": "refresh_token"}, site.desk)
    for missing in ("code", "redirect_uri", "code_verifier"):
        fields = {"grant_type": "authorization_code", "code": "x", "redirect_uri": "x", "code_verifier": "v" * 43}
        fields.pop(missing)
        r.form(f"a code without {missing}", "/oauth2/token", fields, site.portal)
    fields = {"grant_type": "authorization_code", "code": "x", "redirect_uri": "x", "code_verifier": "short"}
    r.form("a code with a short verifier", "/oauth2/token", fields, site.portal)
    r.form("an unknown code", "/oauth2/token", {**fields, "code_verifier": "v" * 43}, site.portal)
    shaped = {**fields, "code": "aac_maple." + "F" * 43, "code_verifier": "v" * 43}
    r.form("a code that looks right", "/oauth2/token", shaped, site.portal)
    r.form("a code by a client without addresses", "/oauth2/token", shaped, site.desk)


def refreshing(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.20"
    site.patient("fa")

    def refresh(label: str, token: str, client: ClientSecret = site.desk, **more: str) -> Any:
        fields = {"grant_type": "refresh_token", "refresh_token": token, **more}
        return r.form(label, "/oauth2/token", fields, client)

    first = site.signed_in("fa", ip)["refresh_token"]
    second = refresh("once", first).json["refresh_token"]
    refresh("the parent, within its grace", first)
    third = refresh("the second", second).json["refresh_token"]
    narrowed = refresh("narrowed", third, scope="invoices:view contact:view").json["refresh_token"]
    refresh("narrowed stays narrow?", narrowed)
    refresh("an old one ends the session", first)
    refresh("ended", narrowed)
    grant = site.signed_in("fa", ip)
    refresh("by another client", grant["refresh_token"], site.audience)
    refresh("more than was granted", grant["refresh_token"], scope="invoices:view records:read")
    refresh(
        "OpenID's scopes are ignored", grant["refresh_token"], scope="openid profile email offline_access contact:view"
    )
    grant = site.signed_in("fa", ip)
    refresh("a misshapen scope", grant["refresh_token"], scope="a  b")
    refresh("junk", "art_" + "G" * 112)
    refresh("an access token", grant["access_token"])
    refresh("cut", grant["refresh_token"][:-1])
    r.call("sessions", site.desk, "GET", "maple/patients/fa/sessions")


def revoking(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.21"
    site.patient("ya")
    gateway = "/v1/forward-auth?practice=maple"
    grant = site.signed_in("ya", ip)
    r.form(
        "an access token",
        "/oauth2/revoke",
        {"token": grant["access_token"], "token_type_hint": "access_token"},
        site.desk,
    )
    r.ask("then", "GET", gateway, headers=bearer(grant["access_token"]))
    r.form("again", "/oauth2/revoke", {"token": grant["access_token"]}, site.desk)
    fields = {"grant_type": "refresh_token", "refresh_token": grant["refresh_token"]}
    fresh = r.form("its session goes on", "/oauth2/token", fields, site.desk).json
    r.form("by another client", "/oauth2/revoke", {"token": fresh["refresh_token"]}, site.audience)
    r.ask("goes on", "GET", gateway, headers=bearer(fresh["access_token"]))
    r.form("a refresh token", "/oauth2/revoke", {"token": fresh["refresh_token"], "token_type_hint": "x"}, site.desk)
    r.ask("ended", "GET", gateway, headers=bearer(fresh["access_token"]))
    r.form("unknown", "/oauth2/revoke", {"token": "art_" + "H" * 112}, site.desk)
    r.form("no token of ours", "/oauth2/revoke", {"token": "x"}, site.desk)
    r.form("none", "/oauth2/revoke", {}, site.desk)
    _, token, _ = site.link("ya", "pay-invoice", resource="invoice:i")
    given = site.exchanged(token)
    r.form("a link's token", "/oauth2/revoke", {"token": given["access_token"]}, site.desk)
    r.ask("a link's token, then", "GET", gateway, headers=bearer(given["access_token"]))


def introspecting(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.22"
    site.patient("za")
    grant = site.signed_in("za", ip)

    def ask(label: str, token: str, client: ClientSecret = site.desk) -> None:
        r.form(label, "/oauth2/introspect", {"token": token}, client)

    ask("an access token", grant["access_token"])
    ask("its own refresh token", grant["refresh_token"])
    ask("by a client with that alone", grant["access_token"], site.gate)
    ask("another's refresh token", grant["refresh_token"], site.gate)
    ask("without the permission", grant["access_token"], site.kiosk)
    ask("for another audience", grant["access_token"], site.audience)
    ask("of another practice", grant["access_token"], site.other)
    _, token, _ = site.link("za", "pay-invoice", resource="invoice:i")
    given = site.exchanged(token)
    ask("a link's", given["access_token"])
    ask("junk", "x")
    head, claims, signature = grant["access_token"].split(".")
    ask("forged", f"{head}.{claims}.{signature[:-4]}AAAA")
    ask("without a signature", f"{head}.{claims}.")
    with r.quietly():
        r.call("", site.desk, "DELETE", "maple/patients/za/sessions")
    ask("after sign-out", grant["access_token"])
    ask("after sign-out, refresh token", grant["refresh_token"])


def signing(site: Provisioned) -> None:
    """private_key_jwt."""
    r, signer = site.r, site.signer
    now = int(time.time())
    stranger = Signer("signer", r.deployment.public_url, "stranger")

    def sent(label: str, fields: dict[str, str], **more: Any) -> None:
        r.form(label, "/oauth2/revoke", {"token": "x", **fields}, **more)

    sent("good", signer.fields())
    same = signer.fields(jti="wire-same")
    sent("with its id", {**same, "client_id": "signer"})
    sent("replayed", same)
    sent("with another id", {**signer.fields(), "client_id": "portal"})
    sent("and Basic", signer.fields(), client=site.desk)
    sent("without the type", {"client_assertion": signer.assertion()})
    sent("another type", {**signer.fields(), "client_assertion_type": "x"})
    sent("the type alone", {"client_assertion_type": JWT_BEARER})
    for label, claims in {
        "another audience": {"aud": f"{r.deployment.public_url}/oauth2/revoke"},
        "a list of audiences": {"aud": [r.deployment.public_url]},
        "two audiences": {"aud": [r.deployment.public_url, "x"]},
        "expired": {"exp": now - 120},
        "far ahead": {"exp": now + 3600},
        "from the future": {"iat": now + 3600, "exp": now + 3660},
        "without jti": {"jti": None},
        "without exp": {"exp": None},
        "another subject": {"sub": "portal"},
        "an unknown client": {"iss": "nobody", "sub": "nobody"},
        "a client that doesn't sign": {"iss": "desk", "sub": "desk"},
    }.items():
        sent(label, signer.fields(**claims))
    sent("by another key", stranger.fields())
    sent("by a key that is new", {**signer.fields(key=ec.generate_private_key(ec.SECP256R1()))})
    sent("another typ", signer.fields(typ="at+jwt"))
    sent("not a JWT", {"client_assertion_type": JWT_BEARER, "client_assertion": "x.y.z"})
    sent("overlong", {"client_assertion_type": JWT_BEARER, "client_assertion": "x" * 8193})
    fields = {"grant_type": "refresh_token", "refresh_token": "art_" + "I" * 112, **signer.fields()}
    r.form("at the token endpoint", "/oauth2/token", fields)
    r.form("at introspection", "/oauth2/introspect", {"token": "x", **signer.fields()})


def userinfo(site: Provisioned) -> None:
    r = site.r
    site.patient("wa")
    grant = site.signed_in("wa", "198.51.100.23")
    for method in METHODS:
        r.ask(f"{method} without a token", method, "/oauth2/userinfo")
        r.ask(f"{method} without openid", method, "/oauth2/userinfo", headers=bearer(grant["access_token"]))
    r.ask("junk", "GET", "/oauth2/userinfo", headers=bearer("junk"))
    r.ask("Basic", "GET", "/oauth2/userinfo", headers=site.desk.basic)
    r.ask("in the query", "GET", f"/oauth2/userinfo?access_token={grant['access_token']}")
    r.form("in a form", "/oauth2/userinfo", {"access_token": grant["access_token"]})
    r.ask("with a slash", "GET", "/oauth2/userinfo/")


def forward_auth(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.24"
    site.patient("ha")
    grant = site.signed_in("ha", ip)
    token = bearer(grant["access_token"])
    _, one, _ = site.link("ha", "pay-invoice", resource="invoice:inv_1")
    linked = bearer(site.exchanged(one)["access_token"])
    elsewhere = bearer(site.signed_in("ha", ip, client=site.audience)["access_token"])
    site.patient("ha", practice="oak")
    oak = bearer(site.signed_in("ha", ip, practice="oak")["access_token"])
    for method in (*METHODS, "TRACE", "PURGE", "get"):
        r.ask(f"{method}", method, "/v1/forward-auth?practice=maple", headers=token)
    for query in (
        "practice=maple",
        "practice=*",
        "practice=%2A",
        "practice=maple&scope=invoice:pay",
        "practice=maple&scope=invoice:view+invoice:pay",
        "practice=maple&scope=invoice:view%20records:read",
        "practice=maple&scope=records:read",
        "practice=maple&resource=invoice:inv_1",
        "practice=maple&resource=invoice:inv_2",
        "practice=maple&scope=invoice:pay&resource=invoice:inv_1",
        "practice=maple&scope=contact:view&resource=invoice:inv_1",
        "practice=maple&acr=extra",
        "practice=maple&acr=instant",
        "practice=maple&acr=gold",
        "practice=maple&audience=practice-services",
        "practice=maple&audience=billing-service",
        "practice=oak",
        "practice=nobody",
        "practice=",
        "practice=+",
        "",
        "scope=invoice:pay",
        "practice=maple&scope=",
        "practice=maple&practice=maple",
        "practice=maple&role=admin",
        "practice=maple&scope=%22",
        "practice=maple&scope=%ff",
        "practice=maple&scope=%0A",
        "practice=maple&scope=" + "x" * 2100,
        "practice=maple;scope=x",
        "Practice=maple",
    ):
        target = f"/v1/forward-auth?{query}" if query else "/v1/forward-auth"
        for label, headers in {"signed in": token, "by a link": linked}.items():
            r.ask(f"{label}, {query[:60]}", "GET", target, headers=headers)
    r.ask("of oak at maple", "GET", "/v1/forward-auth?practice=maple", headers=oak)
    r.ask("of oak at any", "GET", "/v1/forward-auth?practice=*", headers=oak)
    r.ask("for another audience", "GET", "/v1/forward-auth?practice=maple", headers=elsewhere)
    r.ask("for that audience", "GET", "/v1/forward-auth?practice=maple&audience=billing-service", headers=elsewhere)
    head, claims, signature = grant["access_token"].split(".")
    for label, value in {
        "none": "",
        "empty": "Bearer ",
        "Basic": "Basic abc",
        "lower case": f"bearer {grant['access_token']}",
        "two spaces": f"Bearer  {grant['access_token']}",
        "two tokens": f"Bearer {grant['access_token']}, Bearer x",
        "junk": "Bearer junk",
        "forged": f"Bearer {head}.{claims}.{signature[:-4]}AAAA",
        "no signature": f"Bearer {head}.{claims}.",
        "alg none": f"Bearer eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.{claims}.",
        "refresh token": f"Bearer {grant['refresh_token']}",
        "too long": "Bearer " + "x" * 9000,
        "not ASCII": "Bearer é",
    }.items():
        headers = {"Authorization": value} if value else {}
        r.ask(f"token: {label}", "GET", "/v1/forward-auth?practice=maple", headers=headers)
        r.ask(f"token: {label}, no practice", "GET", "/v1/forward-auth", headers=headers)
    r.ask("in the query", "GET", f"/v1/forward-auth?practice=maple&access_token={grant['access_token']}")
    for path in ("/v1/forward-auth/", "/v1/forward-auth/x", "/V1/forward-auth"):
        r.ask(path, "GET", f"{path}?practice=maple", headers=token)
    body = {**token, "Content-Type": "application/json"}
    r.ask("with a body", "POST", "/v1/forward-auth?practice=maple", headers=body, body=b"{" * 100)
    r.ask("with a large body", "POST", "/v1/forward-auth?practice=maple", headers=body, body=b"{" * 100_000)


def gateways_ask(site: Provisioned) -> None:
    """As nginx, Traefik, Caddy and Envoy ask, with what they add."""
    r = site.r
    site.patient("hb")
    token = bearer(site.signed_in("hb", "198.51.100.25")["access_token"])
    added = {
        **token,
        "X-Forwarded-Method": "DELETE",
        "X-Forwarded-Uri": "/admin",
        "X-Original-URI": "/admin",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Auth-Patient": "somebody-else",
        "Cookie": "authsvc=x",
        "X-Request-Id": "of the gateway",
    }
    r.ask("passes", "GET", "/v1/forward-auth?practice=maple&scope=contact:view", headers=added)
    r.ask("does not", "GET", "/v1/forward-auth?practice=oak", headers=added)


def keys(site: Provisioned) -> None:
    r = site.r
    answer = r.ask("the set", "GET", "/.well-known/jwks.json")
    tag = answer.header("ETag")
    for label, known in {
        "known": tag,
        "weak": f"W/{tag}",
        "in a list": f'"x", {tag}',
        "any": "*",
        "other": '"x"',
    }.items():
        r.ask(f"If-None-Match {label}", "GET", "/.well-known/jwks.json", headers={"If-None-Match": known})
    for method in METHODS[1:]:
        r.ask(f"{method} the set", method, "/.well-known/jwks.json")
    r.ask("from another origin", "GET", "/.well-known/jwks.json", headers={"Origin": "https://elsewhere.example"})
    r.ask("with a query", "GET", "/.well-known/jwks.json?x=1")
    r.ask("with a slash", "GET", "/.well-known/jwks.json/")
    for key in answer.json["keys"]:
        one = r.ask("one as PEM", "GET", f"/keys/{key['kid']}.pem")
        known = {"If-None-Match": one.header("ETag")}
        r.ask("one as PEM, known", "GET", f"/keys/{key['kid']}.pem", headers=known)
    for method in METHODS[1:]:
        r.ask(f"{method} one", method, f"/keys/{key['kid']}.pem")
    r.ask("one without .pem", "GET", f"/keys/{key['kid']}")
    for path in ("/keys/unknown.pem", "/keys/.pem", "/keys/", "/keys", "/keys/a%2Fb.pem"):
        r.ask(f"no key: {path}", "GET", path)


def metadata(site: Provisioned) -> None:
    r = site.r
    for path in (
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
    ):
        answer = r.ask(path, "GET", path)
        r.ask(f"{path}, known", "GET", path, headers={"If-None-Match": answer.header("ETag")})
        for method in METHODS[1:]:
            r.ask(f"{method} {path}", method, path)
    for path in (
        "/.well-known/",
        "/.well-known/unknown",
        "/.well-known/openid-configuration/maple",
        "/.well-known/security.txt",
    ):
        r.ask(path, "GET", path)


def feed(site: Provisioned) -> None:
    """The revocation feed; it is the same for five seconds, so it is asked until it holds what was revoked."""
    r = site.r
    r.ask("of an empty practice", "GET", "/revocations/elm")
    site.patient("ja", practice="elm")
    grant = site.signed_in("ja", "198.51.100.26", practice="elm")
    _, token, link = site.link("ja", "update-payment-info", practice="elm")
    given = site.exchanged(token, "elm")
    _, token, _ = site.link("ja", "update-payment-info", practice="elm")
    other = site.exchanged(token, "elm")
    with r.quietly():
        r.call("", site.desk, "DELETE", f"elm/patients/ja/sessions/{grant['session']}")
        r.call("", site.desk, "DELETE", f"elm/links/{link}")
        r.form("", "/oauth2/revoke", {"token": other["access_token"]}, site.desk)

    def whole() -> Any:
        with r.quietly():
            answer = r.ask("", "GET", "/revocations/elm")
        return answer if all(part in _claims(answer) for part in ("sessions", "links", "tokens")) else None

    until(whole, "the feed with all that was revoked", 15)
    answer = r.ask("with a session, a link and a token", "GET", "/revocations/elm")
    r.ask("known", "GET", "/revocations/elm", headers={"If-None-Match": answer.header("ETag")})
    claims = _claims(answer)
    r.ask("since its cursor", "GET", f"/revocations/elm?since={claims['cursor']}")
    for query in ("since=x", "since=", "since=-1", "since=1&since=2", "x=1", "since=" + "9" * 16, "since=1"):
        r.ask(query[:20], "GET", f"/revocations/elm?{query}")
    for method in METHODS[1:]:
        r.ask(f"{method}", method, "/revocations/elm")
    for path in ("/revocations/nobody", "/revocations/Elm", "/revocations/", "/revocations", "/revocations/elm/"):
        r.ask(path, "GET", path)
    r.ask("the link's token", "GET", "/v1/forward-auth?practice=elm", headers=bearer(given["access_token"]))


def _claims(answer: Any) -> dict[str, Any]:
    """Those members of a feed that hold something."""
    part = answer.text.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return {name: value for name, value in claims.items() if value}
