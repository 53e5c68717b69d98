"""How a sign-in begins, and begins again without typing anything twice: by a typed address, for a patient who is known,
or by an emailed link. Until its code is typed it is pending, and is saved with the browser, sealed.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from flask import Response

from authsvc.errors import AuthorizationError, IdempotencyConflict, NoAddress, NoPortalAccess, PatientNotFound
from authsvc.model import AuthorizationRequest, Started
from authsvc.web.browser.cookies import PAGE_ID
from authsvc.web.context import current_service, see_other
from authsvc.web.pages.page_request import PageRequest


@dataclass(frozen=True)
class SignInStart:
    """`method`: `email`, `patient` or `link`; `subject` is the address, the patient's id or the link's token. `address`
    is the mail address as its owner may see it here, `locale` the patient's own language, where a link or session has
    proved who it is."""

    method: str
    subject: str
    address: str = ""
    locale: str = ""

    @property
    def address_masked(self) -> bool:
        return self.method != "email"


@dataclass(frozen=True)
class PendingSignIn:
    """A sign-in that waits for its code on the page `page_id`; `resent`: the code was sent again."""

    page_id: str
    challenge: str
    start: SignInStart
    resent: bool = False


def begin(page: PageRequest, start: SignInStart, *, replaced_page_id: str = "") -> Response:
    """Send a code, and go to the page where it is typed; `replaced_page_id` is the page of one that has ended.

    Raises InvalidInput, RateLimited; LinkUnknown, LinkGone; AuthorizationError where the patient can't be sent a code.
    """
    try:
        started = _send_code(page, start)
    except (PatientNotFound, NoPortalAccess, NoAddress):
        if page.authorization is None:
            return see_other(page.url("contact", query=""))
        raise sign_in_failed(page.authorization, "The patient can't be sent a code") from None
    if started.email_hint:
        start = SignInStart(start.method, start.subject, started.email_hint, start.locale)
    pending = PendingSignIn(page.cookies.new_page_id(), started.challenge, start)
    response = see_other(page.url("enter_code", page_id=pending.page_id))
    save(response, page, pending)
    if replaced_page_id:
        page.cookies.delete_pending(response, page.practice.id, replaced_page_id)
    return response


def _send_code(page: PageRequest, start: SignInStart) -> Started:
    """A double click sends the same form twice: one mail, and the same sign-in for both."""
    set_idempotency_key(page, start.method, start.subject, page.mail_locale or "")
    try:
        return _start(page, start)
    except IdempotencyConflict:
        page.context.idempotency_key = None  # typed anew on a page that came from the browser's own memory
        return _start(page, start)


def _start(page: PageRequest, start: SignInStart) -> Started:
    if start.method == "link":
        started = current_service().links.exchange(page.context, start.subject)
        if not isinstance(started, Started):
            raise TypeError("an instant link doesn't begin a sign-in")
        return started
    to = {start.method: start.subject}
    return current_service().codes.start(page.context, **to, locale=page.mail_locale, delivery=page.practice.delivery)


def set_idempotency_key(page: PageRequest, *contents: str) -> None:
    """Let this act happen once for the form that was shown, however often it is sent with these contents."""
    form_id = page.field("once")
    if PAGE_ID.fullmatch(form_id):
        page.context.idempotency_key = f"{page.browser.id}.{form_id}"
        page.context.fingerprint = sha256("\n".join(contents).encode()).digest()


def sign_in_failed(authorization: AuthorizationRequest, description: str) -> AuthorizationError:
    """The patient didn't sign in. A client that asked for a certain way of it hears that (RFC 9470 §5)."""
    certain = authorization.acr or authorization.max_age_s is not None
    error = "unmet_authentication_requirements" if certain else "access_denied"
    return AuthorizationError(authorization.redirect_uri, authorization.state, error, description)


# --- with the browser ---------------------------------------------------------------------------------------------
# The names are short since the cookie is limited; they stay, since a browser may bring a cookie of an older release.


def save(response: Response, page: PageRequest, pending: PendingSignIn) -> None:
    start = pending.start
    fields: dict[str, Any] = {"h": pending.challenge, "how": start.method, "s": start.subject, "r": pending.resent}
    if start.address_masked:
        fields |= {"shown": start.address, "loc": start.locale}
    page.cookies.set_pending(response, page.browser, page.practice.id, pending.page_id, fields)


def load(page: PageRequest, page_id: str) -> PendingSignIn | None:
    """The sign-in that waits for its code on this page of this browser."""
    fields = page.cookies.pending(page.browser, page.practice.id, page_id)
    if fields is None:
        return None
    subject = fields["s"]
    start = SignInStart(fields["how"], subject, fields.get("shown", subject), fields.get("loc", ""))
    return PendingSignIn(page_id, fields["h"], start, fields["r"])
