"""Replaces what differs from run to run by placeholders that keep its kind: `<ach_ 43 #1>`, `<instant>`.

A number behind `#` tells values of one kind apart, in order of first appearance within a case: where a value comes
again the same number comes again, so that "the same token as before" is part of a recording.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import jwt

JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")
PREFIXED = re.compile(r"\b([a-z]{2,6}_(?:[a-z0-9][a-z0-9-]*\.)?)([A-Za-z0-9_-]{32,})(?![A-Za-z0-9_-])")
SEALED = re.compile(r"\bv1\.[A-Za-z0-9_-]{64,}")
PAIR = re.compile(r"(?<![A-Za-z0-9_.-])[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}(?![A-Za-z0-9_-])")
PAGE = re.compile(r"(/(?:code|who)/)([A-Za-z0-9_-]{8})(?=[/?#\"'\s]|$)")
WORD = re.compile(r"[A-Za-z0-9_-]{8,}")
HEX = re.compile(r"(?<![A-Za-z0-9])(?:[0-9a-f]{32}|[0-9a-f]{64})(?![A-Za-z0-9])")
PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----\n([A-Za-z0-9+/=\n]+)-----END \1-----")
CURSOR = re.compile(r"\bsince=[0-9]{13}\b")
WAIT = re.compile(r"\b([Ww]ait )([0-9]+) seconds?\b")
UP_TO = re.compile(r"\bup to [0-9]+ s\b")
WORDS = re.compile(r"(?:[A-Z]?[a-z]+|[A-Z]+|[0-9]+)(?:[-_](?:[A-Z]?[a-z]+|[A-Z]+|[0-9]+))*")
HUMPS = re.compile(r"(?:[A-Z][a-z]{2,}){2,}")
LOOPBACK = re.compile(r"\b127\.0\.0\.1:[0-9]{2,5}")

INSTANTS = (
    (re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z"), "<instant ms>"),
    (re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"), "<instant>"),
    (re.compile(r"\b[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} (?:GMT|[+-][0-9]{4})"), "<date>"),
    (
        re.compile(r"\b[A-Z][a-z]+ [0-9]{1,2}, [0-9]{4}(?: at|,) [0-9]{1,2}:[0-9]{2}\s[AP]M(?: [A-Z]{3,4}\b)?"),
        "<moment in English>",
    ),
    (re.compile(r"\b[0-9]{1,2}:[0-9]{2}\s[AP]M(?: [A-Z]{3,4}\b)?"), "<time in English>"),
    (
        re.compile(r"\b[0-9]{1,2} de [a-z]+ de [0-9]{4} a las? [0-9]{1,2}:[0-9]{2}(?: [A-Z]{3,4}\b)?"),
        "<moment in Spanish>",
    ),
    (re.compile(r"\b[0-9]{1,2} [a-z]{3,5} [0-9]{4}, [0-9]{1,2}:[0-9]{2}(?: [A-Z]{3,4}\b)?"), "<moment in Spanish>"),
    (re.compile(r"\blas? [0-9]{1,2}:[0-9]{2}(?: [A-Z]{3,4}\b)?"), "<time in Spanish>"),
)

OPAQUE_NAMES = frozenset(
    {"id", "session", "sid", "jti", "link", "kid", "request", "request_id", "message", "message_id", "act", "master_id"}
    | {"current", "next", "rotated", "revoked", "imported", "instead_of"}
)
"""Members whose value may be an identifier that the service has made."""

OPAQUE_LENGTHS = (16, 22, 32, 43)
HIDDEN = frozenset({"csrf", "once"})
"""Fields of forms that are always made by the service."""

SPANS = frozenset({"expires_in", "idle_in", "ends_in", "retry_after_s"})
KEY_MATERIAL = frozenset({"x", "y", "n", "d", "p", "q", "dp", "dq", "qi"})
FAST = frozenset({"client-calls", "exchange-network"})
"""Policies that refill within milliseconds: what is left of them is not the same twice."""

CHANGES_IN_RANDOM = 5
RELATIVE_STEP_S = 300
FULL_WIDTH = {0xFF10 + digit: str(digit) for digit in range(10)}


class Normalizer:
    """The values of one deployment. `begin` starts a case: numbers begin anew."""

    def __init__(self, literal: Mapping[str, str], keys: Any = None) -> None:
        """`literal` maps texts of this run (folders, users) to what stands for them; `keys` gives the JWK set."""
        self._literal = dict(literal)
        self._keys = keys
        self._kinds: dict[str, str] = {}
        self._numbers: dict[str, dict[str, int]] = {}
        self.constants: set[str] = set()
        self.tokens: dict[str, Any] = {}

    def begin(self) -> None:
        self._numbers = {}
        self.tokens = {}

    def seen(self, kind: str, value: str) -> str:
        """The placeholder of a value; the first kind under which it was seen stays its kind."""
        if value in self.constants:
            return value
        kind = self._kinds.setdefault(value, kind)
        numbers = self._numbers.setdefault(kind, {})
        return f"<{kind} #{numbers.setdefault(value, len(numbers) + 1)}>"

    # --- text ---------------------------------------------------------------------------------------------------------

    def text(self, value: str) -> str:
        value = value.encode("utf-8", "backslashreplace").decode()  # a lone surrogate can't be written to a file
        for here, stands in self._literal.items():
            value = value.replace(here, stands)
        value = PEM.sub(self.pem, value)
        value = JWT.sub(lambda found: self.token(found[0]), value)
        value = SEALED.sub(lambda found: self.seen("sealed v1.", found[0]), value)
        value = PREFIXED.sub(self._prefixed, value)
        value = PAIR.sub(lambda found: self.seen("22.22", found[0]), value)
        value = PAGE.sub(lambda found: found[1] + self.seen("page 8", found[2]), value)
        value = HEX.sub(lambda found: self.seen(f"hex {len(found[0])}", found[0]), value)
        value = UP_TO.sub("up to <seconds>", value)
        value = WAIT.sub(lambda found: found[1] + up_to(int(found[2])), value)
        value = WORD.sub(self._word, CURSOR.sub("since=<unix milliseconds>", value))
        for pattern, stands in INSTANTS:
            value = pattern.sub(stands, value)
        return LOOPBACK.sub("127.0.0.1:<port>", value)

    @staticmethod
    def pem(found: re.Match[str]) -> str:
        return f"<PEM {found[1]} of {len(found[2].splitlines())} lines>"

    def _prefixed(self, found: re.Match[str]) -> str:
        if not _looks_random(found[2]):
            return found[0]
        return self.seen(f"{found[1]} {len(found[2])}", found[0])

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        if word in self._kinds:
            return self.seen(self._kinds[word], word)
        if len(word) >= 16 and _looks_random(word):
            return self.seen(f"id {len(word)}", word)
        return word

    def token(self, raw: str) -> str:
        """The placeholder of a JWT, whose content is kept in `tokens`."""
        try:
            header, claims = (_decoded(part) for part in raw.split(".")[:2])
        except (ValueError, binascii.Error):
            return self.seen("not quite a JWT", raw)
        stands = self.seen(f"jwt {header.get('typ', 'without typ')}", raw)
        if stands != raw and stands not in self.tokens:
            self.tokens[stands] = None  # claims may repeat the token
            self.tokens[stands] = {
                "header": self.document(header),
                "claims": self._claims(claims),
                "length": len(raw),
                "signature": self._signature(raw, header),
            }
        return stands

    def _claims(self, claims: dict[str, Any]) -> Any:
        told = dict(claims)
        issued = told.get("iat")
        if isinstance(issued, int):
            told["iat"] = f"<now {_tolerant(issued - datetime.now(UTC).timestamp())}>"
            if isinstance(told.get("exp"), int):
                told["exp"] = f"<iat{told['exp'] - issued:+d}>"
            if isinstance(told.get("auth_time"), int):
                told["auth_time"] = f"<iat {_tolerant(told['auth_time'] - issued)}>"
        return self.document(told)

    def _signature(self, raw: str, header: Mapping[str, Any]) -> str:
        found = [key for key in (self._keys() if self._keys else []) if key.get("kid") == header.get("kid")]
        if not found:
            return "not checked: no published key"
        key = jwt.PyJWK(found[0])
        try:
            jwt.PyJWS().decode(raw, key, algorithms=[str(header.get("alg"))])
        except jwt.PyJWTError as error:
            return f"refused: {type(error).__name__}"
        return "good"

    # --- JSON ---------------------------------------------------------------------------------------------------------

    def document(self, value: Any, name: str = "") -> Any:
        """A JSON value, by the names of its members."""
        if isinstance(value, dict):
            if value.get("kty"):
                value = {key: f"<{len(v)}>" if key in KEY_MATERIAL else v for key, v in value.items()}
            return {self.text(key): self.document(member, key) for key, member in value.items()}
        if isinstance(value, list):
            members = [self.document(member, name) for member in value]
            return _in_order(members) if name == "errors" else members
        if isinstance(value, str):
            return self._member(name, value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        return self._number(name, value)

    def _member(self, name: str, value: str) -> str:
        if name == "code":
            digits = re.sub(r"[\s-]", "", value.translate(FULL_WIDTH))
            if re.fullmatch(r"[0-9]{6}", digits):
                return self.seen("code", digits) + ("" if digits == value else ", spelt differently")
        if name == "expires_at":
            return _relative(value)
        if value and (name in HIDDEN or (name in OPAQUE_NAMES and _made(value))):
            return self.seen(f"{name if name in HIDDEN else 'id'} {len(value)}", value)
        return self.text(value)

    @staticmethod
    def _number(name: str, value: float) -> Any:
        if name in SPANS or (name.endswith("_in") and name != "resend_in"):
            return up_to(int(value))
        if name in ("exp", "iat", "nbf", "auth_time"):
            return f"<unix seconds, now {_tolerant(value - datetime.now(UTC).timestamp())}>"
        if name in ("cursor", "at_ms"):
            return "<unix milliseconds>" if value else 0
        if name in ("pid", "ms"):
            return f"<{name}>"
        return value

    # --- headers ------------------------------------------------------------------------------------------------------

    def header(self, name: str, value: str, length: int | None) -> str:
        """One header field. `length` is that of the body that came."""
        match name.lower():
            case "content-length" if length is not None and value == str(length):
                return "<of the body>"
            case "x-request-id":
                return "<hex 32>" if re.fullmatch(r"[0-9a-f]{32}", value) else value
            case "etag":
                self.seen("tag", value.strip('"'))
                return f'"{self.text(value.strip(chr(34)))}"' if value.startswith('"') else self.text(value)
            case "retry-after":
                return up_to(int(value)) if value.isdigit() else self.text(value)
            case "ratelimit":
                return ", ".join(_left(part) for part in value.split(", "))
            case "set-cookie":
                return self.cookie(value)
        return self.text(value)

    def cookie(self, value: str) -> str:
        name, _, rest = value.partition("=")
        held, semicolon, flags = rest.partition(";")
        return f"{self.cookie_name(name)}={self.cookie_value(held)}{semicolon}{flags}"

    def cookie_name(self, name: str) -> str:
        """The page's id at its end is another one in each run."""
        tail = name[-8:]
        if len(name) > 9 and name[-9] == "-" and (tail in self._kinds or _looks_random(tail, 3)):
            return name[:-8] + self.seen("page 8", tail)
        return name

    def cookie_value(self, value: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9_-]{22}", value):
            return self.seen("browser 22", value)
        return self.text(value)

    # --- HTML ---------------------------------------------------------------------------------------------------------

    def html(self, body: str) -> list[str]:
        """One line for each tag and each text, attributes sorted, white space collapsed."""
        reader = _Html(self)
        reader.feed(body)
        reader.close()
        return reader.lines


