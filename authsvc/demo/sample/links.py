"""Pages for exactly one thing, which an emailed link opens without a login.

The link itself leads to authsvc's page, whose button sends the browser to `/open` (signin.py); what comes back is a
token for this one invoice or agreement. Each handler asks the verifier for its own act: this scope, this resource.
"""

from __future__ import annotations

from flask import Blueprint, Response, abort, flash, redirect, render_template
from werkzeug.wrappers import Response as Redirect

from authsvc.demo.sample import tokens
from authsvc.demo.sample.clinic import clinic
from authsvc.demo.sample.forms import CardForm
from authsvc.demo.sample.languages import gettext
from authsvc.demo.sample.records import Agreement, Invoice
from authsvc.demo.sample.signin import PAYMENT_INFO

links = Blueprint("links", __name__)


@links.get("/invoice/<number>")
def invoice(number: str) -> str:
    return render_template("invoice.html", invoice=_invoice(number, "invoice:view"))


@links.post("/invoice/<number>/pay")
def pay(number: str) -> Redirect:
    clinic().records.pay(_invoice(number, "invoice:pay"))
    clinic().authsvc.revoke_links(f"invoice:{number}")  # paid: the emailed links have done their work
    return redirect(f"/invoice/{number}", 303)


@links.get("/agreement/<number>")
def agreement(number: str) -> str:
    found, _ = _agreement(number, "agreement:view")
    return render_template("agreement.html", agreement=found)


@links.post("/agreement/<number>/accept")
def accept(number: str) -> Redirect:
    """On record is which text was accepted, and by which link (or portal session) and token."""
    found, claims = _agreement(number, "agreement:accept")
    way = f"link {claims['link']}" if "link" in claims else f"session {claims['sid']}"
    clinic().records.accept(found, found.shown(gettext), way, claims["jti"])
    return redirect(f"/agreement/{number}", 303)


@links.get("/agreement/<number>/copy")
def agreement_copy(number: str) -> Response:
    """The patient's copy, as a file to keep."""
    found, _ = _agreement(number, "agreement:view")
    person = clinic().records.people[found.patient]
    text = render_template("agreement.txt", agreement=found, accepted=found.acceptance or abort(404), person=person)
    return attachment(text, f"agreement-{number}.txt", "text/plain")


@links.get("/payment-info")
def payment_info() -> str:
    """The link may replace the card and see nothing: no saved card is shown here."""
    tokens.require_link_or_portal("payment_info:update", PAYMENT_INFO)
    return render_template("payment_info.html", form=CardForm.for_page())


@links.post("/payment-info")
def update_payment_info() -> Redirect:
    patient = tokens.require_link_or_portal("payment_info:update", PAYMENT_INFO)["patient"]
    form = CardForm()
    if not form.validate():
        return form.retry("/payment-info")
    clinic().records.add_card(clinic().records.people[patient], **form.data)
    flash(form.card)
    return redirect("/payment-info", 303)


def attachment(text: str, name: str, media_type: str) -> Response:
    return Response(
        text,
        content_type=f"{media_type}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _invoice(number: str, scope: str) -> Invoice:
    resource = f"invoice:{number}"
    patient = tokens.require_link_or_portal(scope, resource, resource)["patient"]
    found = clinic().records.invoices.get(number)
    if found is None or found.patient != patient:  # a code sign-in reaches all invoices of one patient: hers
        abort(404)
    return found


def _agreement(number: str, scope: str) -> tuple[Agreement, tokens.Claims]:
    resource = f"agreement:{number}"
    claims = tokens.require_link_or_portal(scope, resource, resource)
    found = clinic().records.agreements.get(number)
    if found is None or found.patient != claims["patient"]:
        abort(404)
    return found, claims
