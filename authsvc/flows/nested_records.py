"""Records within a record, beside newer versions: what only those know is passed over, and stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def read(kind: type[T], members: Mapping[str, Any]) -> T:
    """One of these dataclasses, of the members that it knows. Raises TypeError where one is missing."""
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # T is a dataclass
    return kind(**{name: value for name, value in members.items() if name in known})


def merged(written: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]], key: str) -> list[dict[str, Any]]:
    """What is to be written, each with the further members of the stored one that has the same `key`."""
    former = {record.get(key): record for record in stored}
    return [{**former.get(record[key], {}), **record} for record in written]
