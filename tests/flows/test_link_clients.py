"""Which client finishes a pressed link."""

from __future__ import annotations

import pytest

from authsvc.flows.relying_parties import RelyingParties
from tests.flows.conftest import Harness


@pytest.fixture
def targets(harness: Harness) -> RelyingParties:
    """`acorn` and `zebra` have pages at maple, `oak` at another practice; `portal` has none."""
    harness.service.practices.add("oak", name="Oak", actor="cli:test")
    for name, practice in (("zebra", "maple"), ("acorn", "maple"), ("oak", "oak")):
        harness.new_client(
            name,
            practices=(practice,),
            permissions=frozenset(),
            redirect_uris=(f"https://{name}.example/cb",),
            initiate_login_uri=f"https://{name}.example/open",
        )
    return RelyingParties(harness.service.clients)


@pytest.mark.parametrize(
    "issuing,chosen",
    [
        ("zebra", "zebra"),  # its own links
        ("portal", "acorn"),  # one without a page: the practice's first by name
        ("oak", "acorn"),  # one that serves the practice no more
        ("removed", "acorn"),
        ("", "acorn"),
    ],
)
def test_the_issuer_finishes_its_links_else_the_practices_first(
    targets: RelyingParties, issuing: str, chosen: str
) -> None:
    found = targets.of("maple", issuing)
    assert found is not None
    assert found.id == chosen


def test_a_practice_without_such_a_client_has_none(targets: RelyingParties) -> None:
    assert targets.of("elm", "portal") is None


def test_who_can_finish_is_looked_up_once_in_a_few_seconds(targets: RelyingParties, harness: Harness) -> None:
    assert targets.of("elm", "") is None
    asked = []
    harness.service.clients.list = lambda: asked.append(1) or []  # type: ignore[method-assign,func-returns-value]
    assert targets.of("elm", "") is None
    assert asked == []


def test_attack_asking_for_one_practices_page_after_the_other_reads_the_clients_once(
    targets: RelyingParties, harness: Harness
) -> None:
    assert targets.of_practice("maple")
    harness.service.clients.list = lambda: pytest.fail("read again")  # type: ignore[method-assign,func-returns-value]
    assert [client.id for client in targets.of_practice("oak")] == ["oak"]
    assert targets.of_practice("elm") == ()
