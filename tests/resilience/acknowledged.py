"""The book: everything that the service acknowledged to its callers, kept apart from the service, in a file of its own.

An entry is written when a caller has seen a success, and never changed; what follows from it (a code was used, a
session was revoked) is an entry of its own. `audit.py` holds the service to it afterwards.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

PUT, CHALLENGE, VERIFIED, REFRESHED, REVOKED, LINK, EXCHANGED, MAIL = (
    "put",
    "challenge",
    "verified",
    "refreshed",
    "revoked",
    "link",
    "exchanged",
    "mail",
)


@dataclass(frozen=True)
class Entry:
    """`subject` is what later entries about the same thing share: a patient, a challenge, a link."""

    kind: str
    practice: str
    subject: str
    facts: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0


@dataclass
class Faults:
    """What was found to be otherwise than acknowledged."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Faults) -> None:
        self.lost += other.lost
        self.doubled += other.doubled
        self.wrong += other.wrong


class Book:
    """Appends to `file`; `entries` reads it back, so that what is checked is what was written."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._sink = file.open("a", encoding="utf-8")
        self.seen = Faults()  # what callers saw to be wrong while it happened

    def acknowledged(self, kind: str, practice: str, subject: str, **facts: Any) -> None:
        line = json.dumps(asdict(Entry(kind, practice, subject, facts, time.monotonic())))
        with self._lock:
            self._sink.write(line + "\n")
            self._sink.flush()

    def unknown(self, kind: str, practice: str, subject: str) -> None:
        """An act whose answer never came: it may have happened or not."""
        self.acknowledged(f"{kind}?", practice, subject)

    def lost(self, what: str) -> None:
        with self._lock:
            self.seen.lost.append(what)

    def wrong(self, what: str) -> None:
        with self._lock:
            self.seen.wrong.append(what)

    def entries(self) -> list[Entry]:
        return [Entry(**json.loads(line)) for line in self.file.read_text(encoding="utf-8").splitlines()]

    def close(self) -> None:
        self._sink.close()
