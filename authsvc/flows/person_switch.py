"""Going on as somebody else without another mail: whoever proved a mailbox may be itself, or act for a dependent.

The proof stays as old as it is, and a sign-in older than its idle time needs a code. The old session ends.
"""

from __future__ import annotations

from authsvc.crypto import mint
from authsvc.errors import NotFound
from authsvc.flows.browser_sessions import parse_cookie
from authsvc.flows.dependencies import Dependencies
from authsvc.flows.session_scopes import SessionScopes
from authsvc.flows.token_issuer import TokenIssuer
from authsvc.model import Choice, NewBrowserSession, RequestContext, Session, TokenGrant
from authsvc.store.sessions import SessionStore
from authsvc.store.values import NO_COOKIE


class PersonSwitch:
    """The use cases of a switch. Those that change something may raise CodeNeeded, InvalidInput and RateLimited."""

    def __init__(
        self, deps: Dependencies, store: SessionStore, token_issuer: TokenIssuer, scopes: SessionScopes
    ) -> None:
        self._deps = deps
        self._store = store
        self._token_issuer = token_issuer
        self._scopes = scopes

    def of_client(self, context: RequestContext, owner: str, sid: str, patient: str) -> TokenGrant:
        """The tokens of a new session for `patient`, in place of this client's session `sid` of its patient `owner`.

        Raises NotFound, and InvalidInput for a session that came from the hosted pages.
        """
        self._token_issuer.check_signer()
        session, nonce = self._switch(context, patient, sid=sid, owner=owner)
        return self._token_issuer.for_session(context.practice.id, session, nonce)

    def of_browser(self, context: RequestContext, cookie: str, patient: str) -> NewBrowserSession:
        """The same for a browser's session. Raises NotFound where the cookie names none."""
        name = parse_cookie(cookie)
        if name == NO_COOKIE:
            raise NotFound
        session, nonce = self._switch(context, patient, sid=name.sid, secret=name.secret)
        return NewBrowserSession(f"{session.id}.{mint.b64u(nonce)}", session.id, session.patient)

    def choices(self, context: RequestContext, cookie: str) -> Choice:
        """Whom this browser may switch to without another mail: nobody where that takes a code. Changes nothing."""
        found = self._store.choices(context, parse_cookie(cookie))
        return self._deps.personal_data.choice(context.practice.id, "", found)

    def _switch(self, context: RequestContext, patient: str, **which: str) -> tuple[Session, bytes]:
        sid, expires_ms = self._deps.new_id(), self._deps.clock.now_ms() + self._deps.settings.session_absolute_s * 1000
        nonce = self._token_issuer.nonce(context.practice.id, self._deps.new_id(), sid)
        new = self._scopes.new_session(context.client, sid, nonce, expires_ms)
        buckets = self._deps.rate_limits.of_caller(context, "verify-network")
        return self._store.switch(context, patient, new, buckets, **which), nonce
