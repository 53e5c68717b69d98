"""`clients add --for LIBRARY`: one table says what each library needs, and everything else agrees with it."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from authsvc.cli.libraries import LIBRARIES
from tests.cli.conftest import Authsvc
from tests.cli.test_cli_clients import PORTAL, jwks, listed
from tests.harness.generators import REFERENCE, generator
from tests.interop import libraries as tried

__all__ = ["jwks"]  # the fixture

WAYS = {"basic": "client_secret_basic", "post": "client_secret_post"}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return generator("generate_libraries")


@pytest.mark.parametrize("name", sorted(LIBRARIES))
def test_what_a_library_needs_is_registered_by_its_name(maple: Authsvc, name: str) -> None:
    ran = maple(*PORTAL, "--for", name.upper())
    assert ran.code == 0
    assert LIBRARIES[name].title in ran.err
    assert LIBRARIES[name].settings in ran.err
    said, needs = listed(maple), LIBRARIES[name].options
    assert said["pkce"] == needs.get("pkce", "required")
    assert said["authentication"] == WAYS[needs.get("auth", "basic")]
    assert said["id_token_alg"] == needs.get("id_token_alg", "")
    assert said["claims"] == list(needs.get("claims", ()))


def test_what_is_typed_beside_it_wins(maple: Authsvc, jwks: Path) -> None:
    typed = ("--auth", "basic", "--pkce", "required", "--id-token-alg", "ES256", "--claims", "")
    for name in ("mozilla-django-oidc", "passport-openidconnect"):
        assert maple(*PORTAL, "--for", name, *typed).code == 0
        said = listed(maple)
        assert (said["authentication"], said["pkce"]) == ("client_secret_basic", "required")
        assert (said["id_token_alg"], said["claims"]) == ("ES256", [])
        assert maple("clients", "remove", "web", "--yes").code == 0
    assert maple(*PORTAL, "--for", "django-allauth", "--jwks", str(jwks)).code == 0
    assert listed(maple)["authentication"] == "private_key_jwt"
    assert maple("clients", "remove", "web", "--yes").code == 0
    assert maple(*PORTAL, "--for", "django-allauth", "--public").code == 0
    assert listed(maple)["authentication"] == "none"


def test_a_portal_that_changes_its_library_is_set_by_its_name_too(maple: Authsvc) -> None:
    assert maple(*PORTAL).code == 0
    assert maple("clients", "set", "web", "--for", "flask-oidc").code == 0
    assert (listed(maple)["pkce"], listed(maple)["authentication"]) == ("optional", "client_secret_post")
    assert maple("clients", "set", "web", "--for", "authlib").code == 0
    assert (listed(maple)["pkce"], listed(maple)["authentication"]) == ("required", "client_secret_basic")


def test_a_portal_without_a_secret_stays_so_whatever_its_library(maple: Authsvc, jwks: Path) -> None:
    for how, way in ((("--public",), "none"), (("--jwks", str(jwks)), "private_key_jwt")):
        assert maple(*PORTAL, *how).code == 0
        assert maple("clients", "set", "web", "--for", "django-allauth").code == 0
        assert listed(maple)["authentication"] == way
        assert maple("clients", "remove", "web", "--yes").code == 0


def test_an_unknown_library_is_answered_with_those_that_are_known(maple: Authsvc) -> None:
    ran = maple(*PORTAL, "--for", "cobol-oidc")
    assert ran.code == 2
    assert [name for name in LIBRARIES if name not in ran.err] == []
    help_text = "".join(maple("clients", "add", "--help").out.split())  # lines end within names
    assert [name for name in LIBRARIES if name not in help_text] == []


def test_a_library_is_for_a_client_that_patients_sign_in_to(maple: Authsvc) -> None:
    ran = maple("clients", "add", "api", "--practice", "maple", "--allow", "codes:issue", "--for", "authlib")
    assert (ran.code, "--redirect-uri" in ran.err) == (2, True)


def test_an_operator_is_told_what_the_practice_still_has_to_allow(maple: Authsvc) -> None:
    order = "authsvc practices set maple --claims name --claims email"
    assert maple("practices", "set", "maple", "--claims", "name").code == 0
    assert order in maple(*PORTAL, "--for", "django-allauth").err
    assert maple(*order.split()[1:]).code == 0
    assert maple("clients", "remove", "web", "--yes").code == 0
    assert "practices set" not in maple(*PORTAL, "--for", "django-allauth").err


def test_every_library_is_run_by_the_tests_as_it_is_registered() -> None:
    assert {each.name for each in (*tried.LIBRARIES, *tried.ELSEWHERE)} == set(LIBRARIES)


def test_the_table_of_the_how_to_is_this_one(generate: ModuleType) -> None:
    assert generate.PAGE.read_text(encoding="utf-8") == generate.whole()


@pytest.mark.parametrize("program", ["java/src/main/java/authsvc/portal/Portal.java", "go/go-oidc/main.go"])
def test_the_recipes_of_the_how_to_are_those_that_are_run(program: str) -> None:
    page = (REFERENCE.parent / "howto/verify-tokens.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(rf"```{Path(program).suffix[1:]}\n(.*?)```", page, re.DOTALL)
    run = [line.strip() for line in (tried.APPS / program).read_text(encoding="utf-8").splitlines()]
    assert [line for line in recipe.splitlines() if line.strip() not in run] == []
