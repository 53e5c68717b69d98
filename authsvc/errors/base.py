"""What every error has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


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


class WithReason(AuthsvcError):
    """An error that knows why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an input. `pointer` is a JSON pointer (RFC 6901) or a setting's name."""

    pointer: str
    detail: str