class _Html(HTMLParser):
    def __init__(self, values: Normalizer) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._values = values
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._flush()
        given = dict(attrs)
        told = []
        for name, value in sorted(attrs, key=lambda pair: pair[0]):
            if value is None:
                told.append(name)
            elif tag in ("input", "button") and name == "value":
                told.append(f'{name}="{self._values.document(value, given.get("name") or "")}"')
            else:
                told.append(f'{name}="{self._values.text(value)}"')
        self.lines.append(f"<{' '.join([tag, *told])}>")

    def handle_endtag(self, tag: str) -> None:
        self._flush()
        self.lines.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_decl(self, decl: str) -> None:
        self._flush()
        self.lines.append(f"<!{decl}>")

    def handle_comment(self, data: str) -> None:
        self._flush()
        self.lines.append(f"<!-- {self._values.text(data.strip())} -->")

    def close(self) -> None:
        super().close()
        self._flush()

    def _flush(self) -> None:
        text = " ".join(self._text.split())
        if text:
            self.lines.append(self._values.text(text))
        self._text = ""


def _in_order(faults: list[Any]) -> list[Any]:
    """Faults, neighbours with the same detail by their pointers: the order of unknown members is another each time."""
    told: list[list[Any]] = []
    for fault in faults:
        if not isinstance(fault, dict):
            return faults
        if told and told[-1][0].get("detail") == fault.get("detail"):
            told[-1].append(fault)
        else:
            told.append([fault])
    return [fault for group in told for fault in sorted(group, key=lambda each: str(each.get("pointer")))]


