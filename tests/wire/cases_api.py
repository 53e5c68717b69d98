"""The calls about a practice: who may call, how a request is read, codes, links, patients, sessions."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

from tests.wire.provision import RESEND_AFTER_S, Provisioned
from tests.wire.recorder import ClientSecret, basic, bearer

CALLS = (
    ("POST", "maple/codes"),
    ("POST", "maple/codes/resend"),
    ("POST", "maple/codes/verify"),
    ("POST", "maple/codes/choose"),
    ("POST", "maple/links"),
    ("GET", "maple/links?patient=nobody"),
    ("DELETE", "maple/links?patient=nobody"),
    ("POST", "maple/links/exchange"),
    ("POST", "maple/links/resend"),
    ("DELETE", "maple/links/AAAAAAAAAAAAAAAA"),
    ("PUT", "maple/patients/nobody"),
    ("GET", "maple/patients/nobody"),
    ("DELETE", "maple/patients/nobody"),
    ("GET", "maple/patients/nobody/deliveries"),
    ("GET", "maple/patients/nobody/sessions"),
    ("DELETE", "maple/patients/nobody/sessions"),
    ("DELETE", "maple/patients/nobody/sessions/AAAAAAAAAAAAAAAAAAAAAA"),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE")
JSON = {"Content-Type": "application/json"}


def cases(site: Provisioned) -> Iterator[tuple[str, Any]]:
    for run in (
        who_calls,
        permissions,
        methods,
        paths,
        bodies,
        members,
        http,
        codes_by_email,
        codes_by_patient,
        codes_verified,
        codes_exhausted,
        codes_chosen,
        codes_sent_again,
        idempotency,
        links_issued,
        links_exchanged,
        links_dead,
        links_revoked,
        links_sent_again,
        patients,
        addresses,
        sessions,
        limits,
    ):
        yield run.__name__.replace("_", " "), lambda run=run: run(site)


def who_calls(site: Provisioned) -> None:
    r, path = site.r, "/v1/practices/maple/patients/nobody"
    sent = {
        "no credentials": {},
        "an unknown client": basic("nobody", "acs_" + "x" * 43),
        "a wrong secret": basic("desk", "acs_" + "x" * 43),
        "an empty secret": basic("desk", ""),
        "no colon": {"Authorization": "Basic " + base64.b64encode(b"desk").decode()},
        "not base64": {"Authorization": "Basic !!!"},
        "not UTF-8": {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        "a broken escape": {"Authorization": "Basic " + base64.b64encode(b"de%zzsk:x").decode()},
        "another scheme": bearer("abc"),
        "no scheme": {"Authorization": "abc"},
        "scheme in lower case": {"Authorization": site.desk.basic["Authorization"].replace("Basic", "basic")},
        "the whole encoded": basic("desk", site.desk.secret.replace("_", "%5F")),
        "overlong": {"Authorization": "Basic " + "QUFB" * 1000},
        "a client that signs": basic("signer", "acs_" + "x" * 43),
        "a public client": basic("app", ""),
    }
    for label, headers in sent.items():
        # Refusals are counted by network: each of these comes from one of its own.
        r.ask(label, "GET", path, headers={**headers, "X-Forwarded-For": "203.0.113.90"})
    encoded = "".join(f"%{ord(letter):02x}" for letter in site.desk.id)
    escaped = base64.b64encode(f"{encoded}:{site.desk.secret}".encode()).decode()
    r.ask("form-url-encoded", "GET", path, headers={"Authorization": f"Basic {escaped}"})
    twice = [("Authorization", site.desk.basic["Authorization"])] * 2
    r.ask("twice", "GET", path, headers=twice)
    r.ask("without credentials, no such path", "GET", "/v1/practices/maple/nothing")
    r.ask("without credentials, no such practice", "GET", "/v1/practices/nobody/patients/x")
    r.ask("without credentials, wrong method", "PATCH", "/v1/practices/maple/codes")
    r.ask("without credentials, too large", "POST", "/v1/practices/maple/codes", headers=JSON, body=b"x" * 20_000)


def permissions(site: Provisioned) -> None:
    r = site.r
    for method, path in CALLS:
        for client in (site.kiosk, site.gate):
            r.call(f"{method} {path} by {client.id}", client, method, path, {} if method in ("POST", "PUT") else None)
    r.call("the permission before the method", site.gate, "PATCH", "maple/codes")
    r.call("a practice that isn't served", site.kiosk, "GET", "oak/patients/nobody")
    r.call("no such practice", site.desk, "GET", "nobody/patients/nobody")
    r.call("no practice's id", site.desk, "GET", "Maple/patients/nobody")
    r.call("an id of one letter", site.desk, "GET", "m/patients/nobody")
    r.call("served by another client", site.other, "GET", "maple/patients/nobody")
    members = {"patient": "nobody", "delivery": "caller"}
    r.call("a code told without the permission", site.teller, "POST", "maple/codes", members)


def methods(site: Provisioned) -> None:
    r = site.r
    seen = set()
    for _, path in CALLS:
        bare = path.partition("?")[0]
        if bare not in seen:
            seen.add(bare)
            for method in METHODS:
                if method not in ("DELETE",):
                    r.call(f"{method} {bare}", site.desk, method, bare)


def paths(site: Provisioned) -> None:
    r = site.r
    for path in (
        "maple",
        "maple/",
        "maple/codes/",
        "maple//codes",
        "/maple/codes",
        "maple/codes/unknown",
        "maple/patients",
        "maple/patients/",
        "maple/patients/a%2Fb",
        "maple/patients/a%20b",
        "maple/patients/%F0%9F%98%80",
        "maple/patients/..",
        "maple/patients/" + "x" * 65,
        "maple/patients/nobody/",
        "maple/patients/nobody/unknown",
        "maple/patients/nobody?full=true",
        "maple/links?patient=",
        "maple/links",
        "maple/links?patient=a&patient=b",
        "maple/links?patient=a&resource=invoice:x",
        "maple/links?patient=%FF",
        "maple/links?" + "&".join(f"p{number}=1" for number in range(40)),
        "maple/audit",
        "maple/email-changes",
    ):
        r.call(f"GET {path[:60]}", site.desk, "GET", path)
    for path in ("/v1/practices", "/v1/practices/", "/v1", "/v1/", "/v2", "/", "//", "/favicon.ico", "/robots.txt"):
        r.ask(f"GET {path} as a client", "GET", path, headers=site.desk.basic)
        r.ask(f"GET {path}", "GET", path)
    for path in ("/metrics", "/docs", "/openapi.json", "/static/", "/static/none.css", "/%00", "/a\\b", "/..", "/p"):
        r.ask(f"GET {path}", "GET", path)
    r.ask("another host", "GET", "/p/maple/sign-in", host="evil.example")
    r.ask("a whole address", "GET", "http://evil.example/livez")
    r.ask("an inbound request id", "GET", "/nothing", headers={"X-Request-Id": "given-by-the-caller"})


def bodies(site: Provisioned) -> None:
    r, path = site.r, "/v1/practices/maple/codes"
    good = b'{"patient": "nobody"}'
    sent: dict[str, tuple[dict[str, str], bytes | None]] = {
        "none": ({}, None),
        "none, but a type": (JSON, None),
        "empty": (JSON, b""),
        "white space": (JSON, b" \n"),
        "not JSON": (JSON, b"{"),
        "a list": (JSON, b"[]"),
        "a string": (JSON, b'"x"'),
        "null": (JSON, b"null"),
        "NaN": (JSON, b'{"patient": NaN}'),
        "Infinity": (JSON, b'{"patient": -Infinity}'),
        "a huge number": (JSON, b'{"patient": 1e999}'),
        "repeated members": (JSON, b'{"patient": "a", "patient": "b"}'),
        "repeated inside": (JSON, b'{"patient": {"a": 1, "a": 2}}'),
        "not UTF-8": (JSON, b'{"patient": "\xff"}'),
        "a byte order mark": (JSON, b"\xef\xbb\xbf" + good),
        "a lone surrogate": (JSON, b'{"patient": "\\ud800"}'),
        "a control character": (JSON, b'{"email": "a\\u0000@example.org"}'),
        "a bidirectional override": (JSON, '{"email": "a\u202e@example.org"}'.encode()),
        "nested deeply": (JSON, b'{"patient": ' + b"[" * 20 + b"]" * 20 + b"}"),
        "nested beyond measure": (JSON, b"[" * 8000 + b"]" * 8000),
        "trailing comma": (JSON, b'{"patient": "nobody",}'),
        "as a form": ({"Content-Type": "application/x-www-form-urlencoded"}, b"patient=nobody"),
        "without a type": ({}, good),
        "text": ({"Content-Type": "text/plain"}, good),
        "another JSON type": ({"Content-Type": "application/ld+json"}, good),
        "with a charset": ({"Content-Type": 'application/json; charset="UTF-8"'}, good),
        "with a wrong charset": ({"Content-Type": "application/json; charset=latin-1"}, good),
        "type in capitals": ({"Content-Type": "Application/JSON"}, good),
        "compressed": ({**JSON, "Content-Encoding": "gzip"}, good),
        "16 KiB": (JSON, b'{"patient": "nobody"' + b" " * (16_384 - 21) + b"}"),
        "one byte more": (JSON, b'{"patient": "nobody"' + b" " * (16_384 - 20) + b"}"),
        "every fault": (JSON, b'{"patient": 1, "email": "x", "locale": "??", "delivery": "pigeon", "b": 2, "c": 3}'),
    }
    for label, (headers, body) in sent.items():
        r.ask(label, "POST", path, headers={**site.desk.basic, **headers}, body=body)
    r.ask("not JSON, and a query", "POST", f"{path}?x=1", headers={**site.desk.basic, **JSON}, body=b"{")
    for label, body in {"a body with GET": b"{}", "a large body with GET": b"x" * 20_000}.items():
        r.ask(label, "GET", "/v1/practices/maple/patients/nobody", headers={**site.desk.basic, **JSON}, body=body)
    r.ask("a body with DELETE", "DELETE", "/v1/practices/maple/patients/nobody", headers=site.desk.basic, body=b"x")
    chunked = {**site.desk.basic, **JSON, "Transfer-Encoding": "chunked"}
    r.ask("in chunks", "POST", path, headers=chunked, body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(good), good), told="chunks")
    many = (b"1000\r\n" + b" " * 4096 + b"\r\n") * 5 + b"0\r\n\r\n"
    r.ask("too large in chunks", "POST", path, headers=chunked, body=many, told="chunks")


def members(site: Provisioned) -> None:
    """For every call with a body: nothing, an unknown member, null and each wrong type for every member."""
    known = {
        "maple/codes": ("patient", "email", "locale", "delivery", "client_ip"),
        "maple/codes/resend": ("challenge", "client_ip"),
        "maple/codes/verify": ("challenge", "code", "patient", "client_ip"),
        "maple/codes/choose": ("challenge", "patient", "client_ip"),
        "maple/links": ("patient", "workflow", "resource", "expires_in", "max_uses", "delivery", "locale"),
        "maple/links/exchange": ("token", "client_ip"),
        "maple/links/resend": ("token",),
        "maple/patients/nobody": ("email", "label", "locale", "portal_access"),
    }
    for path, names in known.items():
        method = "PUT" if "patients" in path else "POST"
        r = site.r
        r.call(f"{path} {{}}", site.desk, method, path, {})
        r.call(f"{path} unknown member", site.desk, method, path, {"unknown": 1, "a/b~c": 2, "x" * 80: 3})
        for wrong in (None, 1, 1.5, True, "", " ", "x" * 300, [], {}, "a\nb"):
            told = dict.fromkeys(names, wrong)
            r.call(f"{path} all {json.dumps(wrong)[:20]}", site.desk, method, path, told)


def http(site: Provisioned) -> None:
    """What is below HTTP's semantics: request lines, versions, framing."""
    r, host = site.r, b"Host: auth.wire.test:8000\r\n"
    for label, content in {
        "no HTTP": b"hello\r\n\r\n",
        "HTTP/1.0": b"GET /livez HTTP/1.0\r\n\r\n",
        "HTTP/1.1 without Host": b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n",
        "an unknown version": b"GET /livez HTTP/3.7\r\n" + host + b"\r\n",
        "a lower-case method": b"get /livez HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n",
        "a long request line": b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        "a huge header": b"GET /livez HTTP/1.1\r\n" + host + b"X-Big: " + b"x" * 20_000 + b"\r\n\r\n",
        "many headers": b"GET /livez HTTP/1.1\r\n" + host + b"X: y\r\n" * 80 + b"\r\n",
        "a wrong length": b"POST /oauth2/token HTTP/1.1\r\n" + host + b"Content-Length: ten\r\n\r\n",
        "two lengths": b"POST /livez HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "length and chunks": b"POST /livez HTTP/1.1\r\n"
        + host
        + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        "a header in two lines": b"GET /livez HTTP/1.1\r\n" + host + b"X-A: b\r\n c\r\nConnection: close\r\n\r\n",
        "an underscore": b"GET /livez HTTP/1.1\r\n" + host + b"X_Request_Id: abc\r\nConnection: close\r\n\r\n",
        "a body cut short": b"POST /v1/practices/maple/codes HTTP/1.1\r\n" + host + b"Content-Length: 10\r\n\r\nab",
        "an expectation": b"POST /v1/practices/maple/codes HTTP/1.1\r\n"
        + host
        + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    }.items():
        r.raw(label, content)
    for method in METHODS:
        for path in ("/livez", "/readyz", "/nothing", "/problems/not-found", "/limits"):
            r.ask(f"{method} {path}", method, path)


