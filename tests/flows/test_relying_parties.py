"""Which clients may be registered: their addresses, their keys, and what excludes what."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.errors import InvalidInput, Unauthenticated, UnknownName
from authsvc.text import check_native_url, check_url
from tests.audit_logs import tail
from tests.flows.conftest import Harness
from tests.flows.signers import Signer

CALLBACK = "https://portal.example/callback"
NONE: frozenset[str] = frozenset()


def refused(call: Callable[[], Any]) -> list[str]:
    """The options that a refusal names."""
    with pytest.raises(InvalidInput) as caught:
        call()
    return [fault.pointer.lstrip("/") for fault in caught.value.faults]


def wrong(harness: Harness, name: str = "web", **how: Any) -> list[str]:
    found = refused(lambda: harness.new_client(name, **how))
    assert name not in [client.id for client in harness.service.clients.list()]
    return found


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        CALLBACK,
        "https://portal.example",
        "https://portal.example:8443/a/b?tenant=maple",
        "https://[2001:db8::1]/in",
        "https://xn--mller-kva.example/%C3%A4",
    ],
)
def test_a_plain_https_address_is_good(text: str) -> None:
    check_url(text, production=True)


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "localhost", "[::1]:3000"])
def test_plain_http_is_for_this_machine_while_developing(host: str) -> None:
    check_url(f"http://{host}/in", production=False)
    with pytest.raises(ValueError, match="https"):
        check_url(f"http://{host}/in", production=True)


@pytest.mark.parametrize(
    "text",
    ["com.example.app:/cb", "com.example-2.a:/", "http://127.0.0.1/cb", "http://[::1]:80/cb", "https://a.example/cb"],
)
def test_an_app_may_be_called_back_by_its_own_scheme_or_by_this_machines_number(text: str) -> None:
    check_native_url(text, production=True)


@pytest.mark.parametrize(
    "text",
    [
        "myapp:/cb",
        "javascript:/x",
        "com.example.app:",
        "com.example.app:cb",
        "com.example.app://host/cb",
        "Com.Example.App:/cb",
        "com.example.app:/cb#part",
        "com.example.app:/a/../b",
        "com.example.app:/*",
        "com..app:/cb",
        "http://localhost/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1@evil.example/cb",
        "http://portal.example/cb",
    ],
)
def test_attack_no_other_address_is_an_apps(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|is)"):
        check_native_url(text, production=True)


def test_who_pushes_and_who_proves_a_key_is_a_relying_party(harness: Harness) -> None:
    must = {"require_pushed_authorization_requests": True, "dpop_bound_access_tokens": True}
    assert wrong(harness, **must) == ["par", "dpop"]
    client, _ = harness.new_client("web", redirect_uris=(CALLBACK,), **must)
    assert harness.service.clients.known("web") == client
    changed = harness.service.clients.set("web", actor="cli:test", dpop_bound_access_tokens=False)
    assert (changed.dpop_bound_access_tokens, changed.require_pushed_authorization_requests) == (False, True)


def test_only_a_public_client_is_an_app(harness: Harness) -> None:
    assert wrong(harness, redirect_uris=("com.example.app:/cb",)) == ["redirect-uri"]
    app = {"public": True, "permissions": NONE, "redirect_uris": ("com.example.app:/cb",)}
    assert harness.new_client("app", **app, post_logout_uris=("com.example.app:/bye",))[0].public
    assert wrong(harness, **app, initiate_login_uri="com.example.app:/in") == ["initiate-login-uri"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://portal.example/" + "a" * 500,
        "https://portal.example/in here",
        "https://portal.example/in\n",
        "https://portal.example/ä",
        "https://portal.example\t/",
        "https://*.portal.example/in",
        "https://portal.example/*",
        "https://portal.example/in#part",
        "https://portal.example/in#",
        "https://portal.example\\@evil.example/in",
        "https://portal.example/a/../b",
        "https://portal.example/a/%2e%2E/b",
        "https://portal.example/<script>",
        "https://portal.example/{token}",
        "https://user@portal.example/in",
        "https://user:pass@portal.example/in",
        "https://@portal.example/in",
        "https://portal.example:0/in",
        "https://portal.example:/in",
        "https://portal.example:99999/in",
        "https://[portal/in",
        "https:///in",
        "https://",
        "https:portal.example/in",
        "//portal.example/in",
        "/in",
        "portal.example/in",
        "http://portal.example/in",
        "http://127.0.0.1.evil.example/in",
        "http://localhost.evil.example/in",
        "HTTPS://portal.example/in",
        "javascript:alert(1)",
        "data:text/html,x",
        "com.example.app:/in",
        "urn:ietf:wg:oauth:2.0:oob",
    ],
)
def test_attack_addresses_that_lead_elsewhere_or_can_be_read_in_two_ways(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(must|is)"):
        check_url(text, production=False)


@pytest.mark.parametrize(
    "name,option,value",
    [
        ("redirect_uris", "redirect-uri", ("http://portal.example/in",)),
        ("post_logout_uris", "post-logout-uri", ("https://portal.example/#out",)),
        ("initiate_login_uri", "initiate-login-uri", "https://*/start"),
        ("backchannel_logout_uri", "backchannel-logout-uri", "ftp://portal.example/out"),
    ],
)
def test_a_wrong_address_is_told_by_its_option(harness: Harness, name: str, option: str, value: Any) -> None:
    assert wrong(harness, **{"redirect_uris": (CALLBACK,), name: value}) == [option]


def test_every_fault_is_told_at_once(harness: Harness) -> None:
    every = {
        "redirect_uris": ("/in", CALLBACK, "http://portal.example"),
        "backchannel_logout_uri": "x",
        "practices": ("maple", "oak"),
        "public": True,
        "jwks": "{}",
    }
    told = ["jwks", "redirect-uri", "redirect-uri", "backchannel-logout-uri", "practice", "allow"]
    assert wrong(harness, **every) == told


def test_there_are_only_so_many_addresses(harness: Harness) -> None:
    many = tuple(f"{CALLBACK}/{number}" for number in range(21))
    assert wrong(harness, redirect_uris=many) == ["redirect-uri"]
    assert harness.new_client("web", redirect_uris=many[:20])[0].redirect_uris == many[:20]


# --- what excludes what -------------------------------------------------------------------------------------------


def test_a_relying_party_is_kept_as_it_was_registered(harness: Harness) -> None:
    given = {
        "redirect_uris": (CALLBACK, "https://portal.example/again"),
        "post_logout_uris": ("https://portal.example/out",),
        "initiate_login_uri": "https://portal.example/start",
        "backchannel_logout_uri": "https://portal.example/ended",
    }
    added, secret = harness.new_client("web", permissions=NONE, **given)
    kept = harness.service.clients.known("web")
    assert kept == added
    assert {name: getattr(kept, name) for name in given} == given
    assert (kept.authentication, secret[:4]) == ("client_secret_basic", "acs_")


@pytest.mark.parametrize("practices", [("*",), ("maple", "oak"), ("maple", "*")])
def test_a_relying_party_serves_exactly_one_practice(harness: Harness, practices: tuple[str, ...]) -> None:
    assert wrong(harness, practices=practices, redirect_uris=(CALLBACK,)) == ["practice"]


def test_the_other_addresses_come_with_a_redirect_address_only(harness: Harness) -> None:
    others = {
        "post_logout_uris": (CALLBACK,),
        "initiate_login_uri": CALLBACK,
        "backchannel_logout_uri": CALLBACK,
        "public": True,
        "permissions": NONE,
    }
    assert wrong(harness, **others) == ["post-logout-uri", "initiate-login-uri", "backchannel-logout-uri", "public"]


def test_a_public_client_has_no_secret_and_no_permission(harness: Harness) -> None:
    client, secret = harness.new_client("app", redirect_uris=(CALLBACK,), public=True, permissions=NONE)
    assert (client.authentication, client.secrets, secret) == ("none", (), "")
    assert wrong(harness, redirect_uris=(CALLBACK,), public=True) == ["allow"]


def test_who_has_a_private_key_is_not_public(harness: Harness) -> None:
    jwks = Signer("web", harness.clock).jwks()
    assert wrong(harness, redirect_uris=(CALLBACK,), public=True, permissions=NONE, jwks=jwks) == ["jwks"]


def test_a_client_that_signs_has_no_secret_and_its_keys_are_kept_bare(harness: Harness) -> None:
    signer = Signer("web", harness.clock)
    client, secret = harness.new_client("web", jwks=json.dumps({"keys": [signer.jwk(x5c=["..."])]}))
    assert (client.authentication, client.secrets, secret) == ("private_key_jwt", (), "")
    assert harness.service.clients.known("web") == client
    assert set(client.jwks[0]) == {"kty", "crv", "x", "y", "kid"}


@pytest.mark.parametrize("how", [{"public": True, "permissions": NONE}, {"jwks": True}])
def test_a_secret_that_there_is_not_is_not_rotated(harness: Harness, how: dict[str, Any]) -> None:
    if "jwks" in how:
        how = {"jwks": Signer("web", harness.clock).jwks()}
    harness.new_client("web", redirect_uris=(CALLBACK,), **how)
    assert refused(lambda: harness.service.clients.rotate_secret("web", actor="cli:test")) == ["id"]
    assert harness.service.clients.known("web").secrets == ()


def test_how_a_client_proves_itself_is_said_and_must_fit_the_rest(harness: Harness) -> None:
    jwks = Signer("web", harness.clock).jwks()
    assert wrong(harness, redirect_uris=(CALLBACK,), auth="private_key_jwt") == ["auth"]
    assert wrong(harness, redirect_uris=(CALLBACK,), auth="post", jwks=jwks) == ["auth"]
    assert wrong(harness, redirect_uris=(CALLBACK,), auth="basic", public=True, permissions=NONE) == ["auth"]
    made, secret = harness.new_client("web", redirect_uris=(CALLBACK,), auth="post")
    assert (made.authentication, secret[:4]) == ("client_secret_post", "acs_")
    assert harness.new_client("app", redirect_uris=(CALLBACK,), auth="none", permissions=NONE)[0].public
    assert harness.new_client("reports", auth="private_key_jwt", jwks=jwks)[0].authentication == "private_key_jwt"
    assert harness.new_client("mail", auth="basic")[0].authentication == "client_secret_basic"


def test_a_secret_may_move_between_header_and_form_and_stays(harness: Harness) -> None:
    _, secret = harness.new_client("web", redirect_uris=(CALLBACK,))
    clients = harness.service.clients
    for auth, method in (("post", "client_secret_post"), ("basic", "client_secret_basic")):
        assert clients.set("web", actor="cli:test", auth=auth).authentication == method
        assert clients.authenticate("web", secret, "192.0.2.1", method)
    for auth in ("none", "private_key_jwt"):
        assert refused(lambda auth=auth: clients.set("web", actor="cli:test", auth=auth)) == ["auth"]
    assert clients.rotate_secret("web", actor="cli:test")


def test_a_public_client_always_needs_pkce(harness: Harness) -> None:
    given = {"redirect_uris": (CALLBACK,), "permissions": NONE, "pkce": "optional"}
    assert wrong(harness, public=True, **given) == ["pkce"]
    assert wrong(harness, pkce="optional") == ["pkce"]
    assert harness.new_client("web", **given)[0].pkce == "optional"


def test_another_audience_of_assertions_is_for_clients_that_sign(harness: Harness) -> None:
    assert wrong(harness, assertion_audience="token-endpoint") == ["assertion-audience"]
    signer = Signer("web", harness.clock)
    harness.new_client("web", jwks=signer.jwks(), assertion_audience="token-endpoint")
    token = signer.sign(aud="http://127.0.0.1:8080/oauth2/token", exp=harness.clock.now_ms() // 1000 + 3600)
    assert harness.service.clients.authenticate_assertion(token, "", "192.0.2.1").id == "web"


# --- the record ---------------------------------------------------------------------------------------------------


def record(harness: Harness, name: str = "web") -> tuple[str, dict[str, Any]]:
    """The key and the content of a client's record."""
    (key,) = [key for key in harness.redis.keys("*") if key.endswith(f"one:{name}")]
    return key, json.loads(harness.redis.get(key))


