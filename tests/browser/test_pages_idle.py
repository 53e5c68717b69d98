"""The idle warning on a real service whose sign-ins end after a minute: it is there in time, one press keeps the
sign-in, and to ask whether it is still there keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.clinic import Clinic
from tests.browser.window import BrowserWindow
from tests.harness.processes import until

pytestmark = pytest.mark.browser

IDLE_S = 60  # the least that there may be; the warning comes two minutes before the end, so at once


@pytest.fixture(scope="module")
def brisk(clinic: Clinic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """`clinic` is asked for because it knows what is missing here."""
    with Clinic(tmp_path_factory.mktemp("brisk"), AUTHSVC_SESSION_IDLE_S=str(IDLE_S)) as brisk:
        brisk.open()
        yield brisk


def test_the_warning_is_there_in_time_and_one_press_keeps_the_sign_in(chromium: Any, brisk: Clinic) -> None:
    person = BrowserWindow(chromium, brisk, "phone")
    person.sign_in(brisk.newcomer())
    person.open(brisk.page("session"))
    warning = person.page.locator("[data-warning]")
    warning.wait_for()
    assert "less than two minutes" in warning.inner_text()
    assert 0 < _seconds(person) <= IDLE_S

    first = until(lambda: left if (left := _left(person)) <= IDLE_S - 3 else None)
    second = until(lambda: left if (left := _left(person)) < first else None)  # to ask for it adds nothing
    assert second < first
    until(lambda: _seconds(person) <= second)  # the page counts along

    with person.page.expect_navigation():
        person.hit(warning.get_by_role("button", name="Stay signed in"))
    assert person.heading == "You are signed in"
    assert _left(person) > second
    person.open(brisk.page("session"))
    person.open(brisk.page("session"))
    kept = until(lambda: left if (left := _left(person)) < IDLE_S - 1 else None)
    person.open(brisk.page("session"))
    assert _left(person) <= kept  # nor does looking at the page
    person.context.close()
    assert person.uneasy == []


def test_a_sign_in_that_was_ended_elsewhere_is_left_at_once(chromium: Any, brisk: Clinic) -> None:
    """The page asks when somebody comes back to it."""
    ann, person = brisk.newcomer(), BrowserWindow(chromium, brisk)
    person.sign_in(ann)
    person.open(brisk.page("session"))
    with person.another() as elsewhere:
        elsewhere.sign_in(ann)
        elsewhere.open(brisk.page("session"))
        elsewhere.act("end")
    person.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    person.page.wait_for_url("**/signed-out")
    assert person.heading == "You are signed out"
    person.context.close()
    assert person.uneasy == []


def _left(person: BrowserWindow) -> int:
    """What the page's script is told."""
    asked = "fetch(document.querySelector('#idle').dataset.state).then(answer => answer.json())"
    return int(person.page.evaluate(asked)["idle_in"])


def _seconds(person: BrowserWindow) -> int:
    """What the clock on the page says."""
    minutes, seconds = person.page.locator("[data-left]").inner_text().split(":")
    return int(minutes) * 60 + int(seconds)
