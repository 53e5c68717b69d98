"""Reading what was sent, strictly: a body means one thing or it is refused.

Python's own JSON reader takes NaN, duplicate members (the last one wins) and any depth; frameworks coerce what looks
alike. Two readers that disagree about one body are a hole between them (ASVS 1.5.3, 15.3.7), so all of that is
refused here, and every fault that can be told is told at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from authsvc.errors import Fault, InvalidInput, TooLarge, UnsupportedMediaType
from authsvc.web.middleware import Environ

MAX_BODY_BYTES = 16 * 1024
MAX_DEPTH = 8  # no body of ours nests at all; this only bounds the work on one that does
MAX_FAULTS = 50
MAX_NAME = 64  # characters of a member's name that a pointer repeats
MAX_FIELDS = 32  # of a form or a query string

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"


def read(environ: Environ) -> bytes:
    """The body, at most `MAX_BODY_BYTES`, whatever Content-Length says. Raises TooLarge, InvalidInput (length)."""
    declared = environ.get("CONTENT_LENGTH") or ""
    chunked = environ.get("wsgi.input_terminated", False) and "HTTP_TRANSFER_ENCODING" in environ
    if declared and not (declared.isascii() and declared.isdigit()):
        raise InvalidInput(Fault("/headers/Content-Length", "is not a number"))
    if declared and (len(declared) > 9 or int(declared) > MAX_BODY_BYTES):
        raise TooLarge(MAX_BODY_BYTES)
    if not declared and not chunked:
        return b""
    # One byte more than allowed: a longer chunked body shows itself, and no more of it is read.
    body: bytes = environ["wsgi.input"].read(int(declared) if declared else MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(MAX_BODY_BYTES)
    if declared and len(body) < int(declared):
        raise InvalidInput(Fault("", "the body ended before its Content-Length"))
    return body


def refuse_large(environ: Environ) -> None:
    """For calls that take no body: one that is announced as too large is still refused; a small one is ignored."""
    declared = environ.get("CONTENT_LENGTH") or ""
    if declared.isascii() and declared.isdigit() and (len(declared) > 9 or int(declared) > MAX_BODY_BYTES):
        raise TooLarge(MAX_BODY_BYTES)


def is_type(environ: Environ, expected: str) -> bool:
    """Whether the body says it is of this type, in UTF-8 and not compressed."""
    content_type = environ.get("CONTENT_TYPE") or ""
    essence, _, parameters = content_type.partition(";")
    if essence.strip().lower() != expected or environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        return False
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in ("utf-8", "utf8"):
            return False
    return True


def require_json(environ: Environ) -> None:
    """Raises UnsupportedMediaType."""
    if not is_type(environ, JSON_TYPE):
        raise UnsupportedMediaType(JSON_TYPE)


# --- JSON ---------------------------------------------------------------------------------------------------------


class _Members(dict[str, Any]):
    """An object that remembers which names came more than once."""

    __slots__ = ("repeated",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: tuple[str, ...] = ()
        if len(self) != len(pairs):
            names = [name for name, _ in pairs]
            self.repeated = tuple(name for name in self if names.count(name) > 1)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


# Without these hooks the module-level json.loads would build a decoder per call.
_DECODER = json.JSONDecoder(object_pairs_hook=_Members, parse_constant=_refuse_constant, parse_float=_finite)


def parse_object(body: bytes) -> tuple[Mapping[str, Any], list[Fault]]:
    """The JSON object in `body`, and what is wrong with it short of being unreadable: members that came twice.

    Raises InvalidInput at the whole document (pointer "") when it can't be read as one object.
    """
    if not body.strip(b" \t\r\n"):
        raise InvalidInput(Fault("", "the body is empty; a JSON object is expected"))
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidInput(Fault("", "the body is not UTF-8")) from None
    try:
        document = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(Fault("", f"not JSON (character {error.pos}): {error.msg}")) from None
    except RecursionError:
        raise InvalidInput(Fault("", "nested too deeply")) from None
    except ValueError as error:  # from the hooks above, or a number with thousands of digits
        reason = str(error) if str(error).endswith(("not JSON", "too large")) else "a number is too large"
        raise InvalidInput(Fault("", reason)) from None
    if not isinstance(document, _Members):
        raise InvalidInput(Fault("", "must be a JSON object"))
    return document, _repeated(document)


def _repeated(document: _Members) -> list[Fault]:
    """A fault for each repeated member, at any depth. Raises InvalidInput when nested too deeply."""
    faults: list[Fault] = []
    waiting: list[tuple[str, Any, int]] = [("", document, 1)]
    while waiting:
        at, value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise InvalidInput(Fault("", "nested too deeply"))
        if isinstance(value, _Members):
            faults += [Fault(pointer(at, name), "appears more than once") for name in value.repeated[:MAX_FAULTS]]
            children = [(pointer(at, name), child) for name, child in value.items()]
        else:
            children = [(f"{at}/{number}", child) for number, child in enumerate(value)]
        waiting += [(path, child, depth + 1) for path, child in children if isinstance(child, dict | list)]
    return faults


def pointer(at: str, name: object) -> str:
    """A JSON pointer (RFC 6901) one step below `at`; overlong names are cut."""
    return f"{at}/{str(name)[:MAX_NAME].replace('~', '~0').replace('/', '~1')}"


# --- forms and query strings --------------------------------------------------------------------------------------


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """The name–value pairs of a form or query string; empty values are kept. Raises ValueError with a reason."""
    if not text:
        return []
    try:
        return parse_qsl(
            text, keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MAX_FIELDS, separator="&"
        )
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except ValueError:
        raise ValueError("has too many fields") from None


def parse_query(text: str) -> tuple[dict[str, str], list[Fault]]:
    """A query string of an API call: each name once."""
    try:
        pairs = parse_pairs(text)
    except ValueError as error:
        return {}, [Fault("/query", f"the query string {error}")]
    values: dict[str, str] = {}
    faults = []
    for name, value in pairs:
        if name in values:
            faults.append(Fault(pointer("", name), "appears more than once"))
        values[name] = value
    return values, faults


def parse_form(body: bytes, environ: Environ) -> dict[str, str]:
    """A form sent to /oauth2 (RFC 6749 §3.2): empty means absent, repeated is refused. Raises InvalidInput."""
    if not is_type(environ, FORM_TYPE):
        raise InvalidInput(Fault("", f"the body must be {FORM_TYPE}"))
    try:
        pairs = parse_pairs(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise InvalidInput(Fault("", "the form is not UTF-8")) from None
    except ValueError as error:
        raise InvalidInput(Fault("", f"the form {error}")) from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidInput(Fault(pointer("", name), f"{name[:MAX_NAME]} appears more than once"))
        values[name] = value
    return {name: value for name, value in values.items() if value}
