"""The parameters of a request to an endpoint that a browser is led to, as they came."""

from __future__ import annotations

from collections.abc import Iterable

from flask import request

from authsvc.errors import TooLarge, UnregisteredClient
from authsvc.web import parsing


def parameters() -> list[tuple[str, str]]:
    """What was sent to an endpoint that a browser is led to, from the query or the form (OpenID Connect Core §3.1.2.1:
    both must do). Raises UnregisteredClient for what can't be read.
    """
    try:
        if request.method == "POST":
            return parsing.parse_pairs(parsing.read(request.environ).decode("utf-8"))
        return parsing.parse_pairs(request.environ.get("QUERY_STRING", ""))
    except (TooLarge, ValueError):
        raise UnregisteredClient("encoding") from None


class SentParameters:
    """The parameters as they came: an empty one counts as absent, and which came twice is known (RFC 6749 §3.1)."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def first(self, name: str) -> str:
        return self._values.get(name, [""])[0]

    def repeated(self, *names: str) -> str:
        """The first of these that came more than once; of all parameters where none is named."""
        return next((name for name in names or self._values if len(self._values.get(name, ())) > 1), "")
