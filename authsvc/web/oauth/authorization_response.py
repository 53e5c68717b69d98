"""Where a sign-in leads: back to its client with a code or an error (RFC 6749 §4.1.2, RFC 9207), or to the portal.

Every redirect is 303, so that nothing that was posted is posted again elsewhere (RFC 9700 §4.12), and goes to an
address that an operator has registered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from authsvc.errors import AuthorizationError, SignInNeeded
from authsvc.model import AuthorizationRequest, Practice, RequestContext
from authsvc.web.endpoint import Reply
from authsvc.web.oauth.errors import quotable

if TYPE_CHECKING:
    from authsvc.wiring import Service


class Finish:
    """Builds the redirects at the end."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._base = urlsplit(service.settings.public_url).path.rstrip("/")

    def after(
        self, act: RequestContext, asked: AuthorizationRequest | None, cookie: str, *, fresh: bool = False
    ) -> Reply:
        """Onward with the browser's sign-in: to the client that asked, else to the practice's portal, else to the page
        that shows the sign-in. `fresh`: the patient proved it just now.

        Raises RateLimited, Unavailable; SignInNeeded where the sign-in doesn't do and there still is something to ask.
        """
        practice = act.practice
        if asked is None:
            return _see_other(practice.portal_url or f"{self._base}/p/{practice.id}/session")
        try:
            code = self._service.authorization_codes.for_sign_in(act, asked, cookie, fresh=fresh)
        except SignInNeeded as needed:
            if not fresh:
                raise
            why = "The patient signed in as somebody else" if needed.reason == "other_patient" else "Try again"
            return self.declined(AuthorizationError(asked.redirect_uri, asked.state, "login_required", why))
        return self.granted(asked, code)

    def granted(self, asked: AuthorizationRequest, code: str) -> Reply:
        """To the client with its code. `iss` says who answers, so that a client of several can't be mixed up."""
        return self._answer(asked.redirect_uri, {"code": code, "state": asked.state})

    def declined(self, declined: AuthorizationError) -> Reply:
        """To the client with what went wrong."""
        said = {
            "error": declined.error,
            "error_description": quotable(declined.description),
            "state": declined.state,
        }
        return self._answer(declined.redirect_uri, said)

    def to_sign_in(self, asked: AuthorizationRequest) -> Reply:
        return _see_other(f"{self._base}/p/{asked.practice.id}/sign-in?{asked.query}")

    def targets(self, practice: Practice, asked: AuthorizationRequest | None) -> list[str]:
        """The origins to which a form of the sign-in may lead, for `form-action`: browsers hold it against the
        redirects that follow a form too.

        The portal of a practice comes back to ask for its code, and gets it at whichever address its client has.
        """
        addresses = [asked.redirect_uri] if asked else [practice.portal_url] * bool(practice.portal_url)
        if asked is None and addresses:
            relying = self._service.relying_parties.of_practice(practice.id)
            addresses += [address for client in relying for address in client.redirect_uris]
        return list(dict.fromkeys(origin(address) for address in addresses))

    def _answer(self, redirect_uri: str, members: dict[str, str]) -> Reply:
        issuer = self._service.settings.public_url
        said = {name: value for name, value in members.items() if value} | {"iss": issuer}
        return _see_other(with_query(redirect_uri, said))


def with_query(address: str, members: dict[str, str]) -> str:
    """The address with these members added to its query."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode(members)}"


def origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _see_other(where: str) -> Reply:
    return Reply(303, [("Location", where)])
