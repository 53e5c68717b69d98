"""The front desk: send a link by email, see what happened to the mail.

In a real practice this area has the staff's own login; the demo leaves the door open.
"""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request
from werkzeug.wrappers import Response

from authsvc.demo.sample.clinic import clinic

billing = Blueprint("billing", __name__, url_prefix="/billing")

# What may be sent, and what the desk reads afterwards.
LINKS = {
    "pay-invoice": "The invoice link",
    "accept-agreement": "The agreement link",
    "update-payment-info": "The payment-details link",
    "portal": "The link to the portal",
}


@billing.get("")
def desk() -> str:
    return render_template("billing.html", records=clinic().records)


@billing.post("/send")
def send() -> Response:
    flash(send_link())
    return redirect("/billing", 303)


@billing.get("/mail/<patient>")
def mail(patient: str) -> str:
    person = clinic().records.people.get(patient) or abort(404)
    return render_template("mail_log.html", person=person, deliveries=clinic().authsvc.deliveries(patient))


def send_link() -> str:
    """Send what the form names; a sentence for the desk. The form's idempotency key makes a double click one mail."""
    form = request.form
    workflow, patient, resource = form.get("workflow", ""), form.get("patient", ""), form.get("resource") or None
    person = clinic().records.people.get(patient)
    if person is None or workflow not in LINKS:
        abort(404)
    clinic().authsvc.mail_link(patient, workflow, resource, form["idempotency_key"])
    return f"{LINKS[workflow]} is on its way to {person.name}."
