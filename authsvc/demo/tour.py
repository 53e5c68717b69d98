"""The demo's first page: every workflow and both sign-ins as steps with a button, and the site around the sample."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from flask import Blueprint, Flask, redirect, render_template
from werkzeug.wrappers import Response

from authsvc.demo.inbox import ReadMails, inbox
from authsvc.demo.sample import create_app
from authsvc.demo.sample.billing import send_link
from authsvc.demo.sample.clinic import Settings, clinic
from authsvc.demo.sample.records import Records

NAV = (("The tour", "/"), ("Inbox", "/inbox"), ("Front desk", "/billing"), ("Patient portal", "/portal"))
DAYS = timedelta(days=4)

tour = Blueprint("tour", __name__, template_folder="templates")


@tour.get("/")
def steps() -> str:
    return render_template("tour.html")


@tour.post("/send")
def send() -> Response:
    """What the front desk's button does, but the newcomer lands in the inbox, where the mail arrives."""
    send_link()
    return redirect("/inbox", 303)


@tour.post("/later")
def later() -> Response:
    """The clinic's clock runs ahead, so that an invoice is due at once; the newcomer lands where its mail arrives."""
    records = clinic().records
    before = records.now
    records.now = lambda: before() + DAYS
    return redirect("/inbox", 303)


def demo_site(settings: Settings, records: Records, read_mails: ReadMails) -> Flask:
    """The sample practice with the demo's own pages beside it, on one address."""
    app = create_app(replace(settings, nav=NAV), records)
    app.register_blueprint(tour)
    app.register_blueprint(inbox(read_mails))
    return app
