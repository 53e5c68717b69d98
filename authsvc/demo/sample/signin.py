"""Signing in with a code: by a typed address, by an access link, or as the step up from a link to the portal.

The challenge stays on the server with the visit, so a code can only be used in the browser that asked for it. Nothing
here says whether an address is known: authsvc answers alike, and so do these pages.
"""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from authsvc.demo.sample import tokens
from authsvc.demo.sample.api import Away, Choice, Refusal, Started, Tokens
from authsvc.demo.sample.clinic import clinic, patient_ip
from authsvc.demo.sample.forms import last_slip, try_again
from authsvc.demo.sample.refusals import in_words, wait_words
from authsvc.demo.sample.visits import Pending, visit

signin = Blueprint("signin", __name__)

# Where a sign-in may lead. A name from this table travels through the forms, never an address.
PAGES = {
    "home": "/portal",
    "invoices": "/portal/invoices",
    "contact": "/portal/contact",
    "membership": "/portal/membership",
    "payment-methods": "/portal/payment-methods",
}


@signin.get("/sign-in")
def ask_address() -> Response | str:
    if tokens.portal_grant():
        return redirect(PAGES["home"], 303)
    slip, page = last_slip(), _page(request.args.get("to"))
    return render_template("sign_in.html", page=page, email=slip.typed.get("email", ""), wrong=slip.wrong.get("email"))


@signin.post("/sign-in")
def send_to_address() -> Response:
    email, page = request.form.get("email", "").strip(), _page(request.form.get("page"))
    try:
        start("email", email, page)
    except Refusal as refusal:
        if refusal.kind != "invalid-request":
            raise
        wrong = "Please write your whole email address, like name@example.com."
        return try_again(f"/sign-in?to={page}", {"email": wrong}, {"email": email})
    return redirect("/sign-in/code", 303)


@signin.post("/sign-in/step-up")
def step_up() -> Response:
    """From a link to the portal: the code goes to the patient whom the verified token names, at the address on file."""
    start("patient", tokens.linked_patient(), _page(request.form.get("page")))
    return redirect("/sign-in/code", 303)


@signin.post("/sign-in/again")
def start_again() -> Response:
    """A new code after the old one is gone, without typing the address again."""
    pending = visit().pending
    if pending is None:
        return redirect("/sign-in", 303)
    start(pending.how, pending.who, pending.page)
    return redirect("/sign-in/code", 303)


@signin.get("/sign-in/code")
def ask_code() -> Response | str:
    pending = visit().pending
    if pending is None:
        return redirect("/sign-in", 303)
    notice, visit().notice = visit().notice, ""
    return render_template("code.html", pending=pending, notice=notice, wrong=last_slip().wrong.get("code"))


@signin.post("/sign-in/resend")
def resend() -> Response:
    pending = visit().pending
    if pending is None:
        return redirect("/sign-in", 303)
    try:
        clinic().authsvc.resend_code(pending.challenge, request.form["once"], patient_ip())
    except Refusal as refusal:
        if refusal.kind != "rate-limited":
            raise
        wait = wait_words(refusal.retry_after_s)
        visit().notice = f"A code is on its way already. You can ask for another {wait}."
    else:
        visit().notice = "We have sent another code. The earlier one still works too."
    return redirect("/sign-in/code", 303)


@signin.post("/sign-in/code")
def check_code() -> Response:
    pending = visit().pending
    if pending is None:
        return redirect("/sign-in", 303)
    try:
        answer = clinic().authsvc.verify_code(pending.challenge, request.form.get("code", ""), patient_ip())
    except Refusal as refusal:
        if refusal.kind not in ("invalid-code", "invalid-request", "rate-limited") or _was_last(refusal):
            raise
        return try_again("/sign-in/code", {"code": in_words(refusal)}, {})  # what was typed is not worth keeping
    if isinstance(answer, Choice):
        pending.challenge, pending.choose = answer.challenge, answer.patients
        return redirect("/sign-in/who", 303)
    return signed_in(answer, pending.page)


@signin.get("/sign-in/who")
def ask_who() -> Response | str:
    pending = visit().pending
    if pending is None or not pending.choose:
        return redirect("/sign-in", 303)
    return render_template("who.html", patients=pending.choose)


@signin.post("/sign-in/who")
def choose() -> Response:
    pending = visit().pending
    if pending is None or not pending.choose:
        return redirect("/sign-in", 303)
    answer = clinic().authsvc.choose(pending.challenge, request.form.get("patient", ""), patient_ip())
    return signed_in(answer, pending.page)


@signin.post("/sign-out")
def sign_out() -> Response:
    """Ends the session at authsvc first. Whatever it answers, this browser holds nothing afterwards."""
    held = visit().portal
    clinic().visits.forget()
    if held and held.refresh_token:
        try:
            clinic().authsvc.sign_out(held.refresh_token)
        except Away:
            return redirect("/signed-out?only=here", 303)
    return redirect("/signed-out", 303)


@signin.get("/signed-out")
def signed_out() -> str:
    return render_template("signed_out.html", only_here="only" in request.args)


def start(how: str, who: str, page: str) -> None:
    """Have a code sent, by whichever way this sign-in began."""
    authsvc, ip, once = clinic().authsvc, patient_ip(), request.form["once"]
    if how == "link":
        answer = authsvc.exchange(who, ip)
        if isinstance(answer, Tokens):
            raise TypeError("an access link never gives tokens")
    elif how == "patient":
        answer = authsvc.code_to_patient(who, once, ip)
    else:
        answer = authsvc.code_to_address(who, once, ip)
    wait_for_code(answer, how, who, page)


def wait_for_code(started: Started, how: str, who: str, page: str) -> None:
    shown = started.email_hint or (who if how == "email" else "")
    visit().slips.clear()  # what was said of an earlier code is past
    visit().pending = Pending(started.challenge, how, who, shown, started.expires_in_s // 60, page)


def signed_in(answer: Tokens, page: str) -> Response:
    clinic().visits.renew()
    visit().portal, visit().pending = tokens.granted(answer), None
    return redirect(PAGES[page], 303)


def _page(name: str | None) -> str:
    return name if name in PAGES else "home"


def _was_last(refusal: Refusal) -> bool:
    return refusal.kind == "invalid-code" and refusal.body.get("attempts_left") == 0
