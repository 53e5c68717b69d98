"""The feed over HTTP: public, cacheable, followed by the verifier as it ships."""

from __future__ import annotations

import pytest

from authsvc.verifier import InvalidToken, Verifier
from tests.web.conftest import Web


def test_the_feed_is_public_cacheable_and_may_be_read_from_any_origin(web: Web) -> None:
    answer = web.bare("GET", "/revocations/maple")
    assert (answer.status_code, answer.content_type) == (200, "application/jwt")
    assert answer.headers["Cache-Control"] == "public, max-age=5"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    again = web.bare("GET", "/revocations/maple", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("name", ["nobody", "MAPLE", "x", "a" * 60])
def test_a_practice_that_is_not_there_has_no_feed(web: Web, name: str) -> None:
    assert web.bare("GET", f"/revocations/{name}").status_code == 404


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("since=soon", "/since"), ("since=1&since=2", "/since"), ("x=1", "/x"), ("since=-1", "/since")],
)
def test_a_cursor_that_is_none_is_refused_by_name(web: Web, query: str, pointer: str) -> None:
    answer = web.bare("GET", f"/revocations/maple?{query}")
    assert answer.status_code == 400
    assert answer.json["errors"][0]["pointer"] == pointer


def test_only_reading_is_possible(web: Web) -> None:
    answer = web.bare("POST", "/revocations/maple")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_without_the_store_there_is_no_feed(web: Web) -> None:
    web.bare("GET", "/revocations/maple")
    web.stop_the_store()
    web.clock.advance_s(10)
    assert web.bare("GET", "/revocations/oak").status_code == 503


def test_a_verifier_that_follows_it_refuses_what_was_signed_out(web: Web) -> None:
    web.harness.patient()
    grant = web.sign_in()

    def fetch(url: str) -> bytes:
        answer = web.bare("GET", url.removeprefix(web.service.settings.public_url))
        if answer.status_code != 200:
            raise OSError(str(answer.status_code))
        return answer.data

    verifier = Verifier(
        web.service.settings.public_url,
        "practice-services",
        "maple",
        revocations=True,
        now=lambda: web.clock.now_ms() / 1000,
        fetch=fetch,
    )
    assert verifier.verify(grant["access_token"])["sid"] == grant["session"]
    web.call("DELETE", "patients/p1/sessions")
    web.clock.advance_s(10)
    web.service.revocations._recent.forget("maple")
    with pytest.raises(InvalidToken, match="revoked"):
        verifier.verify(grant["access_token"])
