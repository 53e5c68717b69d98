"""Limits, the store and the next hop of a message."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from authsvc.errors.base import AuthsvcError, OAuthError, WithReason

if TYPE_CHECKING:
    from authsvc.model import LimitState


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


class StorageFull(AuthsvcError):
    """The practice keeps as much as it may, so nothing new is put on file for it. Whatever a patient needs goes on."""

    status, slug = 409, "storage-full"
    metric, metric_values = "limiter_refusals", ("storage",)

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.limit_bytes = limit_bytes


class Unavailable(WithReason):
    """The store is away, too slow, or the hashing queue is full: the caller is told nothing. `reason` is for logs,
    `sentence` for operators, where more is known."""

    sentence = ""

    status, slug = 503, "unavailable"
    oauth = OAuthError(503, "temporarily_unavailable", "Make the same call again")
    metric = "store_failures"
    metric_values = (
        "store_away",
        "store_busy",
        "store_busy_script",
        "store_cluster",
        "store_disk",
        "store_dns",
        "store_evicts",
        "store_full",
        "store_loading",
        "store_password",
        "store_permission",
        "store_readonly",
        "store_refused",
        "store_replicas",
        "store_tls",
        "store_tls_authority",
        "store_tls_expired",
        "store_tls_host",
        "store_tls_not_spoken",
        "store_tls_wanted",
        "data_keys_changed",
        "descriptors_exhausted",
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


class NotReplicated(Unavailable):
    """The act is done on the primary, and too few replicas have it: a fail-over now may take it back."""

    oauth = OAuthError(503, "temporarily_unavailable", "Done, but perhaps not for good. Make the same call again")

    def __init__(self) -> None:
        super().__init__("not_replicated")


DESCRIPTORS_EXHAUSTED: Final = "descriptors_exhausted"
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})


def descriptors_exhausted(error: BaseException) -> bool:
    """Whether this came of a process (EMFILE) or machine (ENFILE) without a file descriptor left (open(2), socket(2)).

    Any file, template or connection that is opened may meet it, and it passes, so it is a 503 and no fault.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_DESCRIPTOR:
            return True
        cause = cause.__cause__  # not __context__: an error of ours may come while another is handled
    return False


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
