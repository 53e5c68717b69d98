"""Pages for exactly one thing, which an emailed link opens without a login.

The link itself leads to authsvc's page, whose button sends the browser to `/open` (signin.py); what comes back is a
token for this one invoice or agreement. Each handler asks the verifier for its own act: this scope, this resource.
"""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template
from werkzeug.wrappers import Response

from authsvc.demo.sample import tokens
from authsvc.demo.sample.clinic import clinic
from authsvc.demo.sample.forms import CardForm
from authsvc.demo.sample.records import Agreement, Invoice
from authsvc.demo.sample.signin import PAYMENT_INFO

links = Blueprint("links", __name__)


@links.get("/invoice/<number>")
def invoice(number: str) -> str:
    return render_template("invoice.html", invoice=_invoice(number, "invoice:view"))


@links.post("/invoice/<number>/pay")
def pay(number: str) -> Response:
    found = _invoice(number, "invoice:pay")
    if clinic().records.pay(found):
        clinic().authsvc.revoke_links(f"invoice:{number}")  # paid: the emailed link has done its work
    return redirect(f"/invoice/{number}", 303)


@links.get("/agreement/<number>")
def agreement(number: str) -> str:
    return render_template("agreement.html", agreement=_agreement(number, "agreement:view"))


@links.post("/agreement/<number>/accept")
def accept(number: str) -> Response:
    clinic().records.accept(_agreement(number, "agreement:accept"))
    return redirect(f"/agreement/{number}", 303)


@links.get("/payment-info")
def payment_info() -> str:
    """The link may replace the card and see nothing: no saved card is shown here."""
    tokens.require_link_or_portal("payment_info:update", PAYMENT_INFO)
    return render_template("payment_info.html", form=CardForm.for_page())


@links.post("/payment-info")
def update_payment_info() -> Response:
    patient = tokens.require_link_or_portal("payment_info:update", PAYMENT_INFO)
    form = CardForm()
    if not form.validate():
        return form.retry("/payment-info")
    clinic().records.add_card(clinic().records.people[patient], **form.data)
    flash(form.card)
    return redirect("/payment-info", 303)


def _invoice(number: str, scope: str) -> Invoice:
    resource = f"invoice:{number}"
    patient = tokens.require_link_or_portal(scope, resource, resource)
    found = clinic().records.invoices.get(number)
    if found is None or found.patient != patient:  # a code sign-in reaches all invoices of one patient: hers
        abort(404)
    return found


def _agreement(number: str, scope: str) -> Agreement:
    resource = f"agreement:{number}"
    patient = tokens.require_link_or_portal(scope, resource, resource)
    found = clinic().records.agreements.get(number)
    if found is None or found.patient != patient:
        abort(404)
    return found
