"""What an argument must look like before anything is asked of the service: wrong usage is exit 2, at once.

The rules are those of the HTTP API (`authsvc.text`), so that nothing can be entered here that could not be used there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from authsvc import text

if TYPE_CHECKING:
    from authsvc.flows.logos import Logo


class ParameterType(click.ParamType[str]):
    """A text that matches a pattern entirely."""

    def __init__(self, name: str, pattern: str, meaning: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern, re.ASCII)
        self._meaning = meaning

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._pattern.fullmatch(value):
            self.fail(f"{value!r} is not {self._meaning}.", param, ctx)
        return value


class Line(click.ParamType[str]):
    """One line of text for people, of `least` to `most` characters."""

    name = "text"

    def __init__(self, most: int, *, least: int = 0) -> None:
        self._least, self._most = least, most

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return text.one_line(value, self._most, least=self._least)
        except ValueError as problem:
            self.fail(f"{problem}.", param, ctx)


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


class Instant(click.ParamType[int]):
    """An instant of RFC 3339 such as `2026-11-22T08:00:00Z`, or a day in UTC, as milliseconds since the epoch."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return text.parse_rfc3339(f"{value}T00:00:00Z" if re.fullmatch(r"[0-9-]{10}", value) else value)
        except ValueError as problem:
            self.fail(f"{problem}.", param, ctx)


class Span(click.ParamType[int]):
    """A span of time such as `30d`, `12 h` or `90 min`, as whole seconds."""

    name = "span"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from authsvc.config.units import span_s

        try:
            return span_s(value)
        except ValueError as problem:
            self.fail(f"{problem}.", param, ctx)


_ID = "2 to 41 of a-z, 0-9 and '-', the first no '-'"

PRACTICE = ParameterType("id", text.PRACTICE_ID, f"a practice's id ({_ID})")
PRACTICES = ParameterType("id", rf"\*|{text.PRACTICE_ID}", f"a practice's id ({_ID}) or '*'")
CLIENT = ParameterType("id", text.CLIENT_ID, f"a client's id ({_ID})")
PATIENT = ParameterType("id", text.PATIENT_ID, "a patient's id (1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-')")
RESOURCE = ParameterType("resource", text.RESOURCE, "a resource such as invoice:inv_1")
WORKFLOW = ParameterType("name", text.WORKFLOW, "a workflow's name")
LINK = ParameterType("id", text.PUBLIC_ID, "a link's public id")
KID = ParameterType("kid", text.PUBLIC_ID, "a key's id, as `authsvc keys list` shows it")
LOCALE = ParameterType("locale", text.LOCALE, "a locale such as en or es-MX")
AUDIENCE = ParameterType("audience", text.AUDIENCE, "letters, digits and ._:/- only, at most 128; with a colon a URI")


def web_address(url: str, *, production: bool, option: str) -> None:
    """An address to send people to; empty for none. Raises BadParameter."""
    _check(text.check_url, url, production, option)


def link_template(url: str, *, production: bool, option: str) -> None:
    """A practice's own page for links; empty for the hosted one. Raises BadParameter."""
    _check(text.check_link_template, url, production, option)


def webhook(url: str, *, production: bool, option: str) -> None:
    """Where a practice takes messages; empty for nowhere. Raises BadParameter."""
    _check(text.check_webhook_url, url, production, option)


def _check(rule: Callable[..., None], url: str, production: bool, option: str) -> None:
    try:
        if url:
            rule(url, production=production)
    except ValueError as problem:
        raise click.BadParameter(f"{problem}.", param_hint=option) from None
