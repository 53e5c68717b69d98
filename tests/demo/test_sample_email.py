"""A patient changes the email address at the sample: a fresh sign-in, then a code to the new mailbox."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from authsvc.demo.sample.records import Person
from tests.demo.maple import Maple, asked, code_of
from tests.harness.browsing import Browser

NUMBERS = itertools.count(1)


@pytest.fixture
def tom(maple: Maple) -> Iterator[Person]:
    """Each test has a patient of its own, for the address is changed."""
    number = next(NUMBERS)
    person = Person(f"tom{number}", "Tom Reed", f"tom{number}@example.com", "555 0110", "5 Pine Road")
    maple.records.people[person.id] = person
    maple.clinic.authsvc.put_patient(person.id, person.email, person.name, True, "en")
    return person


def inside(maple: Maple, person: Person) -> Browser:
    browser, code = asked(maple, person.email)
    browser.press("Sign in", code=code)
    assert "Hello Tom Reed" in browser.at.text
    return browser


def mails_after(maple: Maple, before: int, count: int) -> list[dict[str, str]]:
    maple.arrived(before + count - 1)
    return maple.mails()[: len(maple.mails()) - before]


def test_the_new_mailbox_is_proved_before_anything_moves_and_the_old_one_gets_a_notice(
    maple: Maple, tom: Person
) -> None:
    browser, old = inside(maple, tom), tom.email
    new, before = f"new-{old}", len(maple.mails())
    browser.open("/portal/contact")
    browser.follow("Change the email address")
    for wrong in ("nobody", "nobody@.."):
        browser.press("Send me the code", email=wrong)
        assert browser.at.element("email")["aria-invalid"] == "true"
    browser.press("Send me the code", email=new)
    assert browser.at.url.endswith("/portal/email/code")
    mail = maple.arrived(before)
    assert mail["to"] == new
    assert tom.email == old

    browser.press("Change my address", code="12")
    assert browser.at.element("code")["aria-invalid"] == "true"
    wrong = f"{(int(code_of(mail)) + 1) % 1_000_000:06d}"
    browser.press("Change my address", code=wrong)
    assert "That was not the code" in browser.at.text
    browser.press("Change my address", code=code_of(mail))
    assert f"From now on we write to {new}" in browser.at.text
    assert tom.email == new
    notices = mails_after(maple, before + 1, 2)
    assert {notice["to"] for notice in notices} == {old, new}
    assert all("555 0199" in notice["text"] for notice in notices)
    maple.held(browser).began -= 10_000
    assert browser.open("/portal").status == 200  # this session stays


def test_a_sign_in_of_a_while_ago_is_not_enough_for_another_address(
    maple: Maple, tom: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = inside(maple, tom)
    later = maple.clinic.verifier._now() + 400
    monkeypatch.setattr(maple.clinic.verifier, "_now", lambda: later)
    page = browser.open("/portal/email")
    assert page.status == 401
    assert 'max_age="300"' in page.header("WWW-Authenticate")
    assert "You signed in a while ago" in page.text
    there = browser.request("GET", page.links["Go on with a code"]).header("Location")
    assert "max_age=300" in there
    assert time.time() < later


def test_attack_a_code_without_a_change_of_this_browser_moves_nothing(maple: Maple, tom: Person) -> None:
    browser = inside(maple, tom)
    browser.open("/portal/email/code")
    browser.press("Change my address", code="123456")
    assert "Please begin again" in browser.at.text
    assert browser.at.url.endswith("/portal/email")


def test_attack_too_many_wrong_codes_end_the_change(maple: Maple, tom: Person) -> None:
    browser, before = inside(maple, tom), len(maple.mails())
    browser.open("/portal/email")
    browser.press("Send me the code", email=f"new-{tom.email}")
    right = code_of(maple.arrived(before))
    for number in range(1, 6):
        browser.open("/portal/email/code")
        browser.press("Change my address", code=f"{(int(right) + number) % 1_000_000:06d}")
    browser.open("/portal/email/code")
    browser.press("Change my address", code=right)
    assert "Please begin again" in browser.at.text
    assert tom.email.startswith("tom")


def test_attack_a_guardian_changes_no_address_of_a_dependent(maple: Maple) -> None:
    browser, code = asked(maple, "family@example.com")
    browser.press("Sign in", code=code)
    browser.press("Continue", patient="leo")
    assert "Change the email address" not in browser.open("/portal/contact").links
    assert browser.open("/portal/email").status == 403
