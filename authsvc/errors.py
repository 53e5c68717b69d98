"""What can go wrong, in domain words.

Errors carry data, never prose for people and never an HTTP status: `web/problems.py` holds the one table from these
classes to answers, and a test keeps table and classes equal. `reason` is the exact inside word (for audit and
metrics); what a caller is told is coarser, so that no oracle leaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from authsvc.model import LimitState


class AuthsvcError(Exception):
    """The root of every error that this package raises on purpose."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an input. `pointer` is a JSON pointer (RFC 6901) or a setting's name."""

    pointer: str
    detail: str


# --- who is calling -----------------------------------------------------------------------------------------------


class Unauthenticated(AuthsvcError):
    """No client credentials, or wrong, expired or unknown ones."""

    def __init__(self, reason: str = "missing") -> None:
        super().__init__(reason)
        self.reason = reason


class NotFound(AuthsvcError):
    """No such thing here: an unknown path or practice, or a practice that this client doesn't serve."""


class Forbidden(AuthsvcError):
    """The client is known but lacks the permission."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission


class MethodNotAllowed(AuthsvcError):
    """The path is known, the method isn't."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(", ".join(allowed))
        self.allowed = allowed


# --- what was asked -----------------------------------------------------------------------------------------------


class TooLarge(AuthsvcError):
    """The body is over the limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes


class UnsupportedMediaType(AuthsvcError):
    """The body isn't of the media type that the call takes."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class InvalidInput(AuthsvcError):
    """The request can't be understood; every fault at once."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults))
        self.faults = faults


class IdempotencyConflict(AuthsvcError):
    """The same Idempotency-Key came with another body."""


# --- patients -----------------------------------------------------------------------------------------------------


class PatientNotFound(AuthsvcError):
    """The practice has no such patient on file."""


class NoPortalAccess(AuthsvcError):
    """The patient is on file but may not sign in."""


# --- codes and challenges -----------------------------------------------------------------------------------------


class InvalidCode(AuthsvcError):
    """The code doesn't open the challenge. `reason`: `wrong`, `expired`, `dummy`, `link_mode` or `no_access`."""

    def __init__(self, attempts_left: int, reason: str = "wrong") -> None:
        super().__init__(reason)
        self.attempts_left = attempts_left
        self.reason = reason


class ChallengeGone(AuthsvcError):
    """The challenge can't be used.

    `reason`: `unknown`, `expired`, `spent`, `exhausted`, `other_client`, `superseded`, or `unproven` for a choice
    before the code.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# --- links --------------------------------------------------------------------------------------------------------


class LinkUnknown(AuthsvcError):
    """No link of this practice has this token."""


class LinkGone(AuthsvcError):
    """The link is dead. `reason`: `expired`, `used_up`, `revoked` or `address_changed`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# --- tokens and sessions ------------------------------------------------------------------------------------------


class InvalidGrant(AuthsvcError):
    """A refresh token or authorization code that opens nothing.

    `reason`: `malformed`, `unknown`, `expired`, `reused`, `other_client`; of a code also `pkce`, `redirect`, `ended`
    (the sign-in is over) and `revoked` (the link is).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnauthorizedClient(AuthsvcError):
    """A client asks for a grant that it isn't registered for."""


class InvalidScope(AuthsvcError):
    """A refresh asked for more than was granted (RFC 6749 §6)."""


class TokenInvalid(AuthsvcError):
    """A bearer token that proves nothing: malformed, forged, expired or revoked."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TokenMissing(AuthsvcError):
    """No bearer token was sent where one is needed."""


class TokenInsufficient(AuthsvcError):
    """A good token that doesn't reach.

    `missing`: `scope`, `acr`, `resource` or `practice`; `wanted` is what was asked.
    """

    def __init__(self, missing: str, wanted: str = "") -> None:
        super().__init__(f"{missing} {wanted}".strip())
        self.missing = missing
        self.wanted = wanted


class SignInNeeded(AuthsvcError):
    """The browser's sign-in doesn't do for what a client asked. `reason`: `none`, `other_patient` or `max_age`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# --- limits and availability --------------------------------------------------------------------------------------


class RateLimited(AuthsvcError):
    """A limiter refused. `limits` are the states to show, `violated` the names of the policies that refused."""

    def __init__(self, retry_after_s: int, violated: tuple[str, ...], limits: tuple[LimitState, ...] = ()) -> None:
        super().__init__(", ".join(violated))
        self.retry_after_s = retry_after_s
        self.violated = violated
        self.limits = limits


class Unavailable(AuthsvcError):
    """The store is away, too slow, or the hashing queue is full: nothing was decided. `reason` is for logs."""

    def __init__(self, reason: str, retry_after_s: int = 2) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


# --- delivery -----------------------------------------------------------------------------------------------------


class DeliveryDeferred(AuthsvcError):
    """The next hop didn't take the message now; a later try may work. `detail` holds no address and no secret."""

    def __init__(self, detail: str, retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_s = retry_after_s


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

    def __init__(self, breaks: str, safe_at_ms: int | None) -> None:
        super().__init__(breaks)
        self.breaks = breaks
        self.safe_at_ms = safe_at_ms


class KeysetUnusable(AuthsvcError):
    """The stored keyset can't be opened with the configured master secrets, or fails its self-test."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
