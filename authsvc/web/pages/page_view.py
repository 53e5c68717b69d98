"""The decorator of every page's view: GET and HEAD show, POST acts, and acts only if this very browser was shown the
form."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from flask import Response

from authsvc.web.browser.render import render_message, this_page
from authsvc.web.context import current_service, load_practice
from authsvc.web.pages.page_request import read
from authsvc.web.pages.page_response import show_flash

View = Callable[..., Response]


def page_view(*, takes_authorization: bool = False, session_bound: bool = True) -> Callable[[View], View]:
    """Make a view of `view(page: PageRequest, **values_of_the_path)`.

    `takes_authorization`: the address may carry a client's authorization request. Without `session_bound` its forms
    aren't about who is signed in. The view may raise AuthorizationError, UnregisteredClient, NotFound, RateLimited,
    Unavailable, KeysetUnusable: the blueprint answers them.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def respond(practice: str, **values: str) -> Response:
            page = read(load_practice(practice.lower()), takes_authorization=takes_authorization)
            # Who isn't signed in has nothing to lose on the pages of those who are.
            protected = page.form is not None and (not session_bound or page.browser.session)
            if protected and not page.cookies.is_own_form(
                page.practice.id, page.form or {}, session_bound=session_bound
            ):
                current_service().metrics.count("forms_refused")
                return render_message("stale", 403, page.practice, next_url=this_page())
            return show_flash(page) or view(page, **values)

        return respond

    return decorate
