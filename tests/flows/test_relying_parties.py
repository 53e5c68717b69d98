"""Which clients may be registered: their addresses, their keys, and what excludes what."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from authsvc.errors import InvalidInput, Unauthenticated, UnknownName
from authsvc.text import check_native_url, check_url
from tests.flows.conftest import House
from tests.flows.signers import Signer

CALLBACK = "https://portal.example/callback"
NONE: frozenset[str] = frozenset()


def refused(call: Callable[[], Any]) -> list[str]:
    """The options that a refusal names."""
    with pytest.raises(InvalidInput) as caught:
        call()
    return [fault.pointer.lstrip("/") for fault in caught.value.faults]


def wrong(house: House, name: str = "web", **how: Any) -> list[str]:
    found = refused(lambda: house.new_client(name, **how))
    assert name not in [client.id for client in house.service.clients.list()]
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


def test_who_pushes_and_who_proves_a_key_is_a_relying_party(house: House) -> None:
    must = {"require_pushed_authorization_requests": True, "dpop_bound_access_tokens": True}
    assert wrong(house, **must) == ["par", "dpop"]
    client, _ = house.new_client("web", redirect_uris=(CALLBACK,), **must)
    assert house.service.clients.known("web") == client
    changed = house.service.clients.set("web", actor="cli:test", dpop_bound_access_tokens=False)
    assert (changed.dpop_bound_access_tokens, changed.require_pushed_authorization_requests) == (False, True)


def test_only_a_public_client_is_an_app(house: House) -> None:
    assert wrong(house, redirect_uris=("com.example.app:/cb",)) == ["redirect-uri"]
    app = {"public": True, "permissions": NONE, "redirect_uris": ("com.example.app:/cb",)}
    assert house.new_client("app", **app, post_logout_uris=("com.example.app:/bye",))[0].public
    assert wrong(house, **app, initiate_login_uri="com.example.app:/in") == ["initiate-login-uri"]


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
def test_a_wrong_address_is_told_by_its_option(house: House, name: str, option: str, value: Any) -> None:
    assert wrong(house, **{"redirect_uris": (CALLBACK,), name: value}) == [option]


def test_every_fault_is_told_at_once(house: House) -> None:
    every = {
        "redirect_uris": ("/in", CALLBACK, "http://portal.example"),
        "backchannel_logout_uri": "x",
        "practices": ("maple", "oak"),
        "public": True,
        "jwks": "{}",
    }
    told = ["jwks", "redirect-uri", "redirect-uri", "backchannel-logout-uri", "practice", "allow"]
    assert wrong(house, **every) == told


def test_there_are_only_so_many_addresses(house: House) -> None:
    many = tuple(f"{CALLBACK}/{number}" for number in range(21))
    assert wrong(house, redirect_uris=many) == ["redirect-uri"]
    assert house.new_client("web", redirect_uris=many[:20])[0].redirect_uris == many[:20]


# --- what excludes what -------------------------------------------------------------------------------------------


def test_a_relying_party_is_kept_as_it_was_registered(house: House) -> None:
    given = {
        "redirect_uris": (CALLBACK, "https://portal.example/again"),
        "post_logout_uris": ("https://portal.example/out",),
        "initiate_login_uri": "https://portal.example/start",
        "backchannel_logout_uri": "https://portal.example/ended",
    }
    added, secret = house.new_client("web", permissions=NONE, **given)
    kept = house.service.clients.known("web")
    assert kept == added
    assert {name: getattr(kept, name) for name in given} == given
    assert (kept.authentication, secret[:4]) == ("client_secret_basic", "acs_")


@pytest.mark.parametrize("practices", [("*",), ("maple", "oak"), ("maple", "*")])
def test_a_relying_party_serves_exactly_one_practice(house: House, practices: tuple[str, ...]) -> None:
    assert wrong(house, practices=practices, redirect_uris=(CALLBACK,)) == ["practice"]


def test_the_other_addresses_come_with_a_redirect_address_only(house: House) -> None:
    others = {
        "post_logout_uris": (CALLBACK,),
        "initiate_login_uri": CALLBACK,
        "backchannel_logout_uri": CALLBACK,
        "public": True,
        "permissions": NONE,
    }
    assert wrong(house, **others) == ["post-logout-uri", "initiate-login-uri", "backchannel-logout-uri", "public"]


def test_a_public_client_has_no_secret_and_no_permission(house: House) -> None:
    client, secret = house.new_client("app", redirect_uris=(CALLBACK,), public=True, permissions=NONE)
    assert (client.authentication, client.secrets, secret) == ("none", (), "")
    assert wrong(house, redirect_uris=(CALLBACK,), public=True) == ["allow"]


def test_who_has_a_private_key_is_not_public(house: House) -> None:
    jwks = Signer("web", house.clock).jwks()
    assert wrong(house, redirect_uris=(CALLBACK,), public=True, permissions=NONE, jwks=jwks) == ["jwks"]


def test_a_client_that_signs_has_no_secret_and_its_keys_are_kept_bare(house: House) -> None:
    signer = Signer("web", house.clock)
    client, secret = house.new_client("web", jwks=json.dumps({"keys": [signer.jwk(x5c=["..."])]}))
    assert (client.authentication, client.secrets, secret) == ("private_key_jwt", (), "")
    assert house.service.clients.known("web") == client
    assert set(client.jwks[0]) == {"kty", "crv", "x", "y", "kid"}


@pytest.mark.parametrize("how", [{"public": True, "permissions": NONE}, {"jwks": True}])
def test_a_secret_that_there_is_not_is_not_rotated(house: House, how: dict[str, Any]) -> None:
    if "jwks" in how:
        how = {"jwks": Signer("web", house.clock).jwks()}
    house.new_client("web", redirect_uris=(CALLBACK,), **how)
    assert refused(lambda: house.service.clients.rotate_secret("web", actor="cli:test")) == ["id"]
    assert house.service.clients.known("web").secrets == ()


def test_how_a_client_proves_itself_is_said_and_must_fit_the_rest(house: House) -> None:
    jwks = Signer("web", house.clock).jwks()
    assert wrong(house, redirect_uris=(CALLBACK,), auth="private_key_jwt") == ["auth"]
    assert wrong(house, redirect_uris=(CALLBACK,), auth="post", jwks=jwks) == ["auth"]
    assert wrong(house, redirect_uris=(CALLBACK,), auth="basic", public=True, permissions=NONE) == ["auth"]
    made, secret = house.new_client("web", redirect_uris=(CALLBACK,), auth="post")
    assert (made.authentication, secret[:4]) == ("client_secret_post", "acs_")
    assert house.new_client("app", redirect_uris=(CALLBACK,), auth="none", permissions=NONE)[0].public
    assert house.new_client("reports", auth="private_key_jwt", jwks=jwks)[0].authentication == "private_key_jwt"
    assert house.new_client("mail", auth="basic")[0].authentication == "client_secret_basic"


def test_a_secret_may_move_between_header_and_form_and_stays(house: House) -> None:
    _, secret = house.new_client("web", redirect_uris=(CALLBACK,))
    clients = house.service.clients
    for auth, method in (("post", "client_secret_post"), ("basic", "client_secret_basic")):
        assert clients.set("web", actor="cli:test", auth=auth).authentication == method
        assert clients.authenticate("web", secret, "192.0.2.1", method)
    for auth in ("none", "private_key_jwt"):
        assert refused(lambda auth=auth: clients.set("web", actor="cli:test", auth=auth)) == ["auth"]
    assert clients.rotate_secret("web", actor="cli:test")


def test_a_public_client_always_needs_pkce(house: House) -> None:
    given = {"redirect_uris": (CALLBACK,), "permissions": NONE, "pkce": "optional"}
    assert wrong(house, public=True, **given) == ["pkce"]
    assert wrong(house, pkce="optional") == ["pkce"]
    assert house.new_client("web", **given)[0].pkce == "optional"


def test_another_audience_of_assertions_is_for_clients_that_sign(house: House) -> None:
    assert wrong(house, assertion_audience="token-endpoint") == ["assertion-audience"]
    signer = Signer("web", house.clock)
    house.new_client("web", jwks=signer.jwks(), assertion_audience="token-endpoint")
    token = signer.sign(aud="http://127.0.0.1:8080/oauth2/token", exp=house.clock.now_ms() // 1000 + 3600)
    assert house.service.clients.authenticate_assertion(token, "", "192.0.2.1").id == "web"


# --- the record ---------------------------------------------------------------------------------------------------


def record(house: House, name: str = "web") -> tuple[str, dict[str, Any]]:
    """The key and the content of a client's record."""
    (key,) = [key for key in house.redis.keys("*") if key.endswith(f"one:{name}")]
    return key, json.loads(house.redis.get(key))


