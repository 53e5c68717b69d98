"""Emailed links: a page with one button, then exactly the one thing, without a login.

GET never asks authsvc anything, so mail scanners that open links spend nothing. The press (POST) exchanges the link's
token, keeps what comes back on the server and answers 303 to an address without the token. Each handler then proves
its own act with the verifier: this scope, this resource.
"""

from __future__ import annotations

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from authsvc.demo.sample import tokens
from authsvc.demo.sample.api import Started
from authsvc.demo.sample.clinic import clinic, patient_ip
from authsvc.demo.sample.forms import CARD_FIELDS, Form, try_again
from authsvc.demo.sample.refusals import page
from authsvc.demo.sample.signin import wait_for_code
from authsvc.demo.sample.state import Agreement, Invoice
from authsvc.demo.sample.visits import visit

links = Blueprint("links", __name__)

PAYMENT_INFO = "update-payment-info"  # the workflow without a resource


@links.get("/go/<token>")
def landing(token: str) -> str:
    return render_template("landing.html", token=token)


@links.post("/go/<token>")
def press(token: str) -> Response:
    answer = clinic().authsvc.exchange(token, patient_ip())
    if isinstance(answer, Started):  # an access link: it says who is meant, a code must prove it
        wait_for_code(answer, "link", token, "home")
        return redirect("/sign-in/code", 303)
    clinic().visits.renew()
    thing = answer.resource or str(answer.workflow)
    visit().instant[thing] = tokens.granted(answer)
    kind, _, number = thing.partition(":")
    return redirect("/payment-info" if thing == PAYMENT_INFO else f"/{kind}/{number}", 303)


@links.post("/go/<token>/again")
def send_again(token: str) -> Response:
    clinic().authsvc.resend_link(token)
    text = "If this link can be renewed, a new one is on its way to the email address we have on file for you."
    return page("Please look in your email", text, 202)


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
    tokens.one_thing("payment_info:update", PAYMENT_INFO)
    saved, visit().notice = visit().notice, ""
    return render_template("payment_info.html", form=Form.showing(CARD_FIELDS), saved=saved)


@links.post("/payment-info")
def update_payment_info() -> Response:
    patient = tokens.one_thing("payment_info:update", PAYMENT_INFO)
    form = Form(CARD_FIELDS, request.form)
    if form.wrong:
        return try_again("/payment-info", form.wrong, form.values)
    clinic().records.add_card(clinic().records.people[patient], form["name"], form["last4"], form["expires"])
    visit().notice = f"{form['name']} ending in {form['last4']}"
    return redirect("/payment-info", 303)


def _invoice(number: str, scope: str) -> Invoice:
    resource = f"invoice:{number}"
    patient = tokens.one_thing(scope, resource, resource)
    found = clinic().records.invoices.get(number)
    if found is None or found.patient != patient:  # a code sign-in reaches all invoices of one patient: hers
        abort(404)
    return found


def _agreement(number: str, scope: str) -> Agreement:
    resource = f"agreement:{number}"
    patient = tokens.one_thing(scope, resource, resource)
    found = clinic().records.agreements.get(number)
    if found is None or found.patient != patient:
        abort(404)
    return found
