"""What an operator reads when something fails: one sentence that says what happened, and the cure.

The table is from the errors of the house to a short code (for scripts), the exit code and the sentence. Exit 1: it
failed and nothing was done. Exit 2: the command line was wrong. Exit 3: refused, because it would break something.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import click

from authsvc import errors
from authsvc.text import rfc3339, rfc3339_not_before

FAILED, USAGE, UNSAFE = 1, 2, 3

_MASTER_SECRET = "The master secret that sealed them must be among AUTHSVC_SECRET_KEYS."
_KEYSET_CURES = {
    "no_ring_yet": "There are no signing keys yet; the first `authsvc serve` makes them.",
    "ring_missing": "The signing keys are gone from the store, and nothing makes new ones by itself. Restore the store"
    " from a copy, or let `authsvc keys rotate --force` make a new keyset: tokens signed so far are then refused.",
}

_LISTED = frozenset({"practice", "client", "key"})


@dataclass(frozen=True)
class Failure:
    """One failure, for people (`sentence`) and for scripts (`code`, `more`)."""

    exit_code: int
    code: str
    sentence: str
    more: dict[str, object] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        return {"error": {"code": self.code, "detail": self.sentence, **self.more}}


def instant(ms: int | None) -> str | None:
    """Milliseconds since the epoch as RFC 3339, as the API shows it."""
    return None if ms is None else rfc3339(ms)


def safe_from(ms: int | None) -> str | None:
    """The same for an instant from which on a step is safe."""
    return None if ms is None else rfc3339_not_before(ms)


def explain(error: Exception) -> Failure:
    """The failure that `error` is to an operator. Anything unforeseen is an internal error, named by its class only."""
    match error:
        case click.UsageError():
            return Failure(USAGE, "usage", error.format_message())
        case click.ClickException():
            return Failure(FAILED, "failed", error.format_message())
        case click.Abort() if isinstance(error.__cause__, KeyboardInterrupt):
            return Failure(FAILED, "interrupted", "Interrupted.")
        case click.Abort():
            return Failure(FAILED, "not-confirmed", "Not confirmed: nothing was done.")
        case errors.SettingsInvalid():
            return _settings(error)
        case errors.UnsafeStep():
            return _unsafe(error)
        case errors.InvalidInput():
            faults = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
            said = "; ".join(f"{fault.pointer.lstrip('/') or 'input'}: {fault.detail}" for fault in error.faults)
            return Failure(FAILED, "invalid", f"Not accepted: {said}.", {"errors": faults})
        case errors.Unavailable():
            return Failure(
                FAILED,
                "unavailable",
                f"The store doesn't answer ({error.reason}): nothing was decided."
                " Look whether Redis is up and AUTHSVC_REDIS_URL names it, then try again.",
                {"reason": error.reason},
            )
        case errors.KeysetUnusable():
            cure = _KEYSET_CURES.get(
                error.reason, f"The signing keys can't be opened ({error.reason}). {_MASTER_SECRET}"
            )
            return Failure(FAILED, "key-ring-unusable", cure, {"reason": error.reason})
        case errors.AlreadyExists():
            return Failure(FAILED, "exists", f"{_name(error)} exists already; choose another id, or change that one.")
        case errors.UnknownName():
            listed = f"; `authsvc {error.kind}s list` shows those there are" if error.kind in _LISTED else ""
            more: dict[str, object] = {"kind": error.kind, "name": error.name}
            return Failure(FAILED, "unknown", f"There is no {error.kind} {error.name!r}{listed}.", more)
    return _by_class(error)


_SENTENCES: dict[type[Exception], tuple[str, str]] = {
    errors.NotFound: ("unknown", "There is no such thing in this practice; the list commands show what there is."),
    errors.PatientNotFound: ("unknown", "The practice has no such patient on file; `authsvc patients grant` adds one."),
    errors.NoPortalAccess: ("no-portal-access", "The patient may not sign in; `authsvc patients grant` changes that."),
    errors.DeliveryDeferred: ("deferred", "The mail host didn't take it now"),
    errors.DeliveryRefused: ("refused", "The mail host refused it"),
    PermissionError: ("not-permitted", "Not permitted"),
    OSError: ("system", "The system said no"),
}


def _by_class(error: Exception) -> Failure:
    for known, (code, sentence) in _SENTENCES.items():
        if isinstance(error, known):
            detail = getattr(error, "detail", None) or (error.strerror if isinstance(error, OSError) else None)
            about = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
            return Failure(FAILED, code, f"{sentence}: {detail}{about}." if detail else sentence)
    return Failure(
        FAILED,
        "internal",
        f"Internal error: {type(error).__name__}. AUTHSVC_LOG_LEVEL=debug shows where; please report it.",
    )


def _settings(error: errors.SettingsInvalid) -> Failure:
    faults = [{"setting": fault.pointer, "detail": fault.detail} for fault in error.faults]
    lines = "\n".join(f"  {fault.pointer}: {fault.detail}" for fault in error.faults)
    several = f"{len(faults)} settings have" if len(faults) > 1 else "One setting has"
    return Failure(FAILED, "settings", f"{several} to be mended:\n{lines}", {"faults": faults})


def _unsafe(error: errors.UnsafeStep) -> Failure:
    safe_at = safe_from(error.safe_at_ms)
    when = f"It is safe from {safe_at} on" if safe_at else "Waiting doesn't make it safe"
    sentence = f"Refused as unsafe: {error.breaks}. {when}; --force does it now, at that price."
    return Failure(UNSAFE, "unsafe", sentence, {"breaks": error.breaks, "safe_at": safe_at})


def _name(error: errors.AlreadyExists) -> str:
    return " ".join(str(part) for part in error.args) or "It"
