"""A patient changes the email address: a fresh sign-in, then a code to the new mailbox, and only then it moves.

The old address could be somebody else's way in, so a sign-in of a while ago isn't enough (`max_age`), and no guardian
does it for a dependent. authsvc sends both mailboxes a notice.
"""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response as Redirect

from authsvc.demo.sample import tokens
from authsvc.demo.sample.api import Refused
from authsvc.demo.sample.clinic import FRESH_S, PAGES, clinic
from authsvc.demo.sample.forms import NO_ADDRESS, CodeForm, EmailForm
from authsvc.demo.sample.languages import N_, gettext
from authsvc.demo.sample.portal import allow_script, person_for, saved
from authsvc.demo.sample.records import Person
from authsvc.demo.sample.sessions import current_session

email_change = Blueprint("email_change", __name__, url_prefix=PAGES["email"])
email_change.after_request(allow_script)

WRONG_CODE = {
    "invalid-code": (N_("That was not the code. Nothing is lost: please look again."), "/portal/email/code"),
    "challenge-gone": (
        N_("That code is too old, or was typed wrong too often. Please begin again."),
        "/portal/email",
    ),
    "invalid-request": (N_("Please begin again."), "/portal/email"),
}
"""What the API says of a code → what the patient reads, and where."""


@email_change.get("")
def new_address() -> str:
    person, _ = _for_email()
    return render_template("email.html", person=person, form=EmailForm.for_page())


@email_change.post("")
def send_code() -> Redirect:
    """The new mailbox is proved by a code before anything moves."""
    person, session = _for_email()
    form = EmailForm()
    if not form.validate():
        return form.retry("/portal/email")
    try:
        current_session().email_challenge = clinic().authsvc.start_email_change(
            person.id, form.email.data, session, request.form["idempotency_key"]
        )
    except Refused as refused:
        if refused.kind != "invalid-request":
            raise
        form.email.errors = [NO_ADDRESS]  # it looked like one, but authsvc knows the rules better
        return form.retry("/portal/email")
    return redirect("/portal/email/code", 303)


@email_change.get("/code")
def code() -> str:
    return render_template("email_code.html", person=person_for("contact:edit", acting=False), form=CodeForm.for_page())


@email_change.post("/code")
def change() -> Redirect:
    person, form = person_for("contact:edit", acting=False), CodeForm()
    if not form.validate():
        return form.retry("/portal/email/code")
    try:
        challenge = current_session().email_challenge
        person.email = clinic().authsvc.verify_email_change(challenge, form.code.data.replace(" ", ""))
    except Refused as refused:
        if refused.kind not in WRONG_CODE:
            raise
        words, again = WRONG_CODE[refused.kind]
        return saved(gettext(words), again)
    return saved(gettext("From now on we write to %(address)s.") % {"address": person.email}, "/portal/contact")


def _for_email() -> tuple[Person, str]:
    """The patient in person, whose sign-in is fresh, and the id of the session that shall outlive the change."""
    claims = tokens.require_portal("contact:edit", acting=False, max_age=FRESH_S["email"])
    return clinic().records.people[claims["patient"]], claims["sid"]