def test_a_record_holds_what_differs_from_the_defaults_so_that_an_older_version_can_read_it(house: House) -> None:
    house.new_client("web", redirect_uris=(CALLBACK,))
    plain = {"id", "practices", "permissions", "audience", "secrets", "created_ms", "redirect_uris"}
    assert record(house)[1].keys() == plain
    house.service.clients.set("web", actor="cli:test", pkce="optional", auth="post")
    assert record(house)[1].keys() - plain == {"pkce", "secret_in_form"}
    house.service.clients.set("web", actor="cli:test", pkce="required", auth="basic")
    assert record(house)[1].keys() == plain


def test_members_of_a_newer_version_are_passed_over_and_stay(house: House) -> None:
    house.new_client("web", redirect_uris=(CALLBACK,))
    key, found = record(house)
    house.redis.set(key, json.dumps({**found, "from_the_future": [1]}))
    assert house.service.clients.known("web").pkce == "required"
    house.service.clients.set("web", actor="cli:test", pkce="optional")
    house.service.clients.rotate_secret("web", actor="cli:test")
    assert record(house)[1]["from_the_future"] == [1]


# --- the confused deputy ------------------------------------------------------------------------------------------


def test_attack_confused_deputy_no_client_is_called_like_an_audience(house: House) -> None:
    """An id_token's `aud` is the client's id: it would open a service of that name at a gateway."""
    house.new_client("reports", audience="billing-api")
    for name, audience in (("practice-services", None), ("billing-api", None), ("web", "web"), ("revocations", None)):
        assert wrong(house, name, audience=audience, redirect_uris=(CALLBACK,)) == ["id"]


