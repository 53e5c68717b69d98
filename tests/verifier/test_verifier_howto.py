"""The how-to for service developers: its Python runs, its table of answers is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from authsvc import verifier as under_test
from authsvc.verifier import Verifier
from tests.vectors import generate as kit

if TYPE_CHECKING:
    from tests.verifier.conftest import Issuer

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "verify-tokens.md").read_text(encoding="utf-8")


@pytest.fixture
def service(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The page's code blocks, run from top to bottom; only the verifier's issuer is the test's."""
    monkeypatch.setattr(under_test, "Verifier", lambda issuer, audience, practice, **opted: verifier)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "verify-tokens.md", "exec"), names)  # noqa: S102 - our own page
    return names


def test_the_flask_routes_of_the_page_do_what_it_says(service: dict[str, Any]) -> None:
    client = service["app"].test_client()
    sign_in, link = ({"Authorization": f"Bearer {kit.token(claims)}"} for claims in (kit.SIGN_IN, kit.LINK))
    assert client.get("/contact", headers=sign_in).json == {"patient": "p_1001"}
    assert client.get("/invoices/inv_1", headers=link).json == {"invoice": "inv_1"}
    assert client.get("/invoices/inv_2", headers=link).status_code == 403
    answer = client.post("/payment-methods", headers=link)
    assert f"WWW-Authenticate: {answer.headers['WWW-Authenticate']}" in PAGE
    assert answer.status == "401 UNAUTHORIZED"


def test_the_wsgi_application_and_the_code_by_hand_work(service: dict[str, Any]) -> None:
    assert service["answer"](kit.token(kit.LINK)) == (200, {}, b"p_1001")
    assert service["answer"]("junk")[0] == 401
    assert service["answer"](kit.token())[0] == 403
    statuses: list[str] = []
    environ = {"HTTP_AUTHORIZATION": f"Bearer {kit.having(scope='statements:generate')}"}
    body = service["guarded"](environ, lambda status, headers: statuses.append(status))
    assert (statuses, body) == (["200 OK"], [b"p_1001"])


def test_the_table_of_exceptions_is_true() -> None:
    for name, status, code in re.findall(r"^\| `(\w+)` \| (\d{3})(?: `(\w+)`)?", PAGE, re.MULTILINE):
        kind = getattr(under_test, name)
        assert kind.status == int(status)
        assert code in ("", kind.error)
        assert code or kind.error in ("", "temporarily_unavailable")


def test_the_numbers_of_the_page_are_those_of_the_code(issuer: Issuer) -> None:
    assert f"{under_test.LEEWAY_S} s after its `exp`" in PAGE
    assert f"within {under_test.KEYS_MAX_AGE_S} s" in PAGE
    assert f"tried every {under_test.REFETCH_EVERY_S} s" in PAGE
    assert under_test.ACR_ORDER == ("instant", "extra")
