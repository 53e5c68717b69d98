"""What can go wrong, in domain words, and what each error means at the edges.

An error carries data and never prose for people. What it is to each kind of caller hangs on its class: HTTP status and
problem type (RFC 9457), answer at /oauth2 (RFC 6749 §5.2), the counter that counts it, the command line's exit code.
The tables of the edges are made of that. `reason` is the exact inside word, for audit and metrics; what a caller learns
is coarser, so that no oracle leaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from authsvc.model import LimitState


class OAuthError(NamedTuple):
    """An answer of RFC 6749 §5.2. `description` may name attributes of the error in braces."""

    status: int
    code: str
    description: str


class AuthsvcError(Exception):
    """The root of every error that this package raises on purpose.

    `slug` names the problem type, whose texts are in `web/templates/problems.toml`; a class that leaves it out never
    reaches a caller of the API. `metric` is a counter of `metrics.EVENTS`, `metric_values` every value that its label
    may have, `counted` those that this error counts. `exit_code`: 1 nothing was done, 2 wrong usage, 3 refused as
    unsafe.
    """

    status: int = 500
    slug: str = "internal"
    oauth = OAuthError(500, "server_error", "Please report the X-Request-Id")
    metric: str = ""
    metric_values: tuple[str, ...] = ()
    exit_code: int = 1

    @property
    def counted(self) -> tuple[str, ...]:
        """The only value that the label may have, else the error's own reason."""
        return self.metric_values if len(self.metric_values) == 1 else (getattr(self, "reason", ""),)


class _WithReason(AuthsvcError):
    """An error that knows why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an input. `pointer` is a JSON pointer (RFC 6901) or a setting's name."""

    pointer: str
    detail: str


# --- who is calling -----------------------------------------------------------------------------------------------


class Unauthenticated(_WithReason):
    """No client credentials, or wrong, expired or unknown ones."""

    status, slug = 401, "unauthenticated"
    oauth = OAuthError(401, "invalid_client", "Authenticate in the one way this client is registered for")
    metric, metric_values = "clients_refused", ("credentials",)

    def __init__(self, reason: str = "missing") -> None:
        super().__init__(reason)


class NotFound(AuthsvcError):
    """No such thing here: an unknown path or practice, or a practice that this client doesn't serve."""

    status, slug = 404, "not-found"
    oauth = OAuthError(404, "invalid_request", "There is no such endpoint")


class Forbidden(AuthsvcError):
    """The client is known but lacks the permission."""

    status, slug = 403, "forbidden"
    oauth = OAuthError(403, "unauthorized_client", "This client lacks the permission {permission}")
    metric, metric_values = "clients_refused", ("permission",)

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


class MethodNotAllowed(AuthsvcError):
    """The path is known, the method isn't."""

    status, slug = 405, "method-not-allowed"
    oauth = OAuthError(405, "invalid_request", "Use POST")

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(", ".join(allowed))
        self.allowed = allowed


# --- what was asked -----------------------------------------------------------------------------------------------


class TooLarge(AuthsvcError):
    """The body is over the limit."""

    status, slug = 413, "too-large"
    oauth = OAuthError(413, "invalid_request", "At most {limit_bytes} bytes")

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes


class UnsupportedMediaType(AuthsvcError):
    """The body isn't of the media type that the call takes."""

    status, slug = 415, "unsupported-media-type"

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class InvalidInput(AuthsvcError):
    """The request can't be understood; every fault at once."""

    status, slug = 400, "invalid-request"
    oauth = OAuthError(400, "invalid_request", "{first}")

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults
        self.first = faults[0].detail if faults else "The request is not valid"


class IdempotencyConflict(AuthsvcError):
    """The same Idempotency-Key came with another body."""

    status, slug = 409, "idempotency-conflict"


# --- patients -----------------------------------------------------------------------------------------------------


class PatientNotFound(AuthsvcError):
    """The practice has no such patient on file."""

    status, slug = 404, "patient-not-found"


class NoPortalAccess(AuthsvcError):
    """The patient is on file but may not sign in."""

    status, slug = 409, "no-portal-access"


# --- codes and challenges -----------------------------------------------------------------------------------------


