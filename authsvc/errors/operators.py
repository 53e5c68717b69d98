"""What an operator asked for and can't have."""

from __future__ import annotations

from authsvc.errors.availability import Unavailable
from authsvc.errors.base import AuthsvcError, Fault, WithReason


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


class KeysetUnusable(WithReason):
    """The stored keyset can't be opened with the configured master secrets, or fails its self-test.

    `retry_after_s`: how long another instance, or an operator, may need to bring the keys back.
    """

    status, slug, retry_after_s = 503, "unavailable", 5
    oauth = Unavailable.oauth
    metric, metric_values = "store_failures", ("key_ring",)


class StoreLost(KeysetUnusable):
    """Keys that the store once had are gone, so the command line writes nothing into it. `reason` is `ring_missing`,
    `data_keys_missing` or `store_emptied`."""

    exit_code = 3
