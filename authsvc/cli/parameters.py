"""What an argument must look like before anything is asked of the service: wrong usage is exit 2, at once.

The shapes are those of the HTTP API, so that nothing can be entered here that could not be used there.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

if TYPE_CHECKING:
    from authsvc.flows.logos import Logo

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class ParameterType(click.ParamType[str]):
    """A text that matches a pattern entirely."""

    def __init__(self, name: str, pattern: str, told: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern, re.ASCII)
        self._told = told

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._pattern.fullmatch(value):
            self.fail(f"{value!r} is not {self._told}.", param, ctx)
        return value


class Line(click.ParamType[str]):
    """One line of text for people: no control characters (it will stand in mails and pages), not endless."""

    name = "text"

    def __init__(self, most: int, *, least: int = 0) -> None:
        self._least, self._most = least, most

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = value.strip()
        if _CONTROL.search(text) or not self._least <= len(text) <= self._most:
            self.fail(f"must be one line of {self._least} to {self._most} characters.", param, ctx)
        if "=?" in text:
            self.fail("must not hold =?, which mail programs take for the beginning of a code.", param, ctx)
        return text


class TimeZone(click.ParamType[str]):
    """An IANA time zone such as `America/Phoenix`; empty for UTC."""

    name = "zone"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from zoneinfo import ZoneInfo

        try:
            return ZoneInfo(value).key if value else ""
        except (KeyError, ValueError, OSError):  # unknown, no name at all, or the name of a folder of zones
            self.fail(f"{value!r} is not a time zone such as America/Phoenix.", param, ctx)


class Colour(click.ParamType[str]):
    """A colour such as `#0b5c8a`; empty for none."""

    name = "colour"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from authsvc.contrast import parsed

        try:
            return parsed(value) if value else ""
        except ValueError as problem:
            self.fail(f"{value!r} {problem}.", param, ctx)


class Mailbox(click.ParamType[str]):
    """A mail address that patients may write to; empty for none."""

    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from authsvc.flows.practices import support_address

        try:
            return support_address(value)
        except ValueError as problem:
            self.fail(f"{problem}.", param, ctx)


class Picture(click.ParamType["Logo"]):
    """A file that becomes a logo, or `-`. No more of it is read than a logo may have."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Logo:
        from authsvc.flows.logos import MOST_BYTES, prepared

        try:
            with click.open_file(value, "rb") as file:
                return prepared(file.read(MOST_BYTES + 1))
        except OSError as problem:
            self.fail(f"{value!r}: {problem.strerror}.", param, ctx)
        except ValueError as problem:
            self.fail(f"{value!r} {problem}.", param, ctx)


class Span(click.ParamType[int]):
    """A span of time such as `30d`, `12 h` or `90 min`, as whole seconds."""

    name = "span"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from authsvc.config.units import span_s

        try:
            return span_s(value)
        except ValueError as problem:
            self.fail(f"{problem}.", param, ctx)


ID = r"[a-z0-9][a-z0-9-]{1,40}"
_ID_TOLD = "2 to 41 of a-z, 0-9 and '-', the first no '-'"

PRACTICE = ParameterType("id", ID, f"a practice's id ({_ID_TOLD})")
PRACTICES = ParameterType("id", rf"\*|{ID}", f"a practice's id ({_ID_TOLD}) or '*'")
CLIENT = ParameterType("id", ID, f"a client's id ({_ID_TOLD})")
PATIENT = ParameterType("id", r"[A-Za-z0-9._-]{1,64}", "a patient's id (1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-')")
RESOURCE = ParameterType("resource", r"[a-z][a-z0-9_-]{0,31}:[A-Za-z0-9._-]{1,64}", "a resource such as invoice:inv_1")
LINK = ParameterType("id", r"[A-Za-z0-9_-]{1,64}", "a link's public id")
KID = ParameterType("kid", r"[A-Za-z0-9_-]{1,64}", "a key's id, as `authsvc keys list` shows it")
LOCALE = ParameterType("locale", r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", "a locale such as en or es-MX")
AUDIENCE = ParameterType(
    "audience", r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", "letters, digits and ._:/- only, at most 128"
)


def web_address(text: str, *, production: bool, option: str) -> str:
    """An address to send people to: https, or http to this machine while developing. Empty stays empty."""
    if text:
        _check(text, production, option)
    return text


def link_template(text: str, *, production: bool) -> str:
    """A practice's own landing page for links: as `web_address`, and `{token}` is its last path segment and nothing
    else is filled in (a token in a query would stand in logs and referrers)."""
    if text:
        path = _check(text, production, "--link-url")
        if not path.endswith("/{token}") or text.count("{") != 1 or text.count("}") != 1 or not text.endswith("}"):
            raise click.BadParameter(
                "must end in /{token}, which is filled in, and hold no other { or }.", param_hint="--link-url"
            )
    return text


def _check(text: str, production: bool, option: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise click.BadParameter("is not a URL.", param_hint=option) from None
    odd = any(character.isspace() or not character.isprintable() or character in '\\"<>' for character in text)
    if odd or not parts.hostname or parts.username is not None or port == 0 or len(text) > 500:
        raise click.BadParameter("is not a plain URL such as https://portal.example.org/start.", param_hint=option)
    if parts.scheme != "https" and (production or parts.scheme != "http" or not _loopback(parts.hostname)):
        raise click.BadParameter("must be https (in development also http to this machine).", param_hint=option)
    return parts.path


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
