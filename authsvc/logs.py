"""What the processes log: one JSON object a line, nothing secret, nothing that could forge a line.

Three gates, each enough for what it guards. *Fields*: a record's extras are written only if `FIELDS` names them, so a
code, an address or a token has no field to travel in. *Patterns*: `scrub` removes what looks like a secret of ours
from every text, tracebacks and the messages of other libraries included. *Encoding*: a line is pure ASCII JSON, so
line breaks, escape sequences and U+2028 stay inside their string (ASVS 16.4.1).

The audit goes to stdout and everything else to stderr, so that they can be shipped apart. The audit in Redis is the
one that counts: a line that can't be written is counted and dropped, and never fails or delays an act.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from authsvc.redaction import scrub

__all__ = ["AUDIT", "AUDIT_FIELDS", "FIELDS", "JsonLines", "LineHandler", "configure", "instant", "scrub"]

AUDIT = "authsvc.audit"
"""The logger of the audit."""

FIELDS = (
    *("request_id", "inbound_request_id", "route", "method", "status", "ms", "peer", "client", "practice"),
    *("actor", "act", "reason", "policy", "retry_after_s", "kind", "channel", "state", "attempts", "message_id"),
    *("kid", "entries", "setting", "listener", "address", "workers", "backlog"),
)
"""The extras that are written, in this order; any other is dropped. `peer` is the calling service's network address,
`address` a listener's, never a mailbox."""

AUDIT_FIELDS = (
    *(
        "patient",
        "guardian",
        "former",
        "sid",
        "link",
        "workflow",
        "resource",
        "policy",
        "by",
        "via",
        "mail",
        "cause",
        "generation",
        "newest",
        "into",
    ),
    *(
        "again",
        "instead_of",
        "jti",
        "patients",
        "kid",
        "next",
        "current",
        "cost",
        "purposes",
        "master",
        "trail",
        "entries",
        "seq",
    ),
)
"""What a line of the audit has besides: every member that an entry can have (docs/reference/events.md; a test compares
them). Patients are in it by the practice's own id, and in no other log."""

_ENCODE = json.JSONEncoder(separators=(",", ":")).encode  # made once: `dumps` would make one a line
_MAX_TEXT = 2000  # characters of one text: a line stays under 16 KiB, which log shippers take whole
_MAX_TRACE = 8000
_MAX_BACKLOG = 1_000  # lines, of 300 bytes as a rule
_FLUSH_S = 1.0

_OURS = frozenset({"request_id", "route", "method", "client", "practice"})
"""Made or checked by us before they come here: nothing to scrub on the hot path."""


class JsonLines(logging.Formatter):
    """A record as one line of JSON: `at` (RFC 3339, UTC), `level`, `log`, `event`, then those of `names` it has."""

    def __init__(self, names: tuple[str, ...] = FIELDS) -> None:
        super().__init__()
        self._names = names

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": instant(record.created),
            "level": record.levelname.lower(),
            "log": record.name,
            "event": scrub(record.getMessage()[:_MAX_TEXT]),
        }
        extras = record.__dict__
        for name in self._names:
            if name in extras:
                line[name] = extras[name] if name in _OURS else _plain(extras[name])
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            # Cut after scrubbing: a cut through a secret would leave what no pattern knows any more.
            line["trace"] = scrub(self.formatException(record.exc_info)[-2 * _MAX_TRACE :])[-_MAX_TRACE:]
        return _ENCODE(line)


class LineHandler(logging.Handler):
    """Writes each line with one write, so that lines of several workers never mix (up to the pipe's atomic size).

    A reader that stands still never stops an act: what can't be written at once goes into a backlog of `_MAX_BACKLOG`
    lines, which a thread writes as soon as there is room; beyond that lines are dropped and counted (`lost`).
    """

    def __init__(self, stream: TextIO, lost: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._stream = stream
        self._lost = lost
        self._backlog: deque[bytes] = deque()
        self._writer: threading.Thread | None = None
        self._pid = os.getpid()
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):  # a stream in memory
            self._descriptor = None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            if self._descriptor is None:
                self._stream.write(line)
                self._stream.flush()
            else:
                self._write(self._descriptor, line.encode("ascii"))
        except (OSError, ValueError):  # a full disk, a reader that went away: never fails the act
            self._drop()

    def flush(self) -> None:
        """Waits a moment for the backlog, when the process ends."""
        if self._writer is not None and self._pid == os.getpid():
            self._writer.join(_FLUSH_S)

    def _write(self, descriptor: int, line: bytes) -> None:
        """Under the handler's lock. The kernel takes `PIPE_BUF` bytes at once or says that it has no room for them."""
        if self._pid != os.getpid():  # a fork takes no thread along, and what waited is the parent's to write
            self._pid, self._writer = os.getpid(), None
            self._backlog.clear()
        if self._writer is None or not self._writer.is_alive():
            if len(line) <= select.PIPE_BUF and _has_room(descriptor, 0):
                os.write(descriptor, line)
                return
            self._backlog.append(line)
            self._writer = threading.Thread(target=self._write_backlog, args=(descriptor,), daemon=True)
            self._writer.start()
        elif len(self._backlog) < _MAX_BACKLOG:
            self._backlog.append(line)
        else:
            self._drop()

    def _write_backlog(self, descriptor: int) -> None:
        while True:
            with self.lock:  # type: ignore[union-attr]  # a handler has one from its beginning on
                if not self._backlog:
                    self._writer = None
                    return
                line = self._backlog.popleft()
            try:
                while line:
                    _has_room(descriptor, None)
                    line = line[os.write(descriptor, line[: select.PIPE_BUF]) :]
            except OSError:
                self._drop()

    def _drop(self) -> None:
        if self._lost is not None:
            self._lost()


def _has_room(descriptor: int, timeout_ms: int | None) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(timeout_ms))


def configure(
    level: str = "info",
    *,
    stream: TextIO | None = None,
    audit_stream: TextIO | None = None,
    lost: Callable[[], None] | None = None,
) -> None:
    """Sends every logger of this process through the gates above: to stderr, and the audit to `audit_stream` if there
    is one (else nowhere). `level` is a logging level's name. For whole processes: serve, worker, a command."""
    root = logging.getLogger()
    _replace(root, LineHandler(stream or sys.stderr, lost), JsonLines())
    root.setLevel(level.upper())
    audit = logging.getLogger(AUDIT)
    if audit_stream is None:
        _replace(audit, logging.NullHandler(), None)
    else:
        _replace(audit, LineHandler(audit_stream, lost), JsonLines(FIELDS + AUDIT_FIELDS))
    audit.propagate = False
    audit.setLevel(logging.INFO)
    # The logging package's own advice for hot paths: don't collect what the lines above don't show.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.raiseExceptions = False
    logging._srcfile = None  # its documented way to spare looking for the caller


def instant(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, with milliseconds: `2026-11-22T08:00:00.123Z`."""
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


_last_second = (0, "")


def _second(whole: int) -> str:
    # Most lines share their second with the one before: 2 µs saved on each. Races only cost a second rendering.
    global _last_second
    known, text = _last_second
    if known != whole:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _last_second = (whole, text)
    return text


def _plain(value: object) -> object:
    if isinstance(value, str):
        return scrub(value[:_MAX_TEXT])
    if value is None or isinstance(value, bool | int | float):
        return value
    return scrub(str(value)[:_MAX_TEXT])


def _replace(logger: logging.Logger, handler: logging.Handler, formatter: logging.Formatter | None) -> None:
    handler.setFormatter(formatter)
    for old in list(logger.handlers):
        logger.removeHandler(old)
    logger.addHandler(handler)
