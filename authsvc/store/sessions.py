"""Sessions: of clients, and of browsers at the hosted pages; and what an access token rests on."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from authsvc.config.limits import Limits
from authsvc.config.settings import Settings
from authsvc.model import Bucket, Choices, RequestContext, Session
from authsvc.store import records
from authsvc.store.connection import Connection, practice_prefix
from authsvc.store.script_args import choices_of, session_args
from authsvc.store.scripts import ScriptRunner
from authsvc.store.values import NO_COOKIE, BrowserCookie, NewSession


@dataclass(frozen=True)
class FoundBrowserSession:
    """A browser's session and what its page shows: the patient's `label`, and of the person who signed in `address`
    and `locale`. Label and address are sealed."""

    session: Session
    label: str
    address: str
    locale: str


@dataclass(frozen=True)
class TokenState:
    """Whether what a token rests on is active; of a session also its generation, nonce and client."""

    active: bool
    generation: int = 0
    nonce: str = ""
    client: str = ""


SCANNED = 1000  # keys that one step of a scan looks at: about a millisecond of the store's time

REVOCATIONS_AT_ONCE = 1000  # read by one script

REVOKED = {"s": "sessions", "l": "links", "t": "tokens"}
"""What the scripts call the kinds of revocations, and what the feed calls them."""


@dataclass(frozen=True)
class Revocation:
    """What was revoked: `kind` is sessions, links or tokens, `id` a sid, a link's id or a `jti`."""

    kind: str
    id: str
    at_ms: int