class InvalidCode(_WithReason):
    """The code doesn't open the challenge. `reason`: one of `metric_values`."""

    status, slug = 400, "invalid-code"
    metric, metric_values = "codes_refused", ("wrong", "expired", "dummy", "link_mode", "no_access")

    def __init__(self, attempts_left: int, reason: str = "wrong") -> None:
        super().__init__(reason)
        self.attempts_left = attempts_left


class ChallengeGone(_WithReason):
    """The challenge can't be used. `reason`: one of `REASONS`; `unproven` is a choice before the code."""

    REASONS = ("unknown", "expired", "spent", "exhausted", "other_client", "superseded", "unproven")

    status, slug = 410, "challenge-gone"
    metric, metric_values = "codes_refused", tuple(f"gone_{reason}" for reason in REASONS)

    @property
    def counted(self) -> tuple[str, ...]:
        return (f"gone_{self.reason}",)


# --- links --------------------------------------------------------------------------------------------------------


class LinkUnknown(AuthsvcError):
    """No link of this practice has this token."""

    status, slug = 404, "link-unknown"
    metric, metric_values = "links_refused", ("unknown",)


class LinkGone(_WithReason):
    """The link is dead. `reason`: one of `metric_values`."""

    status, slug = 410, "link-gone"
    oauth = OAuthError(400, "invalid_grant", "The link is no longer good")
    metric, metric_values = "links_refused", ("expired", "used_up", "revoked", "address_changed")


# --- tokens and sessions ------------------------------------------------------------------------------------------


class InvalidGrant(_WithReason):
    """What a client brought to the token endpoint opens nothing. `reason`: one of `metric_values`."""

    oauth = OAuthError(400, "invalid_grant", "The token or code is not valid for this client")


class InvalidRefreshToken(InvalidGrant):
    """`reused`: an older one of the session came again."""

    metric, metric_values = "refreshes_refused", ("malformed", "unknown", "expired", "reused", "other_client")


class InvalidAuthorizationCode(InvalidGrant):
    """`pkce` and `redirect`: the verifier or the address isn't that of the request; `ended`: the sign-in is over;
    `revoked`: the link is."""

    metric = "authorization_codes_refused"
    metric_values = ("unknown", "other_client", "pkce", "redirect", "reused", "expired", "revoked", "ended")


class UnsupportedGrantType(AuthsvcError):
    """The token endpoint knows no such grant (RFC 6749 §5.2)."""

    oauth = OAuthError(400, "unsupported_grant_type", "Supported are authorization_code and refresh_token")


class UnauthorizedClient(AuthsvcError):
    """A client asks for a grant that it isn't registered for."""

    oauth = OAuthError(400, "unauthorized_client", "This client is not registered for that grant")


class InvalidScope(AuthsvcError):
    """A refresh asked for more than was granted (RFC 6749 §6)."""

    oauth = OAuthError(400, "invalid_scope", "More was asked for than was granted")
    metric, metric_values = "refreshes_refused", ("scope",)


class TokenInvalid(_WithReason):
    """A bearer token that proves nothing: malformed, forged, expired or revoked."""

    status, slug = 401, "invalid-token"
    oauth = OAuthError(401, "invalid_token", "The access token is not valid")
    metric, metric_values = "bearers_refused", ("invalid",)


class TokenMissing(AuthsvcError):
    """No bearer token was sent where one is needed."""

    status, slug = 401, "missing-token"
    oauth = OAuthError(401, "invalid_request", "Send an access token")
    metric, metric_values = "bearers_refused", ("missing_token",)


class TokenInsufficient(AuthsvcError):
    """A good token that doesn't reach. `missing`: one of `metric_values`; `wanted` is what was asked.

    A way of signing in that wasn't enough is a 401, since signing in again helps (RFC 9470 §3).
    """

    status, slug = 403, "insufficient-token"
    oauth = OAuthError(403, "insufficient_scope", "Needs the scope {wanted}")
    metric, metric_values = "bearers_refused", ("scope", "acr", "resource", "practice")

    def __init__(self, missing: str, wanted: str = "") -> None:
        super().__init__(f"{missing} {wanted}".strip())
        self.missing = missing
        self.wanted = wanted
        if missing == "acr":
            self.status = 401

    @property
    def counted(self) -> tuple[str, ...]:
        return (self.missing,)


class SignInNeeded(_WithReason):
    """The browser's sign-in doesn't do for what a client asked. `reason`: `none`, `other_patient` or `max_age`."""


