"""The code's page: a mailbox is proven, and the sign-in goes on.

A code counts only in the browser that asked for it: the challenge is in that browser's sealed cookie and nowhere else,
so a code that somebody talks a patient out of is worth nothing (login CSRF, RFC 6819 §4.4.1.8).
"""

from __future__ import annotations

from dataclasses import replace
from email.utils import parseaddr

from flask import Response
from marshmallow import ValidationError

from authsvc.errors import ChallengeGone, InvalidCode, RateLimited
from authsvc.model import Choice
from authsvc.web.context import count_error, current_service, see_other
from authsvc.web.fields import Code
from authsvc.web.pages import pending_sign_in
from authsvc.web.pages.finish_sign_in import cancel, load_pending, not_pending, render_ended, restart, signed_in
from authsvc.web.pages.page_request import PageRequest
from authsvc.web.pages.page_response import form_origins, render_form, wait_text
from authsvc.web.pages.page_view import page_view
from authsvc.web.pages.pending_sign_in import PendingSignIn
from authsvc.web.pages.sign_in import other_address_url
from authsvc.web.pages.typed import code as typed_code

_CODE = Code()


@page_view(takes_authorization=True, session_bound=False)
def enter_code(page: PageRequest, page_id: str) -> Response:
    """Raises NotFound for an id that no page of ours has."""
    pending = load_pending(page, page_id)
    if pending is None:
        return not_pending(page)
    match page.field("act"):
        case "cancel" if page.authorization:
            return cancel(page, pending, page.authorization)
        case "again":
            return restart(page, pending)
        case "resend":
            return _resend(page, pending)
    return _verify(page, pending) if page.posted else _render(page, 200, pending)


def _verify(page: PageRequest, pending: PendingSignIn) -> Response:
    try:
        code = _CODE.deserialize(typed_code(page.field("code")))
    except ValidationError:
        return _render(page, 400, pending, error="malformed")
    sessions = current_service().browser_sessions
    try:
        result = sessions.verify(page.context, pending.challenge, code, page.browser.session)
    except InvalidCode as error:
        count_error(error)
        if error.attempts_left == 0:
            return render_ended(page, pending)
        return _render(page, 400, pending, error="invalid", attempts_left=error.attempts_left)
    except ChallengeGone as error:
        count_error(error)
        return render_ended(page, pending)
    except RateLimited as error:
        count_error(error)
        return _render(page, 429, pending, error="limited", retry_after_s=error.retry_after_s)
    if isinstance(result, Choice):
        return see_other(page.url("choose_patient", page_id=pending.page_id))
    return signed_in(page, pending, result)


def _resend(page: PageRequest, pending: PendingSignIn) -> Response:
    service = current_service()
    try:
        service.codes.resend(page.context, pending.challenge)
    except ChallengeGone as error:
        count_error(error)
        return render_ended(page, pending)
    except RateLimited as error:
        count_error(error)
        retry_after_s = error.retry_after_s
        if error.violated == ("resend",) and retry_after_s <= service.settings.resend_after_s:
            return _render(page, 429, pending, notice="early", retry_after_s=retry_after_s)
        return _render(page, 429, pending, error="limited", retry_after_s=retry_after_s)
    response = see_other(page.url("enter_code", page_id=pending.page_id))
    pending_sign_in.save(response, page, replace(pending, resent=True))
    return response


def _render(
    page: PageRequest,
    status: int,
    pending: PendingSignIn,
    *,
    error: str = "",
    notice: str = "",
    attempts_left: int = 0,
    retry_after_s: int = 0,
) -> Response:
    start, settings = pending.start, current_service().settings
    return render_form(
        page,
        status,
        "enter_code.html",
        patient_locale=start.locale,
        session_bound=False,
        form_origins=form_origins(page),
        retry_after_s=retry_after_s,
        mail_address=start.address,
        address_masked=start.address_masked,
        code_life_s=settings.code_life_s // 60 * 60,
        error=error,
        attempts_left=attempts_left,
        wait=wait_text(page.practice, retry_after_s, start.locale),
        notice=notice or ("resent" if pending.resent and not page.posted else ""),
        sender=parseaddr(settings.mail_from)[1],
        other_address_url=other_address_url(page),
        can_cancel=bool(page.authorization),
    )
