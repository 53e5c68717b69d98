"""How people write spans and rates in a settings file, and how such a file is read.

Three files speak this notation: settings (`config`), the catalogue (`workflows`) and the limits (`ratelimit`). A fault
found in one of them never repeats the value, since a value in the wrong place is often a secret.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from authsvc.errors import Fault

UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
MAX_FILE_BYTES = 256 * 1024  # no settings file comes near; a path to a device or a log must not fill the memory

_SPAN = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) *(ms|s|min|h|d)?", re.ASCII)
_RATE = re.compile(r"([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,9}) per (?:([0-9]{1,5}) *)?(s|min|h|hour|d|day)", re.ASCII)


def span_ms(raw: object) -> int:
    """Milliseconds of `"10 min"`, `"600 s"`, `"0.5 s"`, or of a bare number of seconds.

    Raises ValueError with a reason that doesn't repeat the value.
    """
    found = None if isinstance(raw, bool) else _SPAN.fullmatch(str(raw).strip())
    if found is None:
        raise ValueError('must be a span of time such as "600 s", "10 min", "72 h" or "30 d", or a number of seconds')
    return int(Decimal(found[1]) * UNITS_MS[found[2] or "s"])


def span_s(raw: object) -> int:
    """Whole seconds of a span; a fraction of a second raises ValueError."""
    whole_s, rest_ms = divmod(span_ms(raw), 1_000)
    if rest_ms:
        raise ValueError("must be a whole number of seconds")
    return whole_s


def say_span(seconds: float) -> str:
    """The shortest exact notation of a span: 600 → `10 min`, 0.5 → `500 ms`, 0 → `0 s`."""
    ms = round(seconds * 1_000)
    unit = next((unit for unit, size in reversed(UNITS_MS.items()) if ms % size == 0 and ms >= size), "s")
    return f"{ms // UNITS_MS[unit]} {unit}"


def rate(raw: object) -> tuple[int, int]:
    """(quota, window in seconds) of `"5 per 15 min"`, `"100 per s"`, `"20,000 per hour"`; else ValueError."""
    found = _RATE.fullmatch(raw.strip()) if isinstance(raw, str) else None
    quota = int(found[1].replace(",", "")) if found else 0
    window_s = int(found[2] or 1) * UNITS_MS[{"hour": "h", "day": "d"}.get(found[3], found[3])] // 1_000 if found else 0
    if quota < 1 or window_s < 1:
        raise ValueError('must be a rate such as "5 per 15 min", "100 per s" or "20,000 per hour"')
    return quota, window_s


SIZES = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def size_bytes(raw: object) -> int:
    """Bytes of `"512 MiB"`, `"4 GiB"` or `"1 TiB"`; else ValueError."""
    found = re.fullmatch(r"([1-9][0-9]{0,4}) *(MiB|GiB|TiB)", raw.strip(), re.ASCII) if isinstance(raw, str) else None
    if found is None:
        raise ValueError('must be a size such as "512 MiB" or "4 GiB"')
    return int(found[1]) * SIZES[found[2]]


def say_size(size: int) -> str:
    """A size as people read it, to a tenth: 2,700,000,000 → `2.5 GiB`."""
    unit = next((unit for unit, least in reversed(SIZES.items()) if size >= least), "MiB")
    return f"{size / SIZES[unit]:.1f} {unit}"


def hint(name: str, known: Iterable[str]) -> str:
    """What a fault adds about an unknown name: the known one that is spelled most like it, if any is."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def read_bytes(path: str, of: str) -> bytes | Fault:
    """The bytes of a settings file, or the fault (named `of`) why they can't be had."""
    try:
        with Path(path).open("rb") as file:
            found = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as problem:  # ValueError: a path with a NUL in it
        return Fault(of, f"the file can't be read: {getattr(problem, 'strerror', None) or 'not a path'}")
    if len(found) > MAX_FILE_BYTES:
        return Fault(of, f"the file is larger than {MAX_FILE_BYTES} bytes")
    return found


def read_toml(path: str, of: str) -> dict[str, Any] | Fault:
    """The tables of a TOML file, or the fault (named `of`) why they can't be had."""
    found = read_bytes(path, of)
    if isinstance(found, Fault):
        return found
    try:
        return tomllib.loads(found.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return Fault(of, "the file is not UTF-8")
    except tomllib.TOMLDecodeError as problem:
        where = re.search(r"\(at [a-z0-9, ]+\)$", str(problem))  # the rest of the message may quote what was written
        return Fault(of, f"the file is not TOML {where[0]}" if where else "the file is not TOML")