def test_attack_confused_deputy_no_audience_is_called_like_a_client(house: House) -> None:
    assert wrong(house, audience="portal") == ["audience"]
    assert wrong(house, audience="revocations") == ["audience"]


def test_attack_confused_deputy_nobody_becomes_one_by_a_changed_setting(house: House) -> None:
    """The default audience may have become the id of a client since that was added."""
    house.new_client("clinic-web")
    object.__setattr__(house.service.settings, "default_audience", "clinic-web")
    change = house.service.clients.set
    assert refused(lambda: change("clinic-web", redirect_uris=(CALLBACK,), actor="cli:test")) == ["id"]
    assert wrong(house) == ["audience"]


# --- changes ------------------------------------------------------------------------------------------------------


def test_what_is_named_is_replaced_and_the_rest_stays(house: House) -> None:
    out = ("https://portal.example/out",)
    before, secret = house.new_client("web", redirect_uris=(CALLBACK,), post_logout_uris=out)
    house.service.clients.authenticate("web", secret, "192.0.2.1")
    changed = house.service.clients.set("web", actor="cli:anna", reason="moved", redirect_uris=(CALLBACK + "2",))
    assert (changed.redirect_uris, changed.post_logout_uris) == ((CALLBACK + "2",), out)
    assert changed.secrets == before.secrets
    assert house.service.clients.authenticate("web", secret, "192.0.2.1") == changed
    assert house.service.clients.set("web", actor="cli:anna", post_logout_uris=()).post_logout_uris == ()
    entries = house.service.audit_log.tail("@site")
    assert {"event": "client.changed", "client": "web", "actor": "cli:anna", "reason": "moved"}.items() <= entries[
        -2
    ].items()


def test_a_service_becomes_a_relying_party_if_it_serves_one_practice(house: House) -> None:
    house.new_client("every", practices=("*",))
    change = house.service.clients.set
    assert change("portal", actor="cli:test", redirect_uris=(CALLBACK,)).redirect_uris == (CALLBACK,)
    assert refused(lambda: change("every", actor="cli:test", redirect_uris=(CALLBACK,))) == ["practice"]
    assert refused(lambda: change("every", actor="cli:test", initiate_login_uri=CALLBACK)) == ["initiate-login-uri"]


def test_a_relying_party_keeps_one_address_and_a_client_its_way_of_proving_itself(house: House) -> None:
    house.new_client("web", redirect_uris=(CALLBACK,))
    change, jwks = house.service.clients.set, Signer("web", house.clock).jwks()
    assert refused(lambda: change("web", actor="cli:test", redirect_uris=())) == ["redirect-uri"]
    assert refused(lambda: change("web", actor="cli:test", jwks=jwks)) == ["jwks"]
    assert change("portal", actor="cli:test", redirect_uris=()).redirect_uris == ()
    with pytest.raises(UnknownName):
        change("nobody", actor="cli:test", redirect_uris=(CALLBACK,))


def test_keys_are_rotated_by_a_new_set(house: House) -> None:
    old, new = Signer("web", house.clock), Signer("web", house.clock, kid="key-2")
    house.new_client("web", jwks=old.jwks())
    clients = house.service.clients
    clients.authenticate_assertion(old.sign(), "", "192.0.2.1")
    clients.set("web", actor="cli:test", jwks=old.jwks(new))
    for signer in (old, new):
        clients.authenticate_assertion(signer.sign(jti=signer.kid), "", "192.0.2.1")
    clients.set("web", actor="cli:test", jwks=new.jwks())
    with pytest.raises(Unauthenticated):
        clients.authenticate_assertion(old.sign(), "", "192.0.2.1")
    assert refused(lambda: clients.set("web", actor="cli:test", jwks="{}")) == ["jwks"]
