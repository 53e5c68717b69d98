"""Authorization codes, and the redeemed links that wait for their client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from authsvc.config.settings import Settings
from authsvc.model import Bucket, RequestContext, Session
from authsvc.store import records
from authsvc.store.scripts import ScriptRunner
from authsvc.store.values import NO_COOKIE, BrowserCookie, NewSession, PendingLinkName


@dataclass(frozen=True)
class NewAuthorizationCode:
    """A code to be kept, by its digest. `patient`: the only one it may be for; `max_age_ms`: of the sign-in."""

    digest: str
    redirect_uri: str
    code_challenge: str
    nonce: str
    scope: str
    expires_ms: int
    patient: str = ""
    max_age_ms: int | None = None
    dpop_jkt: str = ""


@dataclass(frozen=True)
class RedeemedLink:
    """What a link's token is made of. `redeemed_ms` is when the patient pressed its button."""

    id: str
    patient: str
    workflow: str
    resource: str
    channel: str
    redeemed_ms: int
    jti: str


@dataclass(frozen=True)
class Redeemed:
    """What a code gave: a session or a link, with the request's nonce and scope."""

    nonce: str
    scope: str
    session: Session | None = None
    link: RedeemedLink | None = None


@dataclass(frozen=True)
class FoundPendingLink:
    """What a pending link is for; `address` is sealed, and empty where no code could be sent."""

    link: str
    patient: str
    workflow: str
    resource: str
    client: str
    locale: str
    address: str


class AuthorizationCodeStore:
    """Every method may raise RateLimited and Unavailable."""

    def __init__(self, runner: ScriptRunner, settings: Settings) -> None:
        self._runner = runner
        self._idle_ms = settings.session_idle_s * 1000
        self._delivery_ms = settings.delivery_record_life_s * 1000

    def issue(
        self,
        context: RequestContext,
        client: str,
        code: NewAuthorizationCode,
        buckets: Sequence[Bucket],
        *,
        cookie: BrowserCookie = NO_COOKIE,
        pending: PendingLinkName | None = None,
    ) -> None:
        """Keep a code for the browser's session, or for a pending link. Raises SignInNeeded, LinkGone."""
        pending = pending or PendingLinkName()
        self._runner.run(
            "authorization_code_issue",
            context,
            durable=True,
            code=code.digest,
            client=client,
            redirect_uri=code.redirect_uri,
            code_challenge=code.code_challenge,
            nonce=code.nonce,
            scope=code.scope,
            code_expires=code.expires_ms,
            max_age_ms=code.max_age_ms,
            dpop_jkt=code.dpop_jkt,
            patient=code.patient,
            session_id=cookie.sid,
            secret=cookie.secret,
            idle_ms=self._idle_ms,
            pending_id=pending.id,
            pending_browser=pending.browser,
            limits=buckets,
        )

    def redeem(
        self,
        context: RequestContext,
        digest: str,
        redirect_uri: str,
        code_challenge: str,
        session: NewSession,
        *,
        jkt: str,
        notify: bool,
        jti: str,
        token_until_ms: int,
        buckets: Sequence[Bucket],
    ) -> Redeemed:
        """Redeem a code, once. Raises InvalidAuthorizationCode."""
        reply = self._runner.run(
            "authorization_code_redeem",
            context,
            durable=True,
            code=digest,
            client=context.client_id,
            redirect_uri=redirect_uri,
            code_challenge=code_challenge,
            idle_ms=self._idle_ms,
            session_id=session.id,
            session_nonce=session.nonce,
            session_audience=session.audience,
            session_jkt=session.jkt,
            jkt=jkt,
            notify=notify,
            jti=jti,
            token_until=token_until_ms,
            delivery_ms=self._delivery_ms,
            limits=buckets,
        )
        if "session" in reply:
            return Redeemed(reply["nonce"], reply["scope"], session=records.session(reply["session"]))
        link = RedeemedLink(
            id=reply["link"],
            patient=reply["patient"],
            workflow=reply["workflow"],
            resource=reply["resource"],
            channel=reply["channel"],
            redeemed_ms=int(reply["authenticated"]),
            jti=reply["jti"],
        )
        return Redeemed(reply["nonce"], reply["scope"], link=link)

    def pending_link(self, context: RequestContext, name: PendingLinkName) -> FoundPendingLink | None:
        """What a pending link is for, to its own browser. Changes nothing."""
        reply = self._runner.run("pending_link_read", context, pending_id=name.id, pending_browser=name.browser)
        if "link" not in reply:
            return None
        return FoundPendingLink(
            link=reply["link"],
            patient=reply["patient"],
            workflow=reply["workflow"],
            resource=reply["resource"],
            client=reply["client"],
            locale=reply["locale"],
            address=reply.get("address", ""),
        )
