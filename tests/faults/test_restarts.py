"""A patient is signing in while the service is deployed anew, or the store loses power: she notices nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from tests.journeys.house import Client, House, code_in, link_in, token_of, wrong
from tests.journeys.programs import Answer, until

pytestmark = pytest.mark.fault

Between = Callable[[], None]
"""What happens between two steps."""


@pytest.fixture
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as house:
        house.store.start()
        house.add_practice()
        yield house


def journey(house: House, portal: Client, between: Between) -> None:
    """From the access link to the sign-out, on a mailbox that two patients share, with `between` in every gap."""
    email = "ann@example.org"
    portal.register("ann", email, label="Ann")
    portal.register("ben", email, label="Ben")
    assert portal.unhurried("links", patient="ann", workflow="portal", delivery="email").status == 201
    between()
    link = token_of(link_in(house.mailed(email)))
    by_link = portal.unhurried("links/exchange", token=link)
    assert by_link.status == 202
    typed = portal.unhurried("codes", email=email)
    assert typed.status == 202
    between()
    codes = {code_in(house.mailed(email, 2)), code_in(house.mailed(email, 3))}
    assert len(codes) in (1, 2)  # two codes may be alike, once in a million
    missed = portal.unhurried("codes/verify", challenge=typed.json["challenge"], code=_neither(codes))
    assert (missed.status, missed.json["attempts_left"]) == (400, 4)
    between()
    choice, left = _first_that_fits(portal, typed.json["challenge"], codes)
    assert [row["patient"] for row in choice.json["choose"]] == ["ann", "ben"]
    between()
    chosen = portal.unhurried("codes/choose", challenge=typed.json["challenge"], patient="ben")
    assert (chosen.status, chosen.json["patient"]) == (200, "ben")
    between()
    granted = portal.unhurried("codes/verify", challenge=by_link.json["challenge"], code=left)
    assert (granted.status, granted.json["patient"]) == (200, "ann")
    spent = portal.unhurried("codes/choose", challenge=typed.json["challenge"], patient="ann")
    assert spent.status == 410, "what was consumed stays consumed"
    between()
    fresh = _patiently(lambda: portal.refreshed(chosen.json["refresh_token"]))
    assert (fresh.status, fresh.json["session"]) == (200, chosen.json["session"])
    between()
    access = fresh.json["access_token"]
    assert _patiently(lambda: house.forward_auth(access, scope="invoices:view", acr="extra")).status == 200
    assert _patiently(lambda: portal.call("DELETE", "patients/ben/sessions")).status == 204
    between()
    assert _patiently(lambda: house.forward_auth(access, scope="invoices:view", acr="extra")).status == 401
    assert _patiently(lambda: portal.refreshed(fresh.json["refresh_token"])).status == 400
    assert _patiently(lambda: house.forward_auth(chosen.json["access_token"], scope="invoices:view")).status == 401
    assert _patiently(lambda: house.forward_auth(granted.json["access_token"], scope="invoices:view")).status == 200


def _neither(codes: set[str]) -> str:
    guess = wrong(min(codes))
    return wrong(guess) if guess in codes else guess


def _first_that_fits(portal: Client, challenge: str, codes: set[str]) -> tuple[Answer, str]:
    """Two mails with a code are on their way at once, and either may be first: try both, as a patient would."""
    for code in codes:
        answer = portal.unhurried("codes/verify", challenge=challenge, code=code)
        if answer.status == 200:
            return answer, next(iter(codes - {code}), code)
    raise AssertionError(answer)


def _patiently(call: Callable[[], Answer]) -> Answer:
    return until(lambda: answer if (answer := call()).status != 503 else None)


def test_a_sign_in_survives_a_deployment_between_any_two_steps(house: House) -> None:
    running = [house.serve(), house.work()]
    portal = house.add_client("portal")

    def deploy() -> None:
        """Both are stopped and started; meanwhile nobody answers and nobody sends mail."""
        for program in running:
            program.told_to(signal.SIGTERM)
        assert [program.ended() for program in running] == [0, 0]
        running[:] = [house.serve(), house.work()]

    journey(house, portal, deploy)


def test_a_sign_in_survives_a_power_cut_of_the_store_between_any_two_steps(house: House) -> None:
    running = [house.serve(), house.work()]
    portal = house.add_client("portal")

    def power_cut() -> None:
        house.store.kill()
        house.store.start()

    journey(house, portal, power_cut)
    assert all(program.runs for program in running), "nothing else was restarted for it"
