"""What is searched in an audit stream, and what is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AuditFilter:
    """Which entries are wanted; empty or 0 stands for any. Instants in ms; `until_ms` is not included. `after` is the
    `next` of the page before."""

    patient: str = ""
    event: str = ""
    actor: str = ""
    by: str = ""
    guardian: str = ""
    since_ms: int = 0
    until_ms: int = 0
    after: int = 0


@dataclass(frozen=True)
class AuditPage:
    """Readable entries, newest first. `next` is where the next page begins (None: there is none), `trimmed_to` the
    number up to which entries were exported and dropped."""

    entries: tuple[dict[str, Any], ...]
    next: int | None
    trimmed_to: int