def test_a_record_holds_what_differs_from_the_defaults_so_that_an_older_version_can_read_it(harness: Harness) -> None:
    harness.new_client("web", redirect_uris=(CALLBACK,))
    plain = {"id", "practices", "permissions", "audience", "secrets", "created_ms", "redirect_uris"}
    assert record(harness)[1].keys() == plain
    harness.service.clients.set("web", actor="cli:test", pkce="optional", auth="post")
    assert record(harness)[1].keys() - plain == {"pkce", "secret_in_form"}
    harness.service.clients.set("web", actor="cli:test", pkce="required", auth="basic")
    assert record(harness)[1].keys() == plain


def test_members_of_a_newer_version_are_passed_over_and_stay(harness: Harness) -> None:
    harness.new_client("web", redirect_uris=(CALLBACK,))
    key, found = record(harness)
    harness.redis.set(key, json.dumps({**found, "from_the_future": [1]}))
    assert harness.service.clients.known("web").pkce == "required"
    harness.service.clients.set("web", actor="cli:test", pkce="optional")
    harness.service.clients.rotate_secret("web", actor="cli:test")
    assert record(harness)[1]["from_the_future"] == [1]


# --- the confused deputy ------------------------------------------------------------------------------------------


def test_attack_confused_deputy_no_client_is_called_like_an_audience(harness: Harness) -> None:
    """An id_token's `aud` is the client's id: it would open a service of that name at a gateway."""
    harness.new_client("reports", audience="billing-api")
    for name, audience in (("practice-services", None), ("billing-api", None), ("web", "web"), ("revocations", None)):
        assert wrong(harness, name, audience=audience, redirect_uris=(CALLBACK,)) == ["id"]


