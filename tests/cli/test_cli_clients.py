"""Relying parties on the command line: what an operator types, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from authsvc import wiring
from authsvc.config import load as config
from tests.cli.conftest import Authsvc
from tests.fakes import FakeClock
from tests.flows.signers import Signer

CALLBACK = "https://portal.example/callback"
PORTAL = ("clients", "add", "web", "--practice", "maple", "--redirect-uri", CALLBACK)


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(Signer("web", FakeClock()).jwks(), encoding="utf-8")
    return path


def listed(authsvc: Authsvc, name: str = "web") -> dict[str, object]:
    documents = {one["client_id"]: one for one in authsvc("clients", "list", "--json").document["clients"]}
    return dict(documents[name])


def test_a_relying_party_gets_a_secret_and_needs_no_permission(maple: Authsvc, settings: dict[str, str]) -> None:
    again = ("--redirect-uri", CALLBACK + "/2", "--redirect-uri", CALLBACK)
    ran = maple(*PORTAL, *again, "--post-logout-uri", "https://portal.example/out", "--json")
    assert (ran.code, set(ran.document)) == (0, {"client_id", "client_secret"})
    service = wiring.bootstrap(config.load(settings))
    assert service.clients.authenticate("web", ran.document["client_secret"], "203.0.113.9").permissions == frozenset()
    said = listed(maple)
    assert said["authentication"] == "client_secret_basic"
    assert said["redirect_uris"] == [CALLBACK, CALLBACK + "/2"]
    assert said["post_logout_uris"] == ["https://portal.example/out"]
    assert CALLBACK in maple("clients", "list").out


def test_a_public_client_is_added_without_a_secret_and_the_text_says_so(maple: Authsvc) -> None:
    ran = maple(*PORTAL, "--public", "--json")
    assert (ran.code, ran.document) == (0, {"client_id": "web"})
    assert "no secret" in ran.err
    assert (listed(maple)["authentication"], listed(maple)["secrets"]) == ("none", [])
    assert "none" in maple("clients", "list").out


def test_a_client_that_signs_is_added_by_its_public_keys(maple: Authsvc, jwks: Path) -> None:
    ran = maple(*PORTAL, "--jwks", str(jwks))
    assert (ran.code, ran.out.split()) == (0, ["client_id", "web"])
    assert "signs" in ran.err
    assert (listed(maple)["authentication"], listed(maple)["keys"]) == ("private_key_jwt", ["key-1"])


def test_a_service_still_needs_to_be_allowed_something(maple: Authsvc) -> None:
    for more in ((), ("--redirect-uri", "")):
        ran = maple("clients", "add", "web", "--practice", "maple", *more)
        assert ran.code == 2
        assert "--allow" in ran.err
        assert "--redirect-uri" in ran.err


@pytest.mark.parametrize(
    "more,option",
    [
        (("--redirect-uri", "http://portal.example/in"), "--redirect-uri"),
        (("--redirect-uri", "https://*.example/in"), "--redirect-uri"),
        (("--post-logout-uri", "/out"), "--post-logout-uri"),
        (("--initiate-login-uri", "https://portal.example/#start"), "--initiate-login-uri"),
        (("--backchannel-logout-uri", "https://a@portal.example/out"), "--backchannel-logout-uri"),
        (("--practice", "oak"), "--practice"),
        (("--practice", "*"), "--practice"),
        (("--public", "--allow", "codes:issue"), "--allow"),
        (("--audience", "web"), "ID"),
        (("--audience", "revocations"), "--audience"),
    ],
)
def test_what_can_not_be_registered_is_wrong_usage_and_names_the_option(
    maple: Authsvc, more: tuple[str, ...], option: str
) -> None:
    assert maple("practices", "add", "oak", "--name", "Oak").code == 0
    ran = maple(*PORTAL, *more, "--json")
    assert ran.code == 2
    assert ran.document["error"]["detail"].startswith(f"{option}: ")
    assert maple("clients", "list", "--json").document == {"clients": []}


def test_options_that_need_or_exclude_each_other_say_so(maple: Authsvc, jwks: Path) -> None:
    bare = ("clients", "add", "web", "--practice", "maple")
    for more, option in (
        (("--public",), "--public: only together with --redirect-uri"),
        (("--allow", "codes:issue", "--post-logout-uri", CALLBACK), "--post-logout-uri: only together with"),
        (("--redirect-uri", CALLBACK, "--public", "--jwks", str(jwks)), "--jwks: excludes --public"),
    ):
        ran = maple(*bare, *more)
        assert ran.code == 2
        assert option in ran.err


def test_attack_on_oneself_a_private_key_in_the_file_is_refused_loudly(maple: Authsvc, jwks: Path) -> None:
    keys = json.loads(jwks.read_text())
    keys["keys"][0]["d"] = "c2VjcmV0"
    jwks.write_text(json.dumps(keys))
    ran = maple(*PORTAL, "--jwks", str(jwks))
    assert ran.code == 2
    assert "--jwks: the key set holds a PRIVATE key" in ran.err
    assert "c2VjcmV0" not in ran.err + ran.out


def test_a_file_that_is_no_key_set_or_not_there_is_wrong_usage(maple: Authsvc, tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"\xff\xfe")
    for path in (tmp_path / "junk", tmp_path / "nothing", tmp_path):
        ran = maple(*PORTAL, "--jwks", str(path))
        assert ran.code == 2
        assert "--jwks" in ran.err


def test_attack_confused_deputy_an_id_that_is_an_audience_is_refused(maple: Authsvc) -> None:
    for name in ("practice-services", "revocations"):
        ran = maple("clients", "add", name, "--practice", "maple", "--redirect-uri", CALLBACK)
        assert ran.code == 2
        assert "audience" in ran.err
    assert maple(*PORTAL).code == 0
    ran = maple("clients", "add", "api", "--practice", "maple", "--allow", "codes:issue", "--audience", "web")
    assert ran.code == 2
    assert "--audience" in ran.err


def test_the_addresses_of_a_client_are_changed_one_kind_at_a_time(maple: Authsvc) -> None:
    assert maple(*PORTAL, "--initiate-login-uri", "https://portal.example/start").code == 0
    ran = maple("clients", "set", "web", "--redirect-uri", CALLBACK + "/new", "--reason", "moved", "--json")
    assert ran.code == 0
    assert ran.document == listed(maple)
    assert ran.document["redirect_uris"] == [CALLBACK + "/new"]
    assert ran.document["initiate_login_uri"] == "https://portal.example/start"
    assert maple("clients", "set", "web", "--initiate-login-uri", "").out == "Changed web.\n"
    assert listed(maple)["initiate_login_uri"] == ""
    (entry,) = [
        one for one in maple("audit", "tail", "@site", "--json").document["entries"] if one.get("reason") == "moved"
    ]
    assert (entry["event"], entry["client"]) == ("client.changed", "web")


def test_a_change_that_can_not_be_is_wrong_usage(maple: Authsvc, jwks: Path) -> None:
    assert maple(*PORTAL).code == 0
    for more in (
        (),
        ("--redirect-uri", ""),
        ("--redirect-uri", "http://portal.example/in"),
        ("--jwks", str(jwks)),
        ("--public",),
    ):
        assert maple("clients", "set", "web", *more).code == 2
    assert maple("clients", "set", "nobody", "--redirect-uri", CALLBACK).code == 1
    assert listed(maple)["redirect_uris"] == [CALLBACK]


@pytest.mark.parametrize("how", ["--public", "--jwks"])
def test_there_is_no_secret_to_rotate_where_there_is_none(maple: Authsvc, jwks: Path, how: str) -> None:
    assert maple(*PORTAL, how, *([str(jwks)] if how == "--jwks" else [])).code == 0
    ran = maple("clients", "rotate-secret", "web")
    assert ran.code == 1
    assert "no secret" in ran.err


def test_a_client_whose_library_needs_it_is_registered_so_and_the_list_says_it(maple: Authsvc, jwks: Path) -> None:
    assert maple(*PORTAL, "--auth", "post", "--pkce", "optional").code == 0
    said = listed(maple)
    assert (said["authentication"], said["pkce"]) == ("client_secret_post", "optional")
    assert maple("clients", "set", "web", "--auth", "basic", "--pkce", "required", "--json").document == {
        **said,
        "authentication": "client_secret_basic",
        "pkce": "required",
    }
    signs = ("clients", "add", "api", "--practice", "maple", "--allow", "codes:issue", "--jwks", str(jwks))
    assert maple(*signs, "--auth", "private_key_jwt", "--assertion-audience", "token-endpoint").code == 0
    assert listed(maple, "api")["assertion_audience"] == "token-endpoint"


def test_a_way_of_proving_itself_that_does_not_fit_is_wrong_usage(maple: Authsvc) -> None:
    for more, option in (
        (("--auth", "private_key_jwt"), "--auth: "),
        (("--public", "--auth", "post"), "--auth: "),
        (("--auth", "none", "--pkce", "optional"), "--pkce: "),
        (("--assertion-audience", "token-endpoint"), "--assertion-audience: "),
        (("--auth", "magic"), "--auth"),
    ):
        ran = maple(*PORTAL, *more)
        assert ran.code == 2
        assert option in ran.err


def test_what_a_client_may_be_told_of_patients_is_for_practice_and_client_to_say(maple: Authsvc) -> None:
    assert maple(*PORTAL, "--claims", "email", "--claims", "name").code == 0
    assert listed(maple)["claims"] == ["email", "name"]
    assert maple("practices", "set", "maple", "--claims", "email", "--json").document["claims"] == ["email"]
    assert "email" in maple("practices", "set", "maple", "--phone", "1").out
    assert maple("practices", "set", "maple", "--claims", "", "--json").document["claims"] == []
    assert maple("clients", "set", "web", "--claims", "", "--json").document["claims"] == []
    assert maple("practices", "set", "maple", "--claims", "phone").code == 2
    ran = maple("clients", "add", "api", "--practice", "maple", "--allow", "codes:issue", "--claims", "email")
    assert "--claims: only together with --redirect-uri" in ran.err


def test_the_algorithm_of_its_id_tokens_is_registered(maple: Authsvc) -> None:
    assert maple(*PORTAL, "--id-token-alg", "RS256").code == 0
    assert listed(maple)["id_token_alg"] == "RS256"
    assert maple("clients", "set", "web", "--id-token-alg", "ES256", "--json").document["id_token_alg"] == "ES256"
    assert maple("clients", "set", "web", "--id-token-alg", "HS256").code == 2


def test_the_id_of_a_new_practice_is_the_beginning_of_a_uri(authsvc: Authsvc) -> None:
    ran = authsvc("practices", "add", "1st-care", "--name", "First Care")
    assert ran.code == 1
    assert "must begin with a letter" in ran.err
    assert authsvc("practices", "list", "--json").document == {"practices": []}


def test_an_audience_with_a_colon_is_a_uri(maple: Authsvc) -> None:
    api = ("clients", "add", "api", "--practice", "maple", "--allow", "codes:issue", "--audience")
    for audience in ("1st:api", "my_api:v1", "api/v1:x"):
        assert maple(*api, audience).code == 2
    for audience in ("1st-api", "my_api", "api/v1", "urn:maple:api", "https://api.maple.example/v1"):
        assert maple(*api, audience).code == 0
        assert maple("clients", "remove", "api", "--yes").code == 0
