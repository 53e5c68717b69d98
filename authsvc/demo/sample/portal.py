"""The patient portal: four extra workflows, each behind a typed code.

Every handler asks for its own scope with `acr=extra`. Who came by a link alone gets RFC 9470's challenge, and
a page that offers a code. Its pages, and no others, carry a small script that warns before the session ends
for want of a click; all they say and do works without it.
"""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta

from flask import Blueprint, Response, flash, redirect, render_template, request
from werkzeug.wrappers import Response as Redirect

from authsvc.demo.sample import tokens
from authsvc.demo.sample.clinic import PAGES, clinic
from authsvc.demo.sample.forms import CardForm, ContactForm, DependentForm, PlanForm, StatementForm
from authsvc.demo.sample.languages import N_, gettext
from authsvc.demo.sample.links import attachment
from authsvc.demo.sample.records import Invoice, Person, money

portal = Blueprint("portal", __name__, url_prefix="/portal")

STATEMENT_DAYS = 365  # until another time is chosen
STATEMENT_COLUMNS = (
    N_("Date"),
    N_("Invoice"),
    N_("What"),
    N_("Amount"),
    N_("Paid on"),
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


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
def stay() -> Redirect:
    """The one act that begins the idle time anew without going anywhere."""
    if not tokens.extend():
        raise tokens.SignInRequired
    name = request.form.get("page", "")
    return redirect(PAGES.get(name, PAGES["home"]), 303)


@portal.get("")
def home() -> str:
    person = person_for("contact:view")
    return render_template("portal.html", person=person, agreements=clinic().records.agreements_of(person.id))


@portal.get("/invoices")
def invoices() -> str:
    person = person_for("invoices:view")
    return render_template("invoices.html", invoices=_newest(person), form=_chosen_time())


@portal.get("/statement")
def statement() -> str:
    person, form = person_for("statements:generate"), _chosen_time()
    if not form.validate():
        return render_template("invoices.html", invoices=_newest(person), form=form)
    listed = _within(person, form)
    total = sum(one.amount_cents for one in listed)
    paid = sum(one.amount_cents for one in listed if one.paid_on)
    sums = {"total": money(total), "paid": money(paid), "open": money(total - paid)}
    return render_template("statement.html", person=person, invoices=listed, time=form.data, sums=sums)


@portal.get("/statement.csv")
def statement_file() -> Response | Redirect:
    """The same as a file, for a spreadsheet."""
    person, form = person_for("statements:generate"), _chosen_time()
    if not form.validate():
        return redirect("/portal/invoices", 303)
    written = io.StringIO()
    rows = csv.writer(written)
    rows.writerow(map(gettext, STATEMENT_COLUMNS))
    for one in _within(person, form):
        paid_on = one.paid_on.isoformat() if one.paid_on else ""
        rows.writerow((one.on.isoformat(), one.id, _cell(gettext(one.what)), f"{one.amount_cents / 100:.2f}", paid_on))
    since, until = form.since.data, form.until.data
    return attachment(written.getvalue(), f"statement-{since}-to-{until}.csv", "text/csv")


@portal.get("/contact")
def contact() -> str:
    person = person_for("contact:view")
    form = ContactForm.for_page(phone=person.phone, address=person.address)
    return render_template("contact.html", person=person, form=form)


@portal.post("/contact")
def edit_contact() -> Redirect:
    person = person_for("contact:edit")
    form = ContactForm()
    if not form.validate():
        return form.retry("/portal/contact")
    form.populate_obj(person)
    return saved(gettext("Your contact details are saved."), "/portal/contact")


@portal.get("/membership")
def membership() -> str:
    person = person_for("membership:view")
    plan, form = PlanForm(plan=person.plan), DependentForm.for_page()
    dependents = clinic().records.dependents_of(person)
    return render_template("membership.html", dependents=dependents, plan=plan, form=form)


@portal.post("/membership")
def edit_membership() -> Redirect:
    person = person_for("membership:edit")
    form = PlanForm()
    if form.validate():
        form.populate_obj(person)
    return saved(gettext("Your membership is now “%(plan)s”.") % {"plan": gettext(person.plan)}, "/portal/membership")


@portal.post("/membership/dependents")
def add_dependent() -> Redirect:
    """The dependent becomes a patient on file, and the guardian may act for it: after a code, or by switching."""
    person = person_for("dependents:add", acting=False)
    form = DependentForm()
    if not form.validate():
        return form.retry("/portal/membership")
    dependent = clinic().records.add_dependent(person, form.dependent.data)
    clinic().authsvc.put_patient(dependent.id, "", dependent.name, dependent.portal_access, dependent.language)
    clinic().authsvc.put_dependent(person.id, dependent.id)
    return saved(gettext("%(name)s is now on your membership.") % {"name": form.dependent.data}, "/portal/membership")


@portal.get("/payment-methods")
def payment_methods() -> str:
    person = person_for("payment_methods:view")
    return render_template(
        "payment_methods.html", person=person, form=CardForm.for_page(), today=clinic().records.today()
    )


@portal.post("/payment-methods")
def add_payment_method() -> Redirect:
    person = person_for("payment_methods:edit")
    form = CardForm()
    if not form.validate():
        return form.retry("/portal/payment-methods")
    clinic().records.add_card(person, **form.data)
    return saved(gettext("%(card)s is saved.") % {"card": form.card}, "/portal/payment-methods")


@portal.post("/payment-methods/<card>/default")
def default_payment_method(card: str) -> Redirect:
    clinic().records.make_default(person_for("payment_methods:edit"), card)
    return saved(gettext("From now on we use this card."), "/portal/payment-methods")


@portal.post("/payment-methods/<card>/remove")
def remove_payment_method(card: str) -> Redirect:
    removed = clinic().records.remove_card(person_for("payment_methods:edit"), card)
    notice = gettext("The card is removed.")
    if not removed:
        notice = gettext("We need one card at least. To remove this one, add another first.")
    return saved(notice, "/portal/payment-methods")


def person_for(scope: str, acting: bool = True) -> Person:
    """Whose page this is: the patient, or the dependent for whom a guardian acts."""
    return clinic().records.people[tokens.require_portal(scope, acting)["patient"]]


def _newest(person: Person) -> list[Invoice]:
    return sorted(clinic().records.invoices_of(person.id), key=lambda one: one.on, reverse=True)


def _chosen_time() -> StatementForm:
    today = clinic().records.today()
    return StatementForm(request.args, since=today - timedelta(days=STATEMENT_DAYS), until=today)


def _within(person: Person, form: StatementForm) -> list[Invoice]:
    since: date = form.since.data
    return [one for one in _newest(person) if since <= one.on <= form.until.data]


def _cell(text: str) -> str:
    """A spreadsheet would run what begins like a formula; an apostrophe makes it text."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def saved(notice: str, address: str) -> Redirect:
    flash(notice)
    return redirect(address, 303)
