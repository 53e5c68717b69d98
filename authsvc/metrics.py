"""Counters for every step of the way in: asked, mailed, opened, proved, refused and why.

One `Metrics` per process. Under gunicorn the workers share their figures through files in `PROMETHEUS_MULTIPROC_DIR`
(`serve` makes that directory), so that any worker's `/metrics` tells of all of them. prometheus_client looks for that
variable when it is first imported, so it is imported at the first use and not before: commands that count nothing
don't pay its 70 ms either.

No label ever holds an address, a patient, a practice or a client. Every label has a closed set of values; a value
outside it is counted as `other`, so that nobody outside can make the number of time series grow.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authsvc import audit, errors
from authsvc.config import limits

OTHER = "other"

_KINDS = ("code", "access-link", "link", "address-changed", "email-change", "new-link", "test")
_STATES = ("queued", "sent", "deferred", "refused", "too_late", "cancelled", "void")
_POLICIES = (*limits.POLICIES, "resend", "guesses", "storage")


@dataclass(frozen=True)
class Event:
    """What is counted, in words for `/metrics`, and the closed set of values of each label."""

    help: str
    labels: Mapping[str, frozenset[str]] = field(default_factory=dict)


def _event(description: str, **labels: tuple[str, ...]) -> Event:
    return Event(description, {name: frozenset(values) for name, values in labels.items()})


_REFUSALS = {
    "links_refused": "Links not exchanged, and why.",
    "codes_refused": "Codes not accepted: `wrong` and the like by the code, `gone_*` by its challenge.",
    "authorization_codes_refused": "Authorization codes not redeemed, and why.",
    "refreshes_refused": "Refresh tokens not accepted, and why.",
    "bearers_refused": "Bearer tokens that didn't pass at forward-auth: `invalid`, or what was missing.",
    "clients_refused": "Calls without good client credentials or permission.",
    "store_failures": "Acts answered 503, and why.",
}
"""Counted by reason; the reasons are those of the error classes."""


EVENTS: Mapping[str, Event] = {
    "events": _event("Acts, by the event that the trail records for them.", event=tuple(audit.Event)),
    "mails": _event(
        "Messages by what happened to them.",
        kind=_KINDS,
        state=_STATES,
    ),
    "mails_deferred": _event(
        "Failed tries to send a mail, by whose trouble it is. `login` and `sender` are worth an alarm: the mail host "
        "refuses us, and no mail leaves.",
        cause=("host", "unreachable", "login", "sender", "in_doubt", "ours"),
    ),
    "webhooks": _event(
        "Messages that a practice's own provider carries, by what happened to them.", kind=_KINDS, state=_STATES
    ),
    "webhooks_deferred": _event(
        "Failed tries to hand one over, by whose trouble it is.", cause=("host", "unreachable", "ours")
    ),
    "logouts": _event(
        "Clients told that a session has ended, by how it went.", state=("sent", "deferred", "refused", "too_late")
    ),
    "links_opened": _event("Link pages shown (nothing is spent by that).", state=("live", "gone", "unknown")),
    "forms_refused": _event("Forms of the pages that came from elsewhere, or after the browser had lost its cookie."),
    **{
        name: _event(help_text, reason=sum((error.metric_values for error in errors.ALL if error.metric == name), ()))
        for name, help_text in _REFUSALS.items()
    },
    "limiter_refusals": _event("Refusals by a limiter, by its policy.", policy=_POLICIES),
    "logs_lost": _event("Log lines that could not be written."),
    "requests_refused": _event(
        "Requests that never reached the application: not HTTP, too slow, more than can be answered in time; and"
        " connections that gave way to newer ones.",
        reason=("malformed", "too_slow", "overload", "too_many_connections"),
    ),
}
"""Every counter there is; `authsvc_<name>_total` on `/metrics`. What went well is in `events`: asked (`code.started`),
exchanged, verified, refreshed, ended. What was refused is counted by its reason in the others."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUEST_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""The store's deadline is 2 s, so nothing of use lies beyond 2.5."""

WAIT_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)
"""The queue before the threads is short: who would wait for longer is refused."""