class UnregisteredClient(AuthsvcError):
    """Client and redirect address don't belong together, so there is nobody to answer to but the browser.

    `problem` names what doesn't fit: a parameter, or `encoding`. The answer is a page.
    """

    status = 400

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class AuthorizationError(AuthsvcError):
    """What an authorization request comes to, sent to the client's redirect address (RFC 6749 §4.1.2.1)."""

    def __init__(self, redirect_uri: str, state: str, error: str, description: str) -> None:
        super().__init__(error)
        self.redirect_uri = redirect_uri
        self.state = state
        self.error = error
        self.description = description


# --- limits and availability --------------------------------------------------------------------------------------


class RateLimited(AuthsvcError):
    """A limiter refused. `limits` are the states to show, `violated` the names of the policies that refused."""

    status, slug = 429, "rate-limited"
    oauth = OAuthError(429, "temporarily_unavailable", "Wait {retry_after_s} seconds")
    metric = "limiter_refusals"

    def __init__(self, retry_after_s: int, violated: tuple[str, ...], limits: tuple[LimitState, ...] = ()) -> None:
        super().__init__(", ".join(violated))
        self.retry_after_s = retry_after_s
        self.violated = violated
        self.limits = limits

    @property
    def counted(self) -> tuple[str, ...]:
        return self.violated


class Unavailable(_WithReason):
    """The store is away, too slow, or the hashing queue is full: nothing was decided. `reason` is for logs."""

    status, slug = 503, "unavailable"
    oauth = OAuthError(503, "temporarily_unavailable", "Nothing was decided. Try again")
    metric = "store_failures"
    metric_values = (
        "store_away",
        "store_busy",
        "store_busy_script",
        "store_cluster",
        "store_disk",
        "store_dns",
        "store_full",
        "store_loading",
        "store_password",
        "store_permission",
        "store_readonly",
        "store_refused",
        "store_replicas",
        "store_tls",
        "data_keys_changed",
        "breaker_open",
        "not_replicated",
        "not_ready",
        "hash_queue_full",
        "keys_contended",
        "pepper_unknown",
    )

    def __init__(self, reason: str, retry_after_s: int = 2) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


# --- delivery -----------------------------------------------------------------------------------------------------


class DeliveryDeferred(AuthsvcError):
    """The next hop didn't take the message now; a later try may work. `detail` holds no address and no secret.

    `cause` says whose trouble it is: `host` (it said later), `unreachable` (the way there: name, network, TLS), `login`
    (it doesn't take our credentials), `sender` (it doesn't let us send), `in_doubt` (its answer to a whole message was
    lost, so it may have it), `ours` (a fault of this service).
    """

    def __init__(self, detail: str, retry_after_s: int | None = None, *, cause: str = "host") -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.cause = cause


class DeliveryRefused(AuthsvcError):
    """The next hop will never take the message."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


# --- operators ----------------------------------------------------------------------------------------------------


class SettingsInvalid(AuthsvcError):
    """The settings can't be run with; every fault at once, by name, values redacted."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults


class AlreadyExists(AuthsvcError):
    """A practice or client with this id exists."""


class UnknownName(AuthsvcError):
    """An operator named a practice, client, patient, link or key that doesn't exist."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind} {name}")
        self.kind = kind
        self.name = name


class UnsafeStep(AuthsvcError):
    """A key step that would break verifiers. `breaks` says what, `safe_at_ms` when it no longer would (None: never)."""

    exit_code = 3

    def __init__(self, breaks: str, safe_at_ms: int | None) -> None:
        super().__init__(breaks)
        self.breaks = breaks
        self.safe_at_ms = safe_at_ms


class KeysetUnusable(_WithReason):
    """The stored keyset can't be opened with the configured master secrets, or fails its self-test.

    `retry_after_s`: how long another instance, or an operator, may need to bring the keys back.
    """

    status, slug, retry_after_s = 503, "unavailable", 5
    oauth = Unavailable.oauth
    metric, metric_values = "store_failures", ("key_ring",)


ALL: tuple[type[AuthsvcError], ...] = tuple(
    named
    for name, named in globals().items()
    if isinstance(named, type) and issubclass(named, AuthsvcError) and not name.startswith("_")
)
"""Every class of this file, for the tables."""
