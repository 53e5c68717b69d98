"""Who is calling, and what the request is like."""

from __future__ import annotations

from authsvc.errors.base import AuthsvcError, Fault, OAuthError, WithReason


class Unauthenticated(WithReason):
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
    oauth = OAuthError(405, "invalid_request", "Use a method that the header Allow names")

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(", ".join(allowed))
        self.allowed = allowed


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