def test_attack_confused_deputy_no_audience_is_called_like_a_client(harness: Harness) -> None:
    assert wrong(harness, audience="portal") == ["audience"]
    assert wrong(harness, audience="revocations") == ["audience"]


def test_attack_confused_deputy_nobody_becomes_one_by_a_changed_setting(harness: Harness) -> None:
    """The default audience may have become the id of a client since that was added."""
    harness.new_client("clinic-web")
    object.__setattr__(harness.service.settings, "default_audience", "clinic-web")
    change = harness.service.clients.set
    assert refused(lambda: change("clinic-web", redirect_uris=(CALLBACK,), actor="cli:test")) == ["id"]
    assert wrong(harness) == ["audience"]


# --- changes ------------------------------------------------------------------------------------------------------


def test_what_is_named_is_replaced_and_the_rest_stays(harness: Harness) -> None:
    out = ("https://portal.example/out",)
    before, secret = harness.new_client("web", redirect_uris=(CALLBACK,), post_logout_uris=out)
    harness.service.clients.authenticate("web", secret, "192.0.2.1")
    changed = harness.service.clients.set("web", actor="cli:anna", reason="moved", redirect_uris=(CALLBACK + "2",))
    assert (changed.redirect_uris, changed.post_logout_uris) == ((CALLBACK + "2",), out)
    assert changed.secrets == before.secrets
    assert harness.service.clients.authenticate("web", secret, "192.0.2.1") == changed
    assert harness.service.clients.set("web", actor="cli:anna", post_logout_uris=()).post_logout_uris == ()
    entries = tail(harness.service.audit_log, "@site")
    assert {"event": "client.changed", "client": "web", "actor": "cli:anna", "reason": "moved"}.items() <= entries[
        -2
    ].items()


