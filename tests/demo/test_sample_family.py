"""Acting for a dependent at the sample: "You / Leo", and back without another mail."""

from __future__ import annotations

from tests.demo.maple import Maple, asked
from tests.harness.browsing import Browser


def chosen(maple: Maple, patient: str) -> Browser:
    """Somebody of the family, who has typed the code and says for whom it is."""
    browser, code = asked(maple, "family@example.com")
    browser.press("Sign in", code=code)
    browser.press("Continue", patient=patient)
    return browser


def test_a_guardian_acts_for_a_dependent_and_switches_without_another_mail(maple: Maple) -> None:
    browser, mails = chosen(maple, "leo"), len(maple.mails())
    assert "Ben Ortiz, you are acting for Leo Ortiz" in browser.at.text
    assert "School check-up" in browser.open("/portal/invoices").text
    assert "Knee X-ray" not in browser.at.text
    assert (maple.held(browser).patient, maple.held(browser).guardian) == ("leo", "ben")

    browser.follow("Switch person")
    browser.press("Continue", patient="ben")
    assert "Hello Ben Ortiz" in browser.at.text
    assert "acting for" not in browser.at.text
    assert "Knee X-ray" in browser.open("/portal/invoices").text
    assert len(maple.mails()) == mails


def test_who_is_added_to_a_membership_is_a_patient_on_file_and_can_be_acted_for_at_once(maple: Maple) -> None:
    browser = chosen(maple, "ben")
    browser.open("/portal/membership")
    browser.press("Add this person", dependent="Noa Ortiz")
    assert "Noa Ortiz is now on your membership" in browser.at.text
    noa = maple.records.people["ben"].dependents[-1]
    on_file = maple.service.patients.get(maple.service.act(maple.practice), noa)
    assert (on_file.label, on_file.portal_access) == ("Noa Ortiz", False)
    browser.follow("Switch person")
    browser.press("Continue", patient=noa)
    assert "Ben Ortiz, you are acting for Noa Ortiz" in browser.at.text


def test_attack_a_guardian_adds_nobody_in_the_name_of_a_dependent(maple: Maple) -> None:
    browser = chosen(maple, "leo")
    browser.open("/portal/membership")
    assert not any(form.button("Add this person") for form in browser.at.forms)
    browser.submit("/portal/membership/dependents", browser.at.form("Save the plan").fields | {"dependent": "Max"})
    assert browser.at.status == 403
    assert "can only be done for yourself" in browser.at.text
    assert maple.records.people["leo"].dependents == []


def test_what_the_desk_ends_is_over_at_once(maple: Maple) -> None:
    browser, desk = chosen(maple, "leo"), maple.browser()
    desk.open("/billing/ben")
    desk.press("End this")
    assert "Ben Ortiz acts for Leo Ortiz no more." in desk.at.text
    maple.held(browser).began = maple.held(browser).ends = 0
    assert browser.open("/portal").status == 401
    assert (
        desk.request("POST", "/billing/ben/dependents/leo/end", desk.at.form("Save the address").fields).status == 404
    )
    maple.clinic.authsvc.put_dependent("ben", "leo")
