"""The patient portal: four extra workflows, each behind a typed code.

Every handler asks for its own scope with `acr=extra`. Who came by a link alone gets RFC 9470's challenge, and
a page that offers a code. Its pages, and no others, carry a small script that warns before the session ends
for want of a click; all they say and do works without it.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, flash, redirect, render_template, request
from werkzeug.wrappers import Response

from authsvc.demo.sample import tokens
from authsvc.demo.sample.clinic import PAGES, clinic
from authsvc.demo.sample.forms import CardForm, ContactForm, DependentForm, PlanForm
from authsvc.demo.sample.records import Invoice, Person, money, today

portal = Blueprint("portal", __name__, url_prefix="/portal")

MONTHS = (1, 3, 12)


@portal.after_request
def allow_script(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = f"{clinic().csp}; script-src 'self'; connect-src 'self'"
    return response


@portal.get("/still-there")
def still_there() -> dict[str, object]:
    """For the script: how long the session lives on. To ask is no click, so it doesn't keep the session awake."""
    idle_in_s = tokens.idle_in_s()
    return {"signed_in": idle_in_s is not None, "idle_in": idle_in_s or 0}


@portal.post("/stay")
def stay() -> Response:
    """The one act that begins the idle time anew without going anywhere."""
    if not tokens.extend():
        raise tokens.SignInRequired
    name = request.form.get("page", "")
    return redirect(PAGES.get(name, PAGES["home"]), 303)


@portal.get("")
def home() -> str:
    person = _person("contact:view")
    return render_template("portal.html", person=person, agreements=clinic().records.agreements_of(person.id))


@portal.get("/invoices")
def invoices() -> str:
    person = _person("invoices:view")
    return render_template("invoices.html", person=person, invoices=_newest(person), months=MONTHS)


@portal.get("/statement")
def statement() -> str:
    person = _person("statements:generate")
    months = next((m for m in MONTHS if str(m) == request.args.get("months")), MONTHS[0])
    since = today() - timedelta(days=30 * months)
    listed = [one for one in _newest(person) if one.on >= since]
    total = sum(one.amount_cents for one in listed)
    paid = sum(one.amount_cents for one in listed if one.paid_on)
    sums = {"total": money(total), "paid": money(paid), "open": money(total - paid)}
    return render_template("statement.html", person=person, invoices=listed, since=since, on=today(), sums=sums)


@portal.get("/contact")
def contact() -> str:
    person = _person("contact:view")
    form = ContactForm.for_page(phone=person.phone, address=person.address)
    return render_template("contact.html", person=person, form=form)


@portal.post("/contact")
def edit_contact() -> Response:
    person = _person("contact:edit")
    form = ContactForm()
    if not form.validate():
        return form.retry("/portal/contact")
    form.populate_obj(person)
    return _saved("Your contact details are saved.", "/portal/contact")


@portal.get("/membership")
def membership() -> str:
    person = _person("membership:view")
    plan, form = PlanForm(plan=person.plan), DependentForm.for_page()
    return render_template("membership.html", person=person, plan=plan, form=form)


@portal.post("/membership")
def edit_membership() -> Response:
    person = _person("membership:edit")
    form = PlanForm()
    if form.validate():
        form.populate_obj(person)
    return _saved(f"Your membership is now “{person.plan}”.", "/portal/membership")


@portal.post("/membership/dependents")
def add_dependent() -> Response:
    person = _person("dependents:add")
    form = DependentForm()
    if not form.validate():
        return form.retry("/portal/membership")
    clinic().records.add_dependent(person, form.dependent.data)
    return _saved(f"{form.dependent.data} is now on your membership.", "/portal/membership")


@portal.get("/payment-methods")
def payment_methods() -> str:
    person = _person("payment_methods:view")
    return render_template("payment_methods.html", person=person, form=CardForm.for_page())


@portal.post("/payment-methods")
def add_payment_method() -> Response:
    person = _person("payment_methods:edit")
    form = CardForm()
    if not form.validate():
        return form.retry("/portal/payment-methods")
    clinic().records.add_card(person, **form.data)
    return _saved(f"{form.card} is saved.", "/portal/payment-methods")


@portal.post("/payment-methods/<card>/remove")
def remove_payment_method(card: str) -> Response:
    clinic().records.remove_card(_person("payment_methods:edit"), card)
    return _saved("The card is removed.", "/portal/payment-methods")


def _person(scope: str) -> Person:
    return clinic().records.people[tokens.require_portal(scope)]


def _newest(person: Person) -> list[Invoice]:
    return sorted(clinic().records.invoices_of(person.id), key=lambda one: one.on, reverse=True)


def _saved(notice: str, address: str) -> Response:
    flash(notice)
    return redirect(address, 303)
