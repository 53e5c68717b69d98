"""What a fault is, and what came of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.resilience.acknowledged import Book
from tests.resilience.deployment import Deployment
from tests.resilience.processes import Skipped


@dataclass
class Run:
    """One fault under way: what it acts on, and what it finds."""

    deployment: Deployment
    book: Book
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked_until: float | None = None  # only what was acknowledged before counts (an old snapshot was restored)
    spared_from: float = 0.0  # when the fault really began, where something had to be restarted for it
    in_flight_counts: bool = True  # False: journeys under way saw a past come back, which is the operator's doing

    def expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.failures.append(otherwise)

    def need(self, there: object, what: str) -> None:
        if not there:
            raise Skipped(what)


Doing = Callable[[Run], Iterator[float]]
"""Makes the fault, yields for how many seconds it lasts, and mends it. A second yield is not allowed."""


@dataclass(frozen=True)
class Fault:
    name: str
    how: str
    act: Doing
    area: str
    kind: str = "single"  # of deployment
    settings: dict[str, str] = field(default_factory=dict)
    own: bool = False  # a deployment of its own, thrown away afterwards
    copies: int = 1  # of one mail that are allowed: more only where nobody can know whether the host took it
    spared: tuple[str, ...] = ()  # practices that must be served all the while
    check_mail: bool = True
    probing: bool = True
    prepared: Callable[[Deployment], None] | None = None  # in the place of `start`
    timeout_s: int = 120
    keys_always: bool = True  # False: the key ring can't be known yet, so its document is 503 (a start without Redis)
    server_errors: bool = True  # whether a 500 counts; False only where the stored record itself was broken by hand


FAULTS: dict[str, Fault] = {}


def fault(name: str, how: str, **options: Any) -> Callable[[Doing], Doing]:
    """Registers what it decorates. The area is the name of the module."""

    def register(act: Doing) -> Doing:
        assert name not in FAULTS, name
        FAULTS[name] = Fault(name, how, act, act.__module__.rpartition(".")[2], **options)
        return act

    return register


@dataclass
class Row:
    """One line of the table."""

    name: str
    how: str
    saw: str = ""
    lost: int = 0
    doubled: int = 0
    well_s: float | None = None
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""
    took_s: float = 0.0

    @property
    def verdict(self) -> str:
        if self.skipped:
            return "SKIPPED"
        return "FAIL" if self.failures else "ok"
