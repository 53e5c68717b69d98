"""The sign-in page: one field for the address, or, where it is known who is meant, one button.

What it answers to a typed address shows nothing about whether anybody has it. Nothing is stored here for a stranger:
the client's request stays in the address, the pending sign-in in the browser.
"""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Response

from authsvc.errors import InvalidInput, RateLimited
from authsvc.model import AuthorizationRequest
from authsvc.web import parsing
from authsvc.web.context import count_error, current_service, see_other
from authsvc.web.pages.page_request import PageRequest
from authsvc.web.pages.page_response import form_origins, render_form, wait_text
from authsvc.web.pages.page_view import page_view
from authsvc.web.pages.pending_sign_in import SignInStart, begin, sign_in_failed
from authsvc.web.pages.typed import address as typed_address
from authsvc.web.pages.typed import lookalike

MAX_TYPED_CHARS = 254  # of what was typed, to show it again: no address is longer

FRESH_SIGN_IN = frozenset({"login", "consent"})
"""Prompts that whoever is signed in answers with a code. `select_account` asks who it is instead."""


@page_view(takes_authorization=True, session_bound=False)
def sign_in(page: PageRequest) -> Response:
    authorization = page.authorization
    if authorization is None and current_service().browser_sessions.get(page.context, page.browser.session):
        return see_other(page.url("session", query=""))
    if page.field("act") == "cancel" and authorization:
        raise sign_in_failed(authorization, "The patient went back")
    known = _known_patient(page, authorization) if authorization else None
    if not page.posted:
        return _render(page, 200, known)
    typed = page.field("email").strip()  # shown again as it is, when there is a fault in it
    address = typed_address(typed)
    try:
        return begin(page, known if known and not address else SignInStart("email", address))
    except InvalidInput:
        return _render(page, 400, known, typed, error="email", lookalike=lookalike(address))
    except RateLimited as error:
        count_error(error)
        return _render(page, 429, known, typed, error="busy", retry_after_s=error.retry_after_s)


def _known_patient(page: PageRequest, authorization: AuthorizationRequest) -> SignInStart | None:
    """Whom a code can be sent to without asking for an address: who has opened a link that isn't enough for what the
    client wants (else it would have its code already), who is signed in and has to prove it again, or whom an ID token
    of the client's names."""
    if "select_account" in authorization.prompt:
        return None
    service, found = current_service(), []
    if authorization.login_hint:
        link = service.authorization_codes.pending_link(page.context, authorization.login_hint, page.browser.id)
        if link and _reachable(page, link.email_hint) and link.target == authorization.client.id:
            found.append(SignInStart("patient", link.patient, link.email_hint, link.locale))
    if authorization.max_age_s is not None or authorization.prompt & FRESH_SIGN_IN:
        session = service.browser_sessions.get(page.context, page.browser.session)
        if session and _reachable(page, session.hint):
            found.append(SignInStart("patient", session.person, session.hint, session.locale))
    if authorization.hint_verified:
        reached = service.browser_sessions.contact(page.context, authorization.expected_person)
        if reached:
            found.append(SignInStart("patient", authorization.expected_person, *reached))
    return next((start for start in found if authorization.expected_person in ("", start.subject)), None)


def _reachable(page: PageRequest, address: str) -> bool:
    """Whether a code can be sent to a patient with this address, or with none."""
    return bool(address) or page.practice.delivery == "webhook"


def _render(
    page: PageRequest,
    status: int,
    known: SignInStart | None,
    typed: str = "",
    *,
    error: str = "",
    lookalike: str = "",
    retry_after_s: int = 0,
) -> Response:
    locale = known.locale if known else ""
    return render_form(
        page,
        status,
        "sign_in.html",
        patient_locale=locale,
        session_bound=False,
        form_origins=form_origins(page),
        retry_after_s=retry_after_s,
        email=typed[:MAX_TYPED_CHARS],
        error=error,
        lookalike=lookalike,
        wait=wait_text(page.practice, retry_after_s, locale),
        known_address=known.address if known else "",
        known_without_address=known is not None and not known.address,
        other_address_url=other_address_url(page) if known else "",
        can_cancel=bool(page.authorization),
    )


def other_address_url(page: PageRequest) -> str:
    """The sign-in page with its field, for somebody else's address; empty where the client wants a certain patient."""
    if page.authorization is None:
        return page.url("sign_in")
    if page.authorization.expected_patient:
        return ""
    others = [pair for pair in parsing.parse_pairs(page.query) if pair[0] not in ("login_hint", "prompt")]
    return page.url("sign_in", urlencode([*others, ("prompt", "select_account")]))
