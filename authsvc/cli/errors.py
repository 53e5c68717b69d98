"""What an operator reads when something fails: one sentence with what happened, and the cure.

The table is from the errors to a short code (for scripts) and the sentence; the exit code hangs on the error's class
(1: it failed and nothing was done; 2: the command line was wrong; 3: refused, because it would break something).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import click

from authsvc import errors
from authsvc.text import rfc3339, rfc3339_not_before

FAILED = 1

_MASTER_SECRET = "The master secret that sealed them must be among AUTHSVC_SECRET_KEYS."
_KEYSET_CURES = {
    "no_ring_yet": "There are no signing keys yet; the first `authsvc serve` makes them.",
    "ring_missing": "The signing keys are gone from the store, and nothing makes new ones by itself. Restore the store"
    " from a copy, or let `authsvc keys rotate --force` make a new keyset: tokens signed so far are then refused.",
    "data_keys_missing": "The data keys are gone from the store, and nothing is written into it: what they sealed"
    " can't be opened without them. Restore the store from a copy.",
    "store_emptied": "The store was emptied while services ran on it, and nothing is written into it. Restore it from a"
    " copy; to begin anew, stop every `serve` and `worker` and empty it once more.",
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
    code, sentence, more = _words(error)
    exit_code: int = getattr(error, "exit_code", FAILED)  # click's errors have one as ours do
    return Failure(exit_code, code, sentence, more)


def _words(error: Exception) -> tuple[str, str, dict[str, object]]:
    match error:
        case click.UsageError():
            return "usage", error.format_message(), {}
        case click.ClickException():
            return "failed", error.format_message(), {}
        case click.Abort() if isinstance(error.__cause__, KeyboardInterrupt):
            return "interrupted", "Interrupted.", {}
        case click.Abort():
            return "not-confirmed", "Not confirmed: nothing was done.", {}
        case errors.SettingsInvalid():
            return _settings(error)
        case errors.UnsafeStep():
            safe_at = safe_from(error.safe_at_ms)
            when = f"It is safe from {safe_at} on" if safe_at else "Waiting doesn't make it safe"
            sentence = f"Refused as unsafe: {error.breaks}. {when}; --force does it now, at that price."
            return "unsafe", sentence, {"breaks": error.breaks, "safe_at": safe_at}
        case errors.InvalidInput():
            faults = [{"pointer": fault.pointer, "detail": fault.detail} for fault in error.faults]
            listed = "; ".join(f"{fault.pointer.lstrip('/') or 'input'}: {fault.detail}" for fault in error.faults)
            return "invalid", f"Not accepted: {listed}.", {"errors": faults}
        case errors.NotReplicated():
            sentence = (
                "It was done, but too few replicas of the store have it: a fail-over now may take it back."
                " Look at the replicas and AUTHSVC_REDIS_REPLICAS, then see whether it is there."
            )
            return "unavailable", sentence, {"reason": error.reason}
        case errors.Unavailable():
            return "unavailable", _away(error), {"reason": error.reason}
        case errors.KeysetUnusable():
            unopened = f"The signing keys can't be opened ({error.reason}). {_MASTER_SECRET}"
            return "key-ring-unusable", _KEYSET_CURES.get(error.reason, unopened), {"reason": error.reason}
        case errors.AlreadyExists():
            name = " ".join(str(part) for part in error.args) or "It"
            return "exists", f"{name} exists already; choose another id, or change that one.", {}
        case errors.UnknownName():
            hint = f"; `authsvc {error.kind}s list` shows those there are" if error.kind in _LISTED else ""
            return (
                "unknown",
                f"There is no {error.kind} {error.name!r}{hint}.",
                {"kind": error.kind, "name": error.name},
            )
    return *_by_class(error), {}


def _away(error: errors.Unavailable) -> str:
    if error.sentence:
        return f"The store can't be used, and nothing was decided: {error.sentence} ({error.reason})."
    return (
        f"The store doesn't answer ({error.reason}): nothing was decided."
        " Look whether Redis is up and AUTHSVC_REDIS_URL names it, then try again."
    )


_SENTENCES: dict[type[Exception], tuple[str, str]] = {
    errors.NotFound: ("unknown", "There is no such thing in this practice; the list commands show what there is."),
    errors.PatientNotFound: ("unknown", "The practice has no such patient on file; `authsvc patients grant` adds one."),
    errors.NoPortalAccess: ("no-portal-access", "The patient may not sign in; `authsvc patients grant` changes that."),
    errors.NoAddress: (
        "no-address",
        "The patient is on file without an email address; `authsvc patients grant` sets one.",
    ),
    errors.StorageFull: (
        "storage-full",
        "The practice keeps as much as it may: nothing new is put on file. `authsvc practices storage` shows how much.",
    ),
    errors.DependentChain: (
        "dependent-chain",
        "A guardian is no dependent, and a dependent has none; `authsvc patients dependents list` shows who acts.",
    ),
    errors.DeliveryDeferred: ("deferred", "The mail host didn't take it now"),
    errors.DeliveryRefused: ("refused", "The mail host refused it"),
    PermissionError: ("not-permitted", "Not permitted"),
    OSError: ("system", "The system said no"),
}


def _by_class(error: Exception) -> tuple[str, str]:
    for known, (code, sentence) in _SENTENCES.items():
        if isinstance(error, known):
            detail = getattr(error, "detail", None) or (error.strerror if isinstance(error, OSError) else None)
            about = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
            return code, f"{sentence}: {detail}{about}." if detail else sentence
    where = "AUTHSVC_LOG_LEVEL=debug shows where; please report it."
    return "internal", f"Internal error: {type(error).__name__}. {where}"


def _settings(error: errors.SettingsInvalid) -> tuple[str, str, dict[str, object]]:
    faults = [{"setting": fault.pointer, "detail": fault.detail} for fault in error.faults]
    lines = "\n".join(f"  {fault.pointer}: {fault.detail}" for fault in error.faults)
    several = f"{len(faults)} settings have" if len(faults) > 1 else "One setting has"
    return "settings", f"{several} to be mended:\n{lines}", {"faults": faults}
