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
import re
import sys
import time
from collections.abc import Callable
from typing import TextIO

from authsvc.text import SECRETS

AUDIT = "authsvc.audit"
"""The logger of the audit."""

FIELDS = (
    "request_id",
    "inbound_request_id",
    "route",
    "method",
    "status",
    "ms",
    "peer",
    "client",
    "practice",
    "actor",
    "act",
    "reason",
    "policy",
    "retry_after_s",
    "kind",
    "channel",
    "state",
    "attempts",
    "message_id",
    "kid",
    "entries",
    "setting",
    "listener",
    "address",
    "workers",
    "backlog",
)
"""The extras that are written, in this order; any other is dropped. `peer` is the calling service's network address,
`address` a listener's, never a mailbox."""

AUDIT_FIELDS = (
    *(
        "patient",
        "sid",
        "link",
        "workflow",
        "resource",
        "policy",
        "by",
        "mail",
        "cause",
        "generation",
        "newest",
        "into",
    ),
    *(
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

_OURS = frozenset({"request_id", "route", "method", "client", "practice"})
"""Made or checked by us before they come here: nothing to scrub on the hot path."""

# Every pattern is linear over what a stranger sends: an attempt that fails has looked at no more than a few characters,
# and one that succeeds goes on after its match. So no unbounded repeat is followed by anything that could fail; where
# the end decides, the pattern takes a whole run of characters and a function judges it.
_TOKEN = re.compile(
    rf"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{{2}}))({'|'.join(SECRETS)})[\w\-.+/=]{{6}}[\w\-.+/=]*", re.ASCII
)
_JWT_RUN = re.compile(r"[\w\-.]+", re.ASCII)
_CREDENTIAL = re.compile(r"\b(Basic|Bearer)(?:\s|%20|\+){1,8}[\w+/=.~\-]{6}[\w+/=.~\-]*", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"://[^/\s]+")  # redis://user:password@host
_QUOTED = re.compile(r"\"[^\"\s]{1,64}\"(?=@|%40)")  # "hanako."@example.org
_AT = re.compile(r"@|%(?:25){0,4}40")
_ADDRESS_RUN = re.compile(r"[^\s<>\"'(),;:=/]+")
_SIX_DIGITS = re.compile(r"[0-9]{6}")
_CODE = re.compile(r"\b(code|otp|pin)((?:\W|%[0-9A-F]{2}){1,6})[0-9]{6}\b", re.IGNORECASE | re.ASCII)


def scrub(text: str) -> str:
    """`text` without what looks like a secret of ours, a credential in a URL, or a mail address.

    A plain look before each pattern: most texts hold none of it, and this runs several times a request.
    """
    if "_" in text:
        text = _TOKEN.sub(r"\1[redacted]", text)
    if "eyJ" in text:
        text = _JWT_RUN.sub(_without_jwt, text)
    if " " in text or "\t" in text or "%20" in text or "+" in text:
        text = _CREDENTIAL.sub(r"\1 [redacted]", text)
    if _AT.search(text):
        text = _AUTHORITY.sub(_without_login, _QUOTED.sub("[redacted]", text))
        text = _ADDRESS_RUN.sub(_without_address, text)
    if _SIX_DIGITS.search(text):
        text = _CODE.sub(r"\1\2[redacted]", text)
    return text


def _without_jwt(run: re.Match[str]) -> str:
    """`eyJ` begins a JSON object in base64url; with a dot behind it, it is the header of a JWT or JWE."""
    at = run[0].find("eyJ")
    return run[0] if at < 0 or "." not in run[0][at:] else f"{run[0][:at]}[redacted JWT]"


def _without_login(authority: re.Match[str]) -> str:
    _, at, host = authority[0].rpartition("@")
    return f"://[redacted]@{host}" if at else authority[0]


def _without_address(run: re.Match[str]) -> str:
    local, *others = _AT.split(run[0])
    is_address = local and any("." in domain.strip(".") for domain in others)
    return "[redacted address]" if is_address else run[0]


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
    """Writes each line with one write, so that lines of several workers never mix (up to the pipe's atomic size)."""

    def __init__(self, stream: TextIO, lost: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._stream = stream
        self._lost = lost

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._stream.write(self.format(record) + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, a reader that went away: never fails the act that is told of
            if self._lost is not None:
                self._lost()


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
