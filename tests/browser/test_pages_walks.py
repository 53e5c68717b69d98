"""Every way in and out, as patients walk it: from a mail in another site's window, on a phone and at a desk, with
JavaScript and without. Each walk is one straight line: nothing has to be tried twice.
"""

from __future__ import annotations

import pytest

from tests.browser.clinic import Clinic
from tests.browser.conftest import OpenWindow
from tests.browser.window import BrowserWindow

pytestmark = pytest.mark.browser

INSTANT = {
    "pay-invoice": {"resource": "invoice:inv_7"},
    "update-payment-info": {},
    "accept-agreement": {"resource": "agreement:agr_7"},
}


@pytest.fixture(params=["phone-plain", "phone-scripted", "desktop-plain", "desktop-scripted"])
def person(request: pytest.FixtureRequest, window: OpenWindow) -> BrowserWindow:
    device, _, scripts = str(request.param).partition("-")
    return window(device, javascript=scripts == "scripted")


@pytest.mark.parametrize("workflow", INSTANT)
def test_an_instant_link_opens_its_one_thing_at_the_portal(
    person: BrowserWindow, clinic: Clinic, workflow: str
) -> None:
    ann = clinic.newcomer()
    person.from_mail(ann.mailed_link(workflow, **INSTANT[workflow]))
    person.press("Continue")
    assert (person.told("sub"), person.told("acr")) == (f"maple:{ann.patient}", "instant")
    assert person.told("workflow") == workflow
    assert person.told("resource") == INSTANT[workflow].get("resource", "")


def test_an_access_link_leads_by_a_code_to_the_portal(person: BrowserWindow, clinic: Clinic) -> None:
    ann = clinic.newcomer()
    person.from_mail(ann.mailed_link("portal"))
    person.press("Email me a code")
    person.type_code(ann.code())
    person.arrive(clinic.portal_url)
    person.follow("Sign in")  # which is no question any more
    assert (person.told("sub"), person.told("acr")) == (f"maple:{ann.patient}", "extra")


def test_a_typed_address_leads_by_a_code_to_the_portal_and_out_again(person: BrowserWindow, clinic: Clinic) -> None:
    ann = clinic.newcomer()
    person.open(clinic.portal_url)
    person.follow("Sign in")
    person.ask_for_code(ann.email)
    person.type_code(ann.code())
    assert (person.told("sub"), person.told("acr")) == (f"maple:{ann.patient}", "extra")
    person.press("Sign out")
    assert person.at == "portal/bye"
    person.open(clinic.page("session"))
    assert person.at == "/p/maple/sign-in"  # signed out here too


def test_whoever_came_by_a_link_may_go_on_with_a_code(person: BrowserWindow, clinic: Clinic) -> None:
    ann = clinic.newcomer()
    person.from_mail(ann.mailed_link("pay-invoice", resource="invoice:inv_7"))
    person.press("Continue")
    assert person.told("acr") == "instant"
    person.follow("See everything")
    person.ask_for_code(ann.email)
    person.type_code(ann.code())
    assert (person.told("sub"), person.told("acr")) == (f"maple:{ann.patient}", "extra")
    assert "invoices:view" in person.told("scope")


def test_where_a_link_alone_is_not_enough_nothing_is_typed_but_the_code(
    person: BrowserWindow, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clinic.portal, "careful", True)
    ann = clinic.newcomer()
    person.from_mail(ann.mailed_link("pay-invoice", resource="invoice:inv_7"))
    person.press("Continue")
    assert person.reads("Maple Clinic will send an email to a")
    assert not person.page.get_by_label("email").count()  # it is known who came
    person.press("Email me a code")
    person.type_code(ann.code())
    assert (person.told("sub"), person.told("acr")) == (f"maple:{ann.patient}", "extra")


def test_a_shared_mailbox_asks_who_it_is(person: BrowserWindow, clinic: Clinic) -> None:
    ann = clinic.newcomer("Ann Ortiz")
    mia = clinic.newcomer("Mia Ortiz", shared=ann.email)
    person.open(clinic.portal_url)
    person.follow("Sign in")
    person.ask_for_code(ann.email)
    person.type_code(ann.code())
    assert person.heading == "Who is signing in?"
    person.press("Continue")
    assert person.reads("Please choose one of these names.")
    person.hit(person.page.get_by_text("Mia Ortiz"))
    person.press("Continue")
    assert person.told("sub") == f"maple:{mia.patient}"


def test_the_session_page_shows_every_browser_and_ends_each(
    person: BrowserWindow, clinic: Clinic, window: OpenWindow
) -> None:
    ann = clinic.newcomer()
    elsewhere = window()
    elsewhere.sign_in(ann)
    person.sign_in(ann)
    person.open(clinic.page("session"))
    assert person.heading == "You are signed in"
    assert person.reads("Ann Ortiz")
    person.press("Stay signed in")
    person.page.get_by_role("button", name="Sign out there").click()
    person.page.get_by_role("button", name="Sign out there").wait_for(state="detached")
    elsewhere.open(clinic.page("session"))
    assert elsewhere.at == "/p/maple/sign-in"

    person.open(clinic.page("sign-out"))
    person.press("Sign out")
    assert person.heading == "You are signed out"
    person.follow("Sign in again")
    assert person.at == "/p/maple/sign-in"


def test_whoever_turns_back_is_brought_back(person: BrowserWindow, clinic: Clinic) -> None:
    person.open(f"{clinic.portal_url}/more")
    person.press("Not now, go back")
    assert person.told("error") == "unmet_authentication_requirements"


def test_a_mail_may_open_in_a_tab_of_its_own(window: OpenWindow, clinic: Clinic) -> None:
    """As webmails open links."""
    person, ann = window(), clinic.newcomer()
    person.open(ann.mailed_link("pay-invoice", resource="invoice:inv_7"))
    link = person.page.locator("a[href*='/l/']").first
    link.evaluate("one => { one.target = '_blank'; one.rel = 'noopener noreferrer' }")
    with person.context.expect_page() as opened:
        link.click()
    person.page = opened.value
    person.press("Continue")
    assert person.told("sub") == f"maple:{ann.patient}"


def test_two_sign_ins_in_two_tabs_do_not_get_in_each_others_way(window: OpenWindow, clinic: Clinic) -> None:
    person, ann, bob = window(), clinic.newcomer(), clinic.newcomer("Bob")
    person.open(f"{clinic.portal_url}/sign-in")
    person.ask_for_code(ann.email)
    first, second = person.page, person.context.new_page()
    person.page = second
    person.open(clinic.page("sign-in"))
    person.ask_for_code(bob.email)
    person.page = first
    person.type_code(ann.code())
    assert person.told("sub") == f"maple:{ann.patient}"
    person.page = second
    person.type_code(bob.code())
    person.open(clinic.page("session"))
    assert person.reads("Bob")