def test_a_service_becomes_a_relying_party_if_it_serves_one_practice(harness: Harness) -> None:
    harness.new_client("every", practices=("*",))
    change = harness.service.clients.set
    assert change("portal", actor="cli:test", redirect_uris=(CALLBACK,)).redirect_uris == (CALLBACK,)
    assert refused(lambda: change("every", actor="cli:test", redirect_uris=(CALLBACK,))) == ["practice"]
    assert refused(lambda: change("every", actor="cli:test", initiate_login_uri=CALLBACK)) == ["initiate-login-uri"]


def test_a_relying_party_keeps_one_address_and_a_client_its_way_of_proving_itself(harness: Harness) -> None:
    harness.new_client("web", redirect_uris=(CALLBACK,))
    change, jwks = harness.service.clients.set, Signer("web", harness.clock).jwks()
    assert refused(lambda: change("web", actor="cli:test", redirect_uris=())) == ["redirect-uri"]
    assert refused(lambda: change("web", actor="cli:test", jwks=jwks)) == ["jwks"]
    assert change("portal", actor="cli:test", redirect_uris=()).redirect_uris == ()
    with pytest.raises(UnknownName):
        change("nobody", actor="cli:test", redirect_uris=(CALLBACK,))


def test_keys_are_rotated_by_a_new_set(harness: Harness) -> None:
    old, new = Signer("web", harness.clock), Signer("web", harness.clock, kid="key-2")
    harness.new_client("web", jwks=old.jwks())
    clients = harness.service.clients
    clients.authenticate_assertion(old.sign(), "", "192.0.2.1")
    clients.set("web", actor="cli:test", jwks=old.jwks(new))
    for signer in (old, new):
        clients.authenticate_assertion(signer.sign(jti=signer.kid), "", "192.0.2.1")
    clients.set("web", actor="cli:test", jwks=new.jwks())
    with pytest.raises(Unauthenticated):
        clients.authenticate_assertion(old.sign(), "", "192.0.2.1")
    assert refused(lambda: clients.set("web", actor="cli:test", jwks="{}")) == ["jwks"]