def up_to(seconds: int) -> str:
    """A span that has begun to run down, rounded up so far that the seconds since then don't show."""
    if seconds <= 0:
        return f"<seconds {seconds}>"
    if seconds <= 10:
        return "<seconds 1 to 10>"
    step = 10 if seconds <= 60 else 60 if seconds <= 7200 else 600
    return f"<seconds {-(-seconds // step) * step}>"


def _left(part: str) -> str:
    """`"policy";r=9;t=90`"""
    found = re.fullmatch(r'"([^"]+)";r=([0-9]+);t=([0-9]+)', part)
    if found is None:
        return part
    if found[1] in FAST:
        return f'"{found[1]}";r=<number>;t=<number>'
    return f'"{found[1]}";r={found[2]};t={up_to(int(found[3]))}'


def _relative(value: str) -> str:
    """An instant that lies ahead, by its distance from now."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", value):
        return value
    return f"<instant, now {_tolerant((datetime.fromisoformat(value) - datetime.now(UTC)).total_seconds())}>"


def _tolerant(seconds: float) -> str:
    """A distance in time without the seconds that a run takes."""
    steps = round(seconds / RELATIVE_STEP_S)
    return f"{steps * RELATIVE_STEP_S:+d} s" if steps else "or about"


def _decoded(part: str) -> dict[str, Any]:
    found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _made(value: str) -> bool:
    """Whether an identifier can be one that the service made; those of the cases are shorter."""
    return len(value) in OPAQUE_LENGTHS and re.fullmatch(r"[A-Za-z0-9_-]+", value) is not None


def _looks_random(word: str, changes: int = CHANGES_IN_RANDOM) -> bool:
    """Whether letters of both cases, digits and signs alternate as they do in base64url of random bytes."""
    if WORDS.fullmatch(word) or HUMPS.fullmatch(word):
        return False
    kinds = ["a" if c.islower() else "A" if c.isupper() else "0" if c.isdigit() else "-" for c in word]
    turns = sum(one != other for one, other in pairwise(kinds))
    return turns >= changes and "a" in kinds and "A" in kinds
