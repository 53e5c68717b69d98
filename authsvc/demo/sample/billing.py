"""The front desk: a patient's profile, from where links are sent by email, and portal access is given and taken.

In a real practice this area has the staff's own login; the demo leaves the door open.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request
from werkzeug.wrappers import Response

from authsvc.demo.sample.api import Authsvc, Refused, Unavailable
from authsvc.demo.sample.clinic import Clinic, clinic
from authsvc.demo.sample.forms import NO_ADDRESS, EmailForm
from authsvc.demo.sample.records import Person

billing = Blueprint("billing", __name__, url_prefix="/billing")

DESK_USER = "dana"  # whoever is signed in at the desk, as authsvc's audit trail names her

# What may be sent, and what the desk reads afterwards.
LINKS = {
    "pay-invoice": "The invoice link",
    "accept-agreement": "The agreement link",
    "update-payment-info": "The request for payment information",
    "portal": "The link to the portal",
}

AUDIT = {
    "": "Everything",
    "code.verified": "Who signed in",
    "patient.address_changed": "Who changed the email address",
    "session.switched": "Who switched person",
    "link.exchanged": "Which links were used",
}
"""What the desk asks of authsvc's audit, by the event that answers it."""

NOT_SENT = {
    "no-address": "Nothing was sent: we have no email address of this patient.",
    "no-portal-access": "Nothing was sent: this patient has no access to the portal.",
    "rate-limited": "Nothing was sent: there were many emails just now. Please try again in a quarter of an hour.",
}


@billing.get("")
def desk() -> str:
    return render_template("billing.html", people=clinic().records.people.values())


@billing.get("/<patient>")
def profile(patient: str) -> str:
    person = _person(patient)
    requests = [link for link in _authsvc().links(patient) if link["workflow"] == "update-payment-info"]
    return render_template(
        "profile.html",
        records=clinic().records,
        person=person,
        request_link=next(iter(requests), None),
        form=EmailForm.for_page(email=person.email),
    )


@billing.post("/send")
def send() -> Response:
    flash(send_link())
    return redirect(f"/billing/{request.form['patient']}", 303)


@billing.post("/<patient>/access")
def access(patient: str) -> Response:
    person = _person(patient)
    _put(person, portal_access="give" in request.form)
    what = "can sign in to the portal now" if person.portal_access else "can't sign in to the portal any more"
    flash(f"{person.name} {what}.")
    return redirect(f"/billing/{patient}", 303)


@billing.post("/<patient>/email")
def email(patient: str) -> Response:
    """The desk changes the address, on the telephone say. Both mailboxes get a notice from authsvc."""
    person, form = _person(patient), EmailForm()
    if not form.validate():
        return form.retry(f"/billing/{patient}")
    try:
        _put(person, email=form.email.data)
    except Refused as refused:
        if refused.kind != "invalid-request":
            raise
        form.email.errors = [NO_ADDRESS]
        return form.retry(f"/billing/{patient}")
    flash(f"{person.name} gets our emails at {person.email} now.")
    return redirect(f"/billing/{patient}", 303)


@billing.post("/<patient>/dependents/<dependent>/end")
def end_acting(patient: str, dependent: str) -> Response:
    person = _person(patient)
    if dependent not in person.dependents:
        abort(404)
    _authsvc().remove_dependent(patient, dependent)
    person.dependents.remove(dependent)
    flash(f"{person.name} acts for {_person(dependent).name} no more.")
    return redirect(f"/billing/{patient}", 303)


@billing.post("/<patient>/language")
def language(patient: str) -> Response:
    _put(_person(patient), language="es" if "es" in request.form else "en")
    return redirect(f"/billing/{patient}", 303)


@billing.get("/mail/<patient>")
def mail(patient: str) -> str:
    return render_template("mail_log.html", person=_person(patient), deliveries=_authsvc().deliveries(patient))


@billing.get("/audit/<patient>")
def audit(patient: str) -> str:
    person, event = _person(patient), request.args.get("event", "")
    if event not in AUDIT:
        abort(404)
    entries = _authsvc().audit(patient=patient, **({"event": event} if event else {}))
    people = {one.id: one.name for one in clinic().records.people.values()}
    return render_template("audit.html", person=person, entries=entries, questions=AUDIT, event=event, people=people)


def send_link() -> str:
    """Send what the form names; a sentence for the desk. The form's idempotency key makes a double click one mail."""
    form = request.form
    workflow, resource = form.get("workflow", ""), form.get("resource") or None
    person = _person(form.get("patient", ""))
    if workflow not in LINKS:
        abort(404)
    try:
        _authsvc().mail_link(person.id, workflow, resource, form["idempotency_key"])
    except Refused as refused:
        if refused.kind not in NOT_SENT:
            raise
        return NOT_SENT[refused.kind]
    return f"{LINKS[workflow]} is on its way to {person.name}."


def mail_due_invoices(clinic: Clinic) -> None:
    """An invoice that is due mails its own link, once, without anybody at the desk.

    A timer calls this (the demo's launcher twice a second, a practice's cron once a day). What authsvc couldn't decide
    now is sent the next time; the idempotency key makes one mail of two runs.
    """
    for invoice in clinic.records.due_invoices():
        try:
            clinic.authsvc.mail_link(invoice.patient, "pay-invoice", f"invoice:{invoice.id}", f"due-{invoice.id}")
            invoice.mailed_on = clinic.records.today()
        except Refused as refused:
            invoice.not_mailed = refused.kind  # the desk sees it on the patient's profile
        except Unavailable:
            return


def _authsvc() -> Authsvc:
    return clinic().authsvc.acting_for(DESK_USER)


def _put(person: Person, **changes: Any) -> None:
    """Change it at authsvc, then here: if that fails, nothing is changed."""
    changed = replace(person, **changes)
    _authsvc().put_patient(changed.id, changed.email, changed.name, changed.portal_access, changed.language)
    for name, value in changes.items():
        setattr(person, name, value)


def _person(patient: str) -> Person:
    return clinic().records.people.get(patient) or abort(404)