class _Series:
    """The time series themselves; made at the first use, when prometheus_client may be imported."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        self.counters = {
            name: Counter(f"authsvc_{name}", event.help, tuple(event.labels), registry=self.registry)
            for name, event in EVENTS.items()
        }
        self.requests = Counter(
            "authsvc_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "authsvc_request_seconds",
            "Seconds from a request's arrival in the application to the end of its answer.",
            ("route",),
            registry=self.registry,
            buckets=REQUEST_BUCKETS_S,
        )
        self.clock_offset = Gauge(
            "authsvc_redis_clock_offset_seconds",
            "Seconds that Redis's clock is ahead of ours.",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.outbox_waiting = Gauge(
            "authsvc_outbox_waiting",
            "Messages of all practices that are not final, as this worker last saw them.",
            ("queue",),
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.thread_wait = Histogram(
            "authsvc_thread_wait_seconds",
            "Seconds that a whole request waited for a thread.",
            registry=self.registry,
            buckets=WAIT_BUCKETS_S,
        )
        self.store_seconds = Histogram(
            "authsvc_store_seconds",
            "Seconds that a script in Redis took, waiting for a connection and trying again included.",
            registry=self.registry,
            buckets=REQUEST_BUCKETS_S,
        )


class Metrics:
    """Counts. Cheap enough for every request (about 2 µs a call), safe from any thread and after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: _Series | None = None
        self._children: dict[tuple[str, ...], Any] = {}

    def count(self, event: str, **labels: str) -> None:
        """One more of `event`: a name of `EVENTS` with its labels, or an event of the trail (`code.verified`).

        Labels with anything else raise KeyError: a typing error, found by any test.
        """
        if event not in EVENTS and not labels:
            event, labels = "events", {"event": event}
        declared = EVENTS[event].labels
        values = tuple(_bounded(labels.get(name, ""), allowed) for name, allowed in declared.items())
        try:
            child = self._children.get((event, *values))
            if child is None:
                counter = self._series().counters[event]
                child = self._children[(event, *values)] = counter.labels(*values) if values else counter
            child.inc()
        except OSError:  # their folder is full or gone: a figure is not worth an act
            return

    def refused(self, error: errors.AuthsvcError) -> None:
        """Counts a refusal as its class says; errors that say nothing about the way in count nothing."""
        if error.metric:
            (label,) = EVENTS[error.metric].labels
            for value in error.counted:
                self.count(error.metric, **{label: value})

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """One answered request. `route` is the rule that matched (`/v1/practices/<practice>/codes`), never the path."""
        known = method if method in METHODS else OTHER
        key = ("request", route, known, str(status))
        try:
            children = self._children.get(key)
            if children is None:
                series = self._series()
                children = self._children[key] = (
                    series.requests.labels(route, known, str(status)),
                    series.seconds.labels(route),
                )
            children[0].inc()
            children[1].observe(seconds)
        except OSError:  # as above; an answer that is on its way would be lost for it
            return

    def thread_wait(self, seconds: float) -> None:
        """How long a request waited for a thread."""
        try:
            self._series().thread_wait.observe(seconds)
        except OSError:  # as above
            return

    def store_time(self, seconds: float) -> None:
        """How long a script in Redis took, as the caller sees it."""
        try:
            self._series().store_seconds.observe(seconds)
        except OSError:  # as above
            return

    def clock_offset(self, seconds: float) -> None:
        """How far Redis's clock is ahead of ours."""
        try:
            self._series().clock_offset.set(seconds)
        except OSError:  # as above
            return

    def outbox_waiting(self, queue: str, messages: int) -> None:
        """How many messages of a queue are not final. From the worker, which has no folder that could be full."""
        self._series().outbox_waiting.labels(queue).set(messages)

    def render(self) -> tuple[bytes, str]:
        """What a scraper is given, and its content type: the sum over all worker processes."""
        registry = self._series().registry
        from prometheus_client import CollectorRegistry, exposition, multiprocess

        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped there
        return exposition.generate_latest(registry), exposition.CONTENT_TYPE_LATEST

    def _series(self) -> _Series:
        with self._lock:
            if self._made is None:
                self._made = _Series()
            return self._made


def _bounded(value: str, allowed: frozenset[str]) -> str:
    return value if value in allowed else OTHER