# --- codes ----------------------------------------------------------------------------------------------------------


def codes_by_email(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.1"
    known = site.patient("ea")
    site.patient("eb", portal_access=False)
    site.patient("ec", locale="es")
    for label, email in {
        "known": known,
        "unknown": "nobody@example.org",
        "without access": "eb@example.org",
        "in capitals, spaces around": " EA@Example.ORG ",
        "Spanish by the patient": "ec@example.org",
        "an internationalised domain": "x@bücher.example",
        "in quotes": '"a b"@example.org',
        "no domain": "a@",
        "no local part": "@example.org",
        "two at signs": "a@b@example.org",
        "one that NFKC changes": "ﬁ@example.org",
        "not ASCII": "é@example.org",
        "a dot at the end": "a@example.org.",
    }.items():
        r.call(label, site.desk, "POST", "maple/codes", {"email": email, "client_ip": ip})
    r.mail(known, "for the start")
    for locale in ("es", "es-MX", "en", "de", "fr-CA"):
        members = {"email": "ec@example.org", "locale": locale, "client_ip": ip}
        r.call(f"in {locale}", site.desk, "POST", "maple/codes", members)
    r.call("by both", site.desk, "POST", "maple/codes", {"email": known, "patient": "ea"})
    r.call("to the caller", site.desk, "POST", "maple/codes", {"email": known, "delivery": "caller"})
    r.call("by webhook", site.desk, "POST", "maple/codes", {"patient": "ea", "delivery": "webhook"})
    for wrong in ("300.1.1.1", "fe80::1%eth0", "203.0.113.0/24", "2001:db8::1", "::ffff:203.0.113.9"):
        members = {"email": "nobody@example.org", "client_ip": wrong}
        r.call(f"client_ip {wrong}", site.desk, "POST", "maple/codes", members)


def codes_by_patient(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.2"
    email = site.patient("pa")
    site.patient("pb", portal_access=False)
    r.call("known", site.desk, "POST", "maple/codes", {"patient": "pa", "client_ip": ip})
    r.mail(email)
    r.call("unknown", site.desk, "POST", "maple/codes", {"patient": "nobody", "client_ip": ip})
    r.call("without access", site.desk, "POST", "maple/codes", {"patient": "pb", "client_ip": ip})
    r.call("told", site.desk, "POST", "maple/codes", {"patient": "pa", "delivery": "caller", "client_ip": ip})
    r.call("at another practice", site.desk, "POST", "oak/codes", {"patient": "pa", "client_ip": ip})


def codes_verified(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.3"
    site.patient("va")

    def verify(label: str, begun: Any, code: Any, client: ClientSecret = site.desk, **more: Any) -> Any:
        told = {"challenge": begun["challenge"], "code": code, "client_ip": ip, **more}
        return r.call(label, client, "POST", f"{more.pop('at', 'maple')}/codes/verify", told)

    begun = site.started("va", ip)
    code = begun["code"]
    wrong = f"{(int(code) + 1) % 10**6:06d}"
    for label, typed in {
        "five digits": "12345",
        "letters": "abcdef",
        "Arabic-Indic digits": "٠١٢٣٤٥",
        "superscripts": "¹²³⁴⁵⁶",
        "a number": 123456,
        "endless": "1" * 70,
    }.items():
        verify(label, begun, typed)
    verify("wrong", begun, wrong)
    verify("by another client", begun, code, site.audience)
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
    verify("right, in full-width digits and with spaces", begun, f" {wide[:3]} - {wide[3:]}\n")
    first = verify("right again at once", begun, code)
    verify("wrong after right", begun, wrong)
    r.form("refreshed", "/oauth2/token", _refresh(first.json["refresh_token"]), site.desk)
    verify("right again after a refresh", begun, code)
    verify("unknown challenge", {"challenge": "ach_" + "A" * 43}, code)
    verify("no challenge at all", {"challenge": "x"}, code)
    begun = site.started("va", ip, client=site.audience)
    answer = verify("for another audience", begun, begun["code"], site.audience)
    r.ask("its token", "GET", "/v1/forward-auth?practice=maple&audience=billing-service", headers=_bearer(answer))
    begun = site.started("va", ip)
    r.call("at another practice", site.desk, "POST", "oak/codes/verify", {**_both(begun), "client_ip": ip})
    verify("named as somebody else", begun, begun["code"], patient="somebody")
    begun = site.started("va", ip)
    verify("named", begun, begun["code"], patient="va")
    begun = site.started("va", ip)
    with r.quietly():
        r.call("", site.desk, "PUT", "maple/patients/va", {"email": "va@example.org", "portal_access": False})
    verify("access was withdrawn meanwhile", begun, begun["code"])


def codes_exhausted(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.4"
    site.patient("xa")
    begun = site.started("xa", ip)
    wrong = f"{(int(begun['code']) + 1) % 10**6:06d}"
    for number in range(6):
        members = {"challenge": begun["challenge"], "code": wrong, "client_ip": ip}
        r.call(f"wrong, {number + 1}", site.desk, "POST", "maple/codes/verify", members)
    r.call("right, too late", site.desk, "POST", "maple/codes/verify", {**_both(begun), "client_ip": ip})
    r.call("sent again, too late", site.desk, "POST", "maple/codes/resend", {"challenge": begun["challenge"]})
    answer = r.call("unknown address", site.desk, "POST", "maple/codes", {"email": "xx@example.org", "client_ip": ip})
    for number in range(6):
        members = {"challenge": answer.json["challenge"], "code": f"00000{number}", "client_ip": ip}
        r.call(f"unknown address, wrong, {number + 1}", site.desk, "POST", "maple/codes/verify", members)


def codes_chosen(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.5"
    for name in ("sa", "sb", "sc"):
        site.patient(name, email="shared@example.org", label="" if name == "sb" else f"Label of {name}")
    site.patient("sd", email="shared@example.org", portal_access=False)

    def begin() -> dict[str, str]:
        answer = r.call("start", site.desk, "POST", "maple/codes", {"email": "shared@example.org", "client_ip": ip})
        mail = r.mail("shared@example.org")
        return {"challenge": answer.json["challenge"], "code": code_in(mail)}

    def choose(label: str, begun: dict[str, str], patient: str, client: ClientSecret = site.desk) -> Any:
        members = {"challenge": begun["challenge"], "patient": patient, "client_ip": ip}
        return r.call(label, client, "POST", "maple/codes/choose", members)

    begun = begin()
    choose("before the code", begun, "sa")
    r.call("verify", site.desk, "POST", "maple/codes/verify", {**begun, "client_ip": ip})
    r.call("verify again", site.desk, "POST", "maple/codes/verify", {**begun, "client_ip": ip})
    choose("by another client", begun, "sa", site.audience)
    choose("without access", begun, "sd")
    choose("unknown", begun, "nobody")
    choose("chosen", begun, "sb")
    choose("chosen again", begun, "sb")
    choose("another one, then", begun, "sa")
    begun = begin()
    r.call("verify, named", site.desk, "POST", "maple/codes/verify", {**begun, "patient": "sc", "client_ip": ip})
    begun = begin()
    members = {**begun, "patient": "sd", "client_ip": ip}
    r.call("verify, named one without access", site.desk, "POST", "maple/codes/verify", members)
    with r.quietly():
        told = {"email": "shared@example.org", "portal_access": False}
        r.call("", site.desk, "PUT", "maple/patients/sa", told)
    choose("access was withdrawn meanwhile", begun, "sa")


def codes_sent_again(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.6"
    email = site.patient("ra")
    answer = r.call("start", site.desk, "POST", "maple/codes", {"patient": "ra", "client_ip": ip})
    again = {"challenge": answer.json["challenge"], "client_ip": ip}
    r.call("at once", site.desk, "POST", "maple/codes/resend", again)
    first = code_in(r.mail(email))
    r.call("by another client", site.audience, "POST", "maple/codes/resend", again)
    r.call("unknown", site.desk, "POST", "maple/codes/resend", {"challenge": "ach_" + "B" * 43})
    told = r.call("told, start", site.desk, "POST", "maple/codes", {"patient": "ra", "delivery": "caller"}).json
    time.sleep(RESEND_AFTER_S + 0.3)
    r.call("in time", site.desk, "POST", "maple/codes/resend", again)
    r.mail(email)
    both = {"challenge": answer.json["challenge"], "code": first, "client_ip": ip}
    r.call("the first code is still good", site.desk, "POST", "maple/codes/verify", both)
    r.call("told, again", site.desk, "POST", "maple/codes/resend", {"challenge": told["challenge"]})


def idempotency(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.7"
    site.patient("ia")
    key = {"Idempotency-Key": "wire-1"}
    start = {"patient": "ia", "delivery": "caller", "client_ip": ip}
    for label in ("codes, first", "codes, repeated"):
        answer = r.call(label, site.desk, "POST", "maple/codes", start, key)
    r.call("codes, another body", site.desk, "POST", "maple/codes", {**start, "locale": "es"}, key)
    r.call("codes, another client", site.audience, "POST", "maple/codes", start, key)
    r.call("another path", site.desk, "POST", "maple/links", {"patient": "ia", "workflow": "portal"}, key)
    link = {"patient": "ia", "workflow": "pay-invoice", "resource": "invoice:inv_1"}
    for label in ("links, first", "links, repeated"):
        r.call(label, site.desk, "POST", "maple/links", link, {"Idempotency-Key": "wire-2"})
    r.call(
        "links, another body", site.desk, "POST", "maple/links", {**link, "max_uses": 1}, {"Idempotency-Key": "wire-2"}
    )
    time.sleep(RESEND_AFTER_S + 0.3)
    again = {"challenge": answer.json["challenge"], "client_ip": ip}
    for label in ("resend, first", "resend, repeated"):
        r.call(label, site.desk, "POST", "maple/codes/resend", again, {"Idempotency-Key": "wire-3"})
    r.call("a refusal", site.desk, "POST", "maple/codes", {"patient": "later"}, {"Idempotency-Key": "wire-4"})
    site.patient("later")
    r.call("is not kept", site.desk, "POST", "maple/codes", {"patient": "later"}, {"Idempotency-Key": "wire-4"})
    for label, wrong in {"empty": "", "with a space": "a b", "too long": "k" * 65, "not ASCII": "é"}.items():
        r.call(f"a key {label}", site.desk, "POST", "maple/codes", start, {"Idempotency-Key": wrong})
    r.call("where it means nothing", site.desk, "GET", "maple/patients/ia", None, {"Idempotency-Key": "a b"})


# --- links ----------------------------------------------------------------------------------------------------------


def links_issued(site: Provisioned) -> None:
    r = site.r
    email = site.patient("la")
    spanish = site.patient("lb", practice="oak")
    site.patient("lc", portal_access=False)
    invoice = {"patient": "la", "workflow": "pay-invoice", "resource": "invoice:inv_1"}
    for label, members in {
        "pay-invoice": invoice,
        "update-payment-info": {"patient": "la", "workflow": "update-payment-info"},
        "accept-agreement": {"patient": "la", "workflow": "accept-agreement", "resource": "agreement:a.1"},
        "portal": {"patient": "la", "workflow": "portal"},
        "with a life": {**invoice, "expires_in": 3600},
        "with a fraction that is whole": {**invoice, "expires_in": 3600.0},
        "with uses": {**invoice, "max_uses": 3},
        "portal with uses": {"patient": "la", "workflow": "portal", "max_uses": 2},
        "for a patient who isn't on file": {**invoice, "patient": "stranger"},
        "without a resource": {"patient": "la", "workflow": "pay-invoice"},
        "with a resource too many": {"patient": "la", "workflow": "portal", "resource": "invoice:inv_1"},
        "with another kind of resource": {**invoice, "resource": "agreement:a"},
        "with a misshapen resource": {**invoice, "resource": "Invoice inv_1"},
        "an extra workflow": {"patient": "la", "workflow": "view-invoices"},
        "an unknown workflow": {"patient": "la", "workflow": "dance"},
        "longer than allowed": {**invoice, "expires_in": 2_592_001},
        "no life": {**invoice, "expires_in": 0},
        "no uses": {**invoice, "max_uses": 0},
        "every fault": {
            "patient": "l a",
            "workflow": "pay-invoice",
            "resource": "x",
            "expires_in": -1,
            "max_uses": "1",
        },
        "portal for nobody": {"patient": "stranger", "workflow": "portal"},
        "portal without access": {"patient": "lc", "workflow": "portal"},
        "by email to nobody": {**invoice, "patient": "stranger", "delivery": "email"},
    }.items():
        r.call(label, site.desk, "POST", "maple/links", members)
    for workflow, more in {
        "pay-invoice": {"resource": "invoice:inv_1"},
        "update-payment-info": {},
        "accept-agreement": {"resource": "agreement:a.1"},
        "portal": {},
    }.items():
        for locale in ("en", "es"):
            members = {"patient": "la", "workflow": workflow, "delivery": "email", "locale": locale, **more}
            r.call(f"{workflow} by email in {locale}", site.desk, "POST", "maple/links", members)
            r.mail(email)
    members = {"patient": "lb", "workflow": "update-payment-info", "delivery": "email"}
    r.call("by email of oak", site.desk, "POST", "oak/links", members)
    r.mail(spanish)
    r.call("with a page of elm's own", site.desk, "POST", "elm/links", {**invoice, "patient": "anybody"})
    r.call("at a practice not served", site.other, "POST", "maple/links", invoice)


def links_exchanged(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.8"
    email = site.patient("na", locale="es")

    def exchange(label: str, token: str, client: ClientSecret = site.desk, practice: str = "maple") -> Any:
        return r.call(label, client, "POST", f"{practice}/links/exchange", {"token": token, "client_ip": ip})

    for workflow, more in {
        "pay-invoice": {"resource": "invoice:inv_1"},
        "update-payment-info": {},
        "accept-agreement": {"resource": "agreement:a.1"},
    }.items():
        _, token, _ = site.link("na", workflow, **more)
        answer = exchange(workflow, token)
        r.ask(f"{workflow}, its token", "GET", "/v1/forward-auth?practice=maple", headers=_bearer(answer))
        exchange(f"{workflow}, again", token)
    exchange("by a client with another audience", token, site.audience)
    exchange("at another practice", token, practice="oak")
    exchange("unknown", "al_" + "C" * 43)
    exchange("unknown access link", "ala_" + "C" * 43)
    exchange("no token at all", "x")
    _, access, _ = site.link("na", "portal")
    begun = exchange("access link", access).json
    code = code_in(r.mail(email))
    members = {"challenge": begun["challenge"], "code": f"{(int(code) + 1) % 10**6:06d}", "client_ip": ip}
    r.call("access link, wrong code", site.desk, "POST", "maple/codes/verify", members)
    members["code"] = code
    r.call("access link, code", site.desk, "POST", "maple/codes/verify", members)
    for number in range(2, 6):
        exchange(f"access link, use {number}", access)
    exchange("access link, used up", access)
    r.call("listed", site.desk, "GET", "maple/links?patient=na")
    r.call("nothing listed", site.desk, "GET", "maple/links?patient=nobody")


def links_dead(site: Provisioned) -> None:
    r = site.r
    site.patient("da")

    def exchange(label: str, token: str) -> None:
        r.call(label, site.desk, "POST", "maple/links/exchange", {"token": token})

    _, expired, _ = site.link("da", "update-payment-info", expires_in=1)
    _, used, _ = site.link("da", "update-payment-info", max_uses=1)
    exchange("the one use", used)
    exchange("used up", used)
    _, revoked, link = site.link("da", "update-payment-info")
    r.call("revoke", site.desk, "DELETE", f"maple/links/{link}")
    exchange("revoked", revoked)
    _, moved, _ = site.link("da", "portal")
    site.patient("da", email="da.new@example.org")
    r.mail("da@example.org")
    r.mail("da.new@example.org")
    exchange("address changed", moved)
    time.sleep(1.2)
    exchange("expired", expired)
    _, ended, _ = site.link("da", "portal")
    site.patient("da", email="da.new@example.org", portal_access=False)
    exchange("access withdrawn", ended)
    r.call("listed", site.desk, "GET", "maple/links?patient=da")


def links_revoked(site: Provisioned) -> None:
    r = site.r
    site.patient("ka")
    invoice = {"resource": "invoice:inv_k"}
    _, token, link = site.link("ka", "pay-invoice", **invoice)
    given = site.exchanged(token)
    r.ask("before", "GET", "/v1/forward-auth?practice=maple", headers=bearer(given["access_token"]))
    r.call("by id", site.desk, "DELETE", f"maple/links/{link}")
    r.ask("after", "GET", "/v1/forward-auth?practice=maple", headers=bearer(given["access_token"]))
    r.call("by id again", site.desk, "DELETE", f"maple/links/{link}")
    r.call("an unknown id", site.desk, "DELETE", "maple/links/AAAAAAAAAAAAAAAA")
    r.call("no id", site.desk, "DELETE", "maple/links/a.b")
    r.call("another practice's", site.desk, "DELETE", f"oak/links/{link}")
    for _ in range(2):
        site.link("ka", "pay-invoice", **invoice)
    site.link("ka", "portal")
    r.call("by resource", site.desk, "DELETE", "maple/links?resource=invoice:inv_k")
    r.call("by resource again", site.desk, "DELETE", "maple/links?resource=invoice:inv_k")
    r.call("by patient", site.desk, "DELETE", "maple/links?patient=ka")
    for query in ("", "?patient=ka&resource=invoice:x", "?resource=x", "?patient=", "?patient=ka&x=1"):
        r.call(f"by {query or 'nothing'}", site.desk, "DELETE", f"maple/links{query}")
    r.call("listed", site.desk, "GET", "maple/links?patient=ka")


def links_sent_again(site: Provisioned) -> None:
    r = site.r
    email = site.patient("ga")

    def again(label: str, token: str) -> None:
        r.call(label, site.desk, "POST", "maple/links/resend", {"token": token})

    _, live, _ = site.link("ga", "update-payment-info")
    again("a live one", live)
    again("an unknown one", "al_" + "D" * 43)
    again("not a token", "x")
    _, used, _ = site.link("ga", "pay-invoice", resource="invoice:i", max_uses=1)
    site.exchanged(used)
    again("a used one", used)
    r.mail(email)
    again("a used one, at once again", used)
    _, expired, _ = site.link("ga", "portal", expires_in=1)
    _, revoked, link = site.link("ga", "update-payment-info")
    with r.quietly():
        r.call("", site.desk, "DELETE", f"maple/links/{link}")
    again("a revoked one", revoked)
    time.sleep(1.2)
    again("an expired one", expired)
    r.mail(email)
    r.no_mail(email)
    time.sleep(1.2)  # the new one has the life of the one before
    r.call("listed", site.desk, "GET", "maple/links?patient=ga")


# --- patients and sessions ------------------------------------------------------------------------------------------


def patients(site: Provisioned) -> None:
    r = site.r
    whole = {"email": "qa@example.org", "label": "Quinn Añez", "locale": "es-MX", "portal_access": True}
    r.call("new", site.desk, "PUT", "maple/patients/qa", whole)
    r.call("the same", site.desk, "PUT", "maple/patients/qa", whole)
    r.call("read", site.desk, "GET", "maple/patients/qa")
    r.call(
        "left out, so reset", site.desk, "PUT", "maple/patients/qa", {"email": "qa@example.org", "portal_access": True}
    )
    r.call("read anew", site.desk, "GET", "maple/patients/qa")
    r.call("head", site.desk, "HEAD", "maple/patients/qa")
    r.call("another address", site.desk, "PUT", "maple/patients/qa", {**whole, "email": "qa2@example.org"})
    r.mail("qa@example.org")
    r.mail("qa2@example.org")
    r.call("access withdrawn", site.desk, "PUT", "maple/patients/qa", {**whole, "portal_access": False})
    r.call("label too long", site.desk, "PUT", "maple/patients/qa", {**whole, "label": "x" * 101})
    r.call("label of 100", site.desk, "PUT", "maple/patients/qa", {**whole, "label": "ß" * 100})
    r.call("another practice", site.desk, "GET", "oak/patients/qa")
    for name in ("A.b_c-9", "0", "x" * 64):
        r.call(f"an id such as {name[:10]}", site.desk, "PUT", f"maple/patients/{name}", whole)
    r.call("deliveries", site.desk, "GET", "maple/patients/nobody/deliveries")
    r.delivered(site.desk, "maple/patients/qa")
    r.call("deliveries of qa", site.desk, "GET", "maple/patients/qa/deliveries")
    signed = site.patient("qb")
    grant = site.signed_in("qb", "198.51.100.9")
    r.call("forget", site.desk, "DELETE", "maple/patients/qb")
    r.call("forget again", site.desk, "DELETE", "maple/patients/qb")
    r.call("forgotten", site.desk, "GET", "maple/patients/qb")
    r.ask("an earlier token", "GET", "/v1/forward-auth?practice=maple", headers=bearer(grant["access_token"]))
    r.form("an earlier refresh token", "/oauth2/token", _refresh(grant["refresh_token"]), site.desk)
    r.call("a code for it", site.desk, "POST", "maple/codes", {"email": signed, "client_ip": "198.51.100.9"})
    r.call("never on file", site.desk, "DELETE", "maple/patients/nobody")


def addresses(site: Provisioned) -> None:
    r = site.r
    for address in (
        "Ta@Example.ORG",
        " ta@example.org ",
        "ta+tag@example.org",
        "ta@bücher.example",
        "ta@xn--bcher-kva.example",
        "ﬁona@example.org",
        "tä@example.org",
        "ta@localhost",
        "ta@[127.0.0.1]",
        "ta@example..org",
        ".ta@example.org",
        '"t a"@example.org',
        "ta@example.org, tb@example.org",
        "ta@example.org\u200b",
        "Ta <ta@example.org>",
        "ta@-example.org",
        "t" * 65 + "@example.org",
        "ta@" + "e" * 250 + ".org",
        "ta",
    ):
        r.call(f"PUT {address[:40]}", site.desk, "PUT", "maple/patients/ta", {"email": address, "portal_access": True})


def sessions(site: Provisioned) -> None:
    r, ip = site.r, "198.51.100.10"
    site.patient("oa")
    r.call("none", site.desk, "GET", "maple/patients/oa/sessions")
    grants = [site.signed_in("oa", ip) for _ in range(3)]
    r.call("three", site.desk, "GET", "maple/patients/oa/sessions")
    sid = grants[0]["session"]
    r.call("end one", site.desk, "DELETE", f"maple/patients/oa/sessions/{sid}")
    r.call("end it again", site.desk, "DELETE", f"maple/patients/oa/sessions/{sid}")
    r.ask("its token", "GET", "/v1/forward-auth?practice=maple", headers=bearer(grants[0]["access_token"]))
    r.form("its refresh token", "/oauth2/token", _refresh(grants[0]["refresh_token"]), site.desk)
    r.ask("another's token", "GET", "/v1/forward-auth?practice=maple", headers=bearer(grants[1]["access_token"]))
    r.call("two", site.desk, "GET", "maple/patients/oa/sessions")
    site.patient("ob")
    sid = grants[1]["session"]
    r.call("of another patient", site.desk, "DELETE", f"maple/patients/ob/sessions/{sid}")
    r.call("not an id", site.desk, "DELETE", "maple/patients/oa/sessions/a.b")
    r.call("end all", site.desk, "DELETE", "maple/patients/oa/sessions")
    r.call("end all again", site.desk, "DELETE", "maple/patients/oa/sessions")
    r.call("nobody's", site.desk, "GET", "maple/patients/nobody/sessions")
    r.call("end nobody's", site.desk, "DELETE", "maple/patients/nobody/sessions")
    grant = site.signed_in("oa", ip)
    site.patient("oa", email="oa.new@example.org")
    r.ask("after a change of address", "GET", "/v1/forward-auth?practice=maple", headers=bearer(grant["access_token"]))
    grant = site.signed_in("oa", ip)
    site.patient("oa", email="oa.new@example.org", portal_access=False)
    r.ask("after access was withdrawn", "GET", "/v1/forward-auth?practice=maple", headers=bearer(grant["access_token"]))


def limits(site: Provisioned) -> None:
    """Each budget until it is spent; the first call and those around the refusal are recorded."""
    r = site.r
    email = site.patient("ua")
    for number in range(7):
        r.call(f"one address, {number + 1}", site.desk, "POST", "maple/codes", {"email": email})
    for _ in range(5):
        r.mail(email)
    r.no_mail(email)
    for number in range(6):
        r.call(f"an unknown address, {number + 1}", site.desk, "POST", "maple/codes", {"email": "ux@example.org"})
    site.patient("ub")
    for number in range(12):
        members = {"patient": "ub", "delivery": "caller"}
        r.call(f"one patient, {number + 1}", site.desk, "POST", "maple/codes", members)
    _spend(site, "one network", 31, "maple/codes", lambda n: {"email": f"n{n}@example.org", "client_ip": "192.0.2.1"})
    tried = {"challenge": "ach_" + "E" * 43, "code": "000000", "client_ip": "192.0.2.2"}
    _spend(site, "codes tried from one network", 61, "maple/codes/verify", lambda _: tried)
    token = {"token": "al_" + "E" * 43, "client_ip": "192.0.2.3"}
    _spend(site, "links tried from one network", 121, "maple/links/exchange", lambda _: token)
    for number in range(3):
        client_ip = f"2001:db8:0:{number}::1"
        members = {"email": f"v{number}@example.org", "client_ip": client_ip}
        r.call(f"IPv6, {number + 1}", site.desk, "POST", "maple/codes", members)
    wrong = {**basic("desk", "acs_" + "y" * 43), "X-Forwarded-For": "192.0.2.4"}
    for number in range(62):
        with r.quietly():
            if number not in (0, 59, 60, 61):
                r.ask("", "GET", "/v1/practices/maple/patients/ub", headers=wrong)
                continue
        r.ask(f"a wrong secret, {number + 1}", "GET", "/v1/practices/maple/patients/ub", headers=wrong)
    right = {**site.desk.basic, "X-Forwarded-For": "192.0.2.4"}
    r.ask("a right secret then", "GET", "/v1/practices/maple/patients/ub", headers=right)


def _spend(site: Provisioned, label: str, times: int, path: str, members: Any) -> None:
    for number in range(times):
        if number in (0, times - 2, times - 1):
            site.r.call(f"{label}, {number + 1}", site.desk, "POST", path, members(number))
        else:
            with site.r.quietly():
                site.r.call("", site.desk, "POST", path, members(number))


def _refresh(token: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "refresh_token": token}


def _bearer(answer: Any) -> dict[str, str]:
    return bearer(answer.json["access_token"])


def _both(begun: Any) -> dict[str, str]:
    return {"challenge": begun["challenge"], "code": begun["code"]}


def code_in(mail: Any) -> str:
    """The six digits that stand alone in a line of a mail."""
    text = mail.get_body(("plain",)).get_content()
    return next(line for line in text.splitlines() if len(line) == 6 and line.isdigit())