class SessionStore:
    """Every method may raise RateLimited and Unavailable."""

    def __init__(self, runner: ScriptRunner, connection: Connection, settings: Settings, limits: Limits) -> None:
        self._runner = runner
        self._connection = connection
        self._idle_ms = settings.session_idle_s * 1000
        self._absolute_ms = settings.session_absolute_s * 1000
        self._delivery_ms = settings.delivery_record_life_s * 1000
        self._grace_ms = limits.refresh_grace_s * 1000

    def refresh(
        self,
        context: RequestContext,
        sid: str,
        generation: int,
        nonce: str,
        scope: Sequence[str],
        buckets: Sequence[Bucket],
        jkt: str = "",
    ) -> Session:
        """The session with its next generation; `nonce` is a digest, `jkt` the DPoP key that was proved.

        Raises InvalidRefreshToken, InvalidScope.
        """
        reply = self._runner.run(
            "session_refresh",
            context,
            durable=True,
            session_id=sid,
            client=context.client_id,
            generation=generation,
            nonce=nonce,
            jkt=jkt,
            idle_ms=self._idle_ms,
            grace_ms=self._grace_ms,
            delivery_ms=self._delivery_ms,
            limits=buckets,
            scope=scope,
        )
        return records.session(reply["session"])

    def scope_text(self, practice_id: str, scope: str) -> str:
        """The scope string of a session: itself, or what `@<id>` stands for."""
        if not scope.startswith("@"):
            return scope
        key = f"{practice_prefix(practice_id)}scopes:{scope[1:]}"
        return self._connection.call(lambda client: client.get(key)) or ""

    def end(
        self,
        context: RequestContext,
        buckets: Sequence[Bucket],
        *,
        sid: str = "",
        patient: str = "",
        client: str = "",
        keep: str = "",
        reason: str = "signed_out",
    ) -> int:
        """End a session, or all of a patient but `keep`; how many those were. Raises PatientNotFound."""
        replies = self._runner.run_in_parts(
            "session_end",
            context,
            durable=True,
            session_id=sid,
            patient=patient,
            client=client,
            keep=keep,
            reason=reason,
            delivery_ms=self._delivery_ms,
            limits=buckets,
        )
        return sum(int(reply["ended"]) for reply in replies)

    def choices(self, context: RequestContext, cookie: BrowserCookie) -> Choices:
        """Whom the person at a browser may switch to: nobody once the sign-in is older than its idle time."""
        return choices_of(
            self._runner.run(
                "session_choices", context, session_id=cookie.sid, secret=cookie.secret, idle_ms=self._idle_ms
            )
        )

    def switch(
        self,
        context: RequestContext,
        patient: str,
        session: NewSession,
        buckets: Sequence[Bucket],
        *,
        sid: str,
        owner: str = "",
        secret: str = "",
    ) -> Session:
        """A session for `patient` in place of `sid`: a client's, of its patient `owner`, or a browser's with this
        `secret`. Raises NotFound, CodeNeeded, InvalidInput."""
        reply = self._runner.run(
            "session_switch",
            context,
            durable=True,
            old_sid=sid,
            owner=owner,
            client=context.client_id,
            secret=secret,
            patient=patient,
            idle_ms=self._idle_ms,
            absolute_ms=self._absolute_ms,
            delivery_ms=self._delivery_ms,
            limits=buckets,
            acting_scopes=session.acting_scopes,
            **session_args(session, NO_COOKIE),
        )
        return records.session(reply["session"])

    def owners(self, practice: str = "*") -> Iterator[tuple[str, str, str]]:
        """Every session of a practice, or of all (`*`): practice, sid and client. Reads the names of all keys, so it is
        for operators alone."""
        pattern = f"{practice_prefix(practice)}session:*"
        for key in self._connection.call(
            lambda client: list(client.scan_iter(match=pattern, count=SCANNED)), list_read=True
        ):
            if record := self._record(key):
                yield key[key.index("{") + 1 : key.index("}")], key.rpartition(":")[2], record.split("\n")[1]

    def _record(self, key: str) -> str:
        return self._connection.call(lambda client: client.get(key), key) or ""

    def list(self, context: RequestContext, patient: str, buckets: Sequence[Bucket]) -> list[Session]:
        """The live sessions of a patient. Raises PatientNotFound."""
        reply = self._runner.run("session_list", context, patient=patient, idle_ms=self._idle_ms, limits=buckets)
        return [records.session(text) for text in reply.get("sessions", ())]

    def of_browser(self, context: RequestContext, cookie: BrowserCookie) -> FoundBrowserSession | None:
        """The browser's session, if the cookie names one that is alive. Changes nothing."""
        reply = self._runner.run(
            "browser_session_read", context, session_id=cookie.sid, secret=cookie.secret, idle_ms=self._idle_ms
        )
        if "session" not in reply:
            self._runner.check_keys()
            return None
        session = records.session(reply["session"])
        return FoundBrowserSession(session, reply["label"], reply["address"], reply["locale"])

    def extend(self, context: RequestContext, cookie: BrowserCookie, buckets: Sequence[Bucket]) -> bool:
        """Begin the idle time of a browser's session anew; False when it was too late."""
        reply = self._runner.run(
            "browser_session_extend",
            context,
            session_id=cookie.sid,
            secret=cookie.secret,
            idle_ms=self._idle_ms,
            limits=buckets,
        )
        return "extended" in reply

    def token_state(
        self, context: RequestContext, jti: str, buckets: Sequence[Bucket], *, sid: str = "", link: str = ""
    ) -> TokenState:
        """Whether a token's session or link is active, and the token itself isn't revoked."""
        if not sid:
            reply = self._runner.run("link_state", context, jti=jti, link_id=link, limits=buckets)
        elif buckets:
            known: dict[str, Any] = {"jti": jti, "session_id": sid, "idle_ms": self._idle_ms}
            reply = self._runner.run("session_introspect", context, **known, limits=buckets)
        else:
            reply = self._runner.run("session_state", context, jti=jti, session_id=sid, idle_ms=self._idle_ms)
        if "active" not in reply:
            self._runner.check_keys()
        generation = int(reply.get("generation", 0))
        return TokenState("active" in reply, generation, reply.get("nonce", ""), reply.get("client", ""))

    def revoke_token(self, context: RequestContext, jti: str, expires_ms: int, buckets: Sequence[Bucket]) -> None:
        """Make one access token inactive."""
        self._runner.run("token_revoke", context, durable=True, jti=jti, expires=expires_ms, limits=buckets)

    def revocations(self, context: RequestContext, most: int) -> builtins.list[Revocation]:
        """The newest revocations, oldest of them first."""
        found: builtins.list[Revocation] = []
        before = "+inf"
        while len(found) < most:
            flat = self._runner.run("revocations", context, before=before, most=REVOCATIONS_AT_ONCE)["found"]
            for at in range(0, len(flat), 2):
                kind, _, ident = flat[at].partition(":")
                found.append(Revocation(REVOKED[kind], ident, int(flat[at + 1])))
            if len(flat) < 2 * REVOCATIONS_AT_ONCE:
                break
            before = f"({flat[-1]}"
        return found[:most][::-1]
