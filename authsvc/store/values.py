"""What use cases hand to the stores: prepared values, so that one script does the rest."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AccessLink:
    """The link that a mail carries instead of a code, where a mailbox has had too many wrong codes."""

    id: str
    digest: str
    workflow: str
    expires_ms: int
    max_uses: int


@dataclass(frozen=True)
class NewCode:
    """A code of a challenge, and the link that may be sent in its place. `tag` is the code's hash; `mail_body` is
    sealed and holds both."""

    challenge_id: str
    tag: str
    until_ms: int
    access_link: AccessLink
    mail_id: str
    mail_body: str = field(repr=False)


@dataclass(frozen=True)
class NewChallenge:
    """A challenge with its first code. `networks` are keyed hashes, `salt` is base64url."""

    code: NewCode
    channel: str
    locale: str
    networks: tuple[str, ...]
    pepper: str
    profile: str
    salt: str
    until_ms: int


@dataclass(frozen=True)
class NewLink:
    """A link to be kept. `digest` is the token's, `kind` is `instant` or `access`."""

    id: str
    digest: str
    patient: str
    workflow: str
    kind: str
    resource: str
    expires_ms: int
    max_uses: int | None
    channel: str


@dataclass(frozen=True)
class LinkName:
    """How the link of a token is found: its public id, the token's digest, and the kind that the prefix claims."""

    id: str
    digest: str
    kind: str


@dataclass(frozen=True)
class Mail:
    """A mail to be queued with the change; `body` is sealed."""

    id: str
    kind: str
    body: str = field(repr=False)


@dataclass(frozen=True)
class NewSession:
    """A session that is ready to be opened. `nonce` is a digest; `scope_text` is what a scope `@<id>` stands for,
    `jkt` the key that its refresh tokens are bound to; `acting_scopes` are (extra workflow, its scopes), for a guardian
    who may act with some of them only."""

    id: str
    nonce: str
    audience: str
    scope: str
    scope_text: str
    expires_ms: int
    jkt: str = ""
    acting_scopes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class BrowserCookie:
    """The session that a browser's cookie names: its sid and the digest of the cookie's secret."""

    sid: str
    secret: str


NO_COOKIE = BrowserCookie("", "")


@dataclass(frozen=True)
class PendingLinkName:
    """How a pending link is found: by the digests of its hint and of the browser's id."""

    id: str = ""
    browser: str = ""


@dataclass(frozen=True)
class StoredAnswer:
    """What is kept for an Idempotency-Key: its id, a MAC of the request's body, the sealed answer."""

    id: str = ""
    body: str = ""
    answer: str = field(default="", repr=False)
    life_ms: int = 0


NO_ANSWER = StoredAnswer()


@dataclass(frozen=True)
class Charged:
    """An attempt was reserved: what hashing the typed code needs, and what settling must know."""

    salt: str
    profile: str
    pepper: str
    attempts_left: int
    link_mode: bool
    hour: str
