"""Frozen values handed between the rings. No behaviour beyond what a value knows of itself, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

PERMISSIONS = frozenset(
    {
        "codes:issue",
        "codes:reveal",
        "codes:verify",
        "links:issue",
        "links:exchange",
        "links:revoke",
        "patients:read",
        "patients:write",
        "sessions:revoke",
        "tokens:introspect",
    }
)
"""What a client may be allowed to do (the HTTP table of the reference)."""

EVERY_PRACTICE = "*"
"""In `Client.practices`: the client serves every practice, those that come later included."""


@dataclass(frozen=True)
class Practice:
    """A tenant.

    `link_url` is the practice's own template (https, ends in `/{token}`), empty for the hosted page. `time_zone` is an
    IANA name such as `America/Phoenix`, for the hours in mails; empty for UTC. What patients see of the practice:
    `colour` (`#rrggbb`), `logo` (the digest that names the stored picture, with its size in pixels), `support_email`,
    and `sender_name`, which mails come from; each may be empty.
    """

    id: str
    name: str
    phone: str = ""
    portal_url: str = ""
    link_url: str = ""
    locale: str = "en"
    time_zone: str = ""
    support_email: str = ""
    sender_name: str = ""
    colour: str = ""
    logo: str = ""
    logo_width: int = 0
    logo_height: int = 0
    created_ms: int = 0


@dataclass(frozen=True)
class ClientSecret:
    """SHA-256 (base64url) of one secret of a client; two may live during a rotation."""

    digest: str
    created_ms: int
    expires_ms: int


@dataclass(frozen=True)
class Client:
    """A practice service's credential.

    With `redirect_uris` it is also a relying party (OpenID Connect): patients sign in for it at the hosted pages, and
    it serves one practice. A `public` one has no secret; one with `jwks` (public keys, RFC 7517) signs its calls.
    `initiate_login_uri` is where a pressed link sends the browser (OpenID Connect Core §4), `backchannel_logout_uri`
    where it hears of a session's end.
    """

    id: str
    practices: tuple[str, ...]
    permissions: frozenset[str]
    audience: str
    secrets: tuple[ClientSecret, ...]
    created_ms: int
    redirect_uris: tuple[str, ...] = ()
    post_logout_uris: tuple[str, ...] = ()
    initiate_login_uri: str = ""
    backchannel_logout_uri: str = ""
    public: bool = False
    jwks: tuple[Mapping[str, str], ...] = ()

    def serves(self, practice_id: str) -> bool:
        return EVERY_PRACTICE in self.practices or practice_id in self.practices

    @property
    def authentication(self) -> str:
        """How it proves itself at the token endpoint, in the words of RFC 7591 §2: one way, by registration."""
        if self.public:
            return "none"
        return "private_key_jwt" if self.jwks else "client_secret_basic"


@dataclass(frozen=True)
class LimitState:
    """One limiter as the caller may see it: `quota` acts per `window_s`, `remaining` now, full again in `reset_s`."""

    policy: str
    quota: int
    window_s: int
    remaining: int
    reset_s: int


@dataclass
class RequestContext:
    """Who calls, in which practice, and how: the argument that every use case takes first.

    `id` is 128 random bits (base64url) that name the call. `actor` is what the audit says: `client:billing`,
    `cli:anna`. `client_ip` is the patient's address as the caller names it, never the calling service's own.
    `fingerprint` is a digest of the request's body, compared when an Idempotency-Key comes again. `limits` collects
    what the answer's RateLimit fields shall say, `scripts` counts the scripts that were run.
    """

    id: str
    actor: str
    practice: Practice
    client: Client | None = None
    client_ip: str | None = None
    request_id: str = ""
    reason: str = ""
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    limits: list[LimitState] = field(default_factory=list)
    scripts: int = 0

    @classmethod
    def of_client(cls, call_id: str, client: Client, practice: Practice, request_id: str) -> RequestContext:
        """A client's call at /oauth2, where the token or code that it brings names the practice."""
        return cls(call_id, f"client:{client.id}", practice, client, request_id=request_id)

    @property
    def audit_call(self) -> str:
        """What an audit entry names the call by: the request's id, or `-` and the id of an operator's call."""
        return self.request_id or f"-{self.id}"

    @property
    def client_id(self) -> str:
        """Empty at the hosted pages and on the command line."""
        return self.client.id if self.client else ""

    def next_script_id(self) -> str:
        """An id for one run of a script, kept while the run is repeated after a lost answer."""
        self.scripts += 1
        return f"{self.id[:16]}.{self.scripts}"


class Bucket(NamedTuple):
    """One bucket of a limit: `quota` calls in `window_s`; `shown` in the RateLimit fields of the answer."""

    policy: str
    id: str
    quota: int
    window_s: int
    shown: bool = True


@dataclass(frozen=True)
class Patient:
    """A person who may sign in. `email` is as the practice wrote it; look-ups use its canonical form."""

    id: str
    email: str
    label: str = ""
    locale: str = ""
    portal_access: bool = False


