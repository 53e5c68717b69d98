"""The tenants, and the clients that act for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PERMISSIONS = frozenset(
    {
        "audit:read",
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


AUTHENTICATION_METHODS = {
    "basic": "client_secret_basic",
    "post": "client_secret_post",
    "private_key_jwt": "private_key_jwt",
    "none": "none",
}
"""How a client may prove itself: what an operator types → the word of RFC 7591 §2."""


CLAIM_SCOPES = {"email": "email", "name": "profile"}
"""Claims that practice and client may both allow → the scope that asks for them (OpenID Connect Core §5.4)."""


@dataclass(frozen=True)
class WebhookSecret:
    """One secret that signs a practice's webhooks, sealed for the practice."""

    sealed: str
    created_ms: int


@dataclass(frozen=True)
class WebhookTarget:
    """Where a practice takes messages; `secrets` (`whsec_…`), newest first, two during a rotation."""

    url: str
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Practice:
    """A tenant.

    `link_url` is the practice's own template (https, ends in `/{token}`), empty for the hosted page. `time_zone` is an
    IANA name such as `America/Phoenix`, for the hours in mails; empty for UTC. What patients see of the practice:
    `colour` (`#rrggbb`), `logo` (the digest that names the stored picture, with its size in pixels), `support_email`,
    and `sender_name`, which mails come from; each may be empty. `delivery` is how the hosted pages reach patients:
    `email`, or `webhook`, which posts to `webhook_url` and signs with `webhook_secrets` (newest first).
    `claims`: what relying parties may be told of patients.
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
    delivery: str = "email"
    webhook_url: str = ""
    webhook_secrets: tuple[WebhookSecret, ...] = ()
    claims: tuple[str, ...] = ()

    @property
    def missing_for_webhook(self) -> str:
        """What must be set before messages can travel by webhook; empty when nothing is missing."""
        if not self.webhook_url:
            return "its URL is missing (practices set --webhook-url)"
        return "" if self.webhook_secrets else "its secret is missing (practices rotate-webhook-secret)"


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
    where it hears of a session's end. `pkce` is `required` or `optional`; `id_token_alg` is what its ID tokens are
    signed with, empty for what access tokens are; `secret_in_form` sends the secret as `client_secret_post`;
    `assertion_audience` is what its assertions may name: `issuer` alone, or `token-endpoint` too. `claims` is what it
    may be told of patients, where the practice allows it. With `require_pushed_authorization_requests` (RFC 9126 §6)
    it begins a sign-in by pushing its request; with `dpop_bound_access_tokens` (RFC 9449 §5.2) its tokens are bound to
    its key.
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
    pkce: str = "required"
    id_token_alg: str = ""
    secret_in_form: bool = False
    assertion_audience: str = "issuer"
    claims: tuple[str, ...] = ()
    require_pushed_authorization_requests: bool = False
    dpop_bound_access_tokens: bool = False

    def serves(self, practice_id: str) -> bool:
        return EVERY_PRACTICE in self.practices or practice_id in self.practices

    @property
    def authentication(self) -> str:
        """How it proves itself at the token endpoint, in the words of RFC 7591 §2: one way, by registration."""
        if self.public:
            return "none"
        if self.jwks:
            return "private_key_jwt"
        return "client_secret_post" if self.secret_in_form else "client_secret_basic"

    @property
    def has_secret(self) -> bool:
        return self.authentication in ("client_secret_basic", "client_secret_post")


def claim_scopes(practice: Practice, client: Client) -> dict[str, str]:
    """The scopes with which this client may ask for claims about patients of the practice → the claim."""
    allowed = {*practice.claims} & {*client.claims}
    return {scope: claim for claim, scope in CLAIM_SCOPES.items() if claim in allowed}
