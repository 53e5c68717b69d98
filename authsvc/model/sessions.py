"""Sessions, and the tokens that come of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TokenGrant:
    """What a token response is made of (RFC 6749 §5.1 and our own members)."""

    access_token: str
    expires_in_s: int
    scope: str
    patient: str
    practice: str
    session: str | None = None
    refresh_token: str | None = None
    workflow: str | None = None
    resource: str | None = None
    authorization_details: tuple[Mapping[str, object], ...] | None = None
    id_token: str | None = None
    token_type: str = "Bearer"


@dataclass(frozen=True)
class Session:
    """A session's record. `client` is empty for a browser session at the hosted pages, `channel` carried the proof
    (`amr`), `opened_ms` is `auth_time`, `jkt` the thumbprint of a public client's DPoP key; the
    present `generation` of refresh tokens began at `generation_ms`. `guardian` is the patient who acts for `patient`,
    empty where nobody does."""

    id: str
    patient: str
    client: str
    audience: str
    channel: str
    opened_ms: int
    used_ms: int
    generation: int
    generation_ms: int
    expires_ms: int
    scope: str
    jkt: str = ""
    guardian: str = ""

    @property
    def person(self) -> str:
        """The patient whose mailbox was proven."""
        return self.guardian or self.patient


@dataclass(frozen=True)
class SessionInfo:
    """A session as a list shows it. `client` is empty for a sign-in at the hosted pages, `guardian` unless one acts."""

    id: str
    patient: str
    client: str
    created_at_ms: int
    last_used_at_ms: int
    expires_at_ms: int
    guardian: str = ""


@dataclass(frozen=True)
class BrowserSession:
    """A browser that is signed in at the hosted pages, as its patient may see it. `person` is whose mailbox was proven:
    the patient, or the guardian who acts for it. `hint` is that mailbox's masked address, `locale` the person's."""

    sid: str
    patient: str
    label: str
    locale: str
    hint: str
    auth_time_ms: int
    last_used_ms: int
    idle_ends_ms: int
    ends_ms: int
    guardian: str = ""

    @property
    def person(self) -> str:
        return self.guardian or self.patient


@dataclass(frozen=True)
class NewBrowserSession:
    """A sign-in that was just opened. `cookie` is the browser's secret."""

    cookie: str = field(repr=False)
    sid: str
    patient: str