# --- what use cases answer ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Started:
    """A challenge was started or a code sent again. `code` is set for delivery `caller` only."""

    challenge: str
    expires_in_s: int
    resend_in_s: int
    code: str | None = None
    email_hint: str | None = None


@dataclass(frozen=True)
class Choice:
    """The mailbox is proven and several patients share it."""

    challenge: str
    patients: tuple[tuple[str, str], ...]  # (patient id, label)


@dataclass(frozen=True)
class Choices:
    """The patients of a proven mailbox, as the store has them: (patient id, sealed label)."""

    patients: tuple[tuple[str, str], ...]


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


@dataclass(frozen=True)
class IssuedLink:
    """A new link; `url` ends in the token and is shown this once."""

    id: str
    url: str
    expires_at_ms: int
    max_uses: int | None


@dataclass(frozen=True)
class LinkInfo:
    """A link as a list shows it; never the token.

    `state`: `live`, `expired`, `used_up`, `revoked` or `address_changed`.
    """

    id: str
    patient: str
    workflow: str
    resource: str | None
    created_at_ms: int
    expires_at_ms: int
    uses: int
    max_uses: int | None
    state: str


@dataclass(frozen=True)
class LinkView:
    """What the page of a link needs to know: the holder of its token sees this, and nothing is spent.

    `client` is the id of the client that issued it, `locale` the patient's own; each may be empty. `email_hint` is the
    masked address that an access link's code would go to.
    """

    workflow: str
    access: bool
    locale: str = ""
    client: str = ""
    email_hint: str = ""


@dataclass(frozen=True)
class Session:
    """A session's record. `client` is empty for a browser session at the hosted pages, `channel` carried the proof
    (`amr`), `opened_ms` is `auth_time`; the present `generation` of refresh tokens began at `generation_ms`."""

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


@dataclass(frozen=True)
class SessionInfo:
    """A session as a list shows it. `client` is empty for a sign-in at the hosted pages."""

    id: str
    patient: str
    client: str
    created_at_ms: int
    last_used_at_ms: int
    expires_at_ms: int


# --- the hosted pages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AuthorizationRequest:
    """A checked authorization request (RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core §3.1.2.1).

    `scopes` are those we know of what was asked, `challenge` is PKCE's (S256), `acr` is `instant`, `extra` or empty,
    `expected_patient` the patient whom an id_token_hint of ours names. `query` is the request as a query string again,
    for the pages that carry it along.
    """

    client: Client
    practice: Practice
    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str
    state: str = ""
    nonce: str = ""
    prompt: frozenset[str] = frozenset()
    max_age_s: int | None = None
    acr: str = ""
    login_hint: str = ""
    ui_locales: str = ""
    expected_patient: str = ""
    query: str = ""


@dataclass(frozen=True)
class BrowserSession:
    """A browser that is signed in at the hosted pages, as its patient may see it. `hint` is the masked address."""

    sid: str
    patient: str
    label: str
    locale: str
    hint: str
    auth_time_ms: int
    last_used_ms: int
    idle_ends_ms: int
    ends_ms: int


@dataclass(frozen=True)
class NewBrowserSession:
    """A sign-in that was just opened. `cookie` is the browser's secret."""

    cookie: str = field(repr=False)
    sid: str
    patient: str


@dataclass(frozen=True)
class IdTokenHint:
    """Whom an ID token of ours names (`id_token_hint`), the client that it was given to, and that client's session; a
    link opens none."""

    client: str
    practice: str
    patient: str
    sid: str = ""


@dataclass(frozen=True)
class PendingLink:
    """A pressed instant link that waits for its client. `hint` travels as `login_hint`, and works only with the
    browser that pressed. `email_hint` is the masked address, where a code could be sent to."""

    hint: str
    patient: str
    workflow: str
    resource: str
    target: str
    email_hint: str = ""
    locale: str = ""


@dataclass(frozen=True)
class DeliveryInfo:
    """What happened to one message. `state`: `queued`, `sent`, `deferred`, `refused` or `too_late`."""

    id: str
    kind: str
    channel: str
    state: str
    queued_at_ms: int
    updated_at_ms: int
    attempts: int
    detail: str


@dataclass(frozen=True)
class Message:
    """One opened outbox entry, ready to be composed and sent. Lives in the worker's memory only.

    `kind`: `code` (code set), `access-link` (url set: opens the sign-in), `link` (url and workflow set: one simple
    thing), `address-changed` (notice to the old and the new address), `new-link` (a dead link's successor, as `link`).
    `expires_at_ms` is when code or link end, `until_ms` after which the message must not be sent any more. A `logout`
    goes to a client: `token` is what it is told, `url` where.
    """

    id: str
    practice: Practice
    kind: str
    channel: str
    to: str
    locale: str
    queued_at_ms: int
    until_ms: int
    expires_at_ms: int
    code: str = field(default="", repr=False)
    url: str = field(default="", repr=False)
    workflow: str = ""
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class PublicKey:
    """One signing key as the world may see it. `state`: `next`, `current`, `retiring`."""

    kid: str
    alg: str
    state: str
    created_ms: int
    jwk: Mapping[str, str]
    pem: str
    signs_from_ms: int | None = None
    gone_at_ms: int | None = None
