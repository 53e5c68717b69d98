"""Packed records in Redis, by the names that the scripts give their fields."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from authsvc.store.script_files import LUA

KINDS = {
    "patient": ("patients", "PATIENT"),
    "session": ("session_records", "SESSION"),
    "link": ("link_records", "LINK"),
    "challenge": ("challenges", "CHALLENGE"),
    "authorization-code": ("authorization_codes", "AUTHORIZATION_CODE"),
    "pending-link": ("authorization_codes", "PENDING"),
}


@cache
def fields(kind: str) -> tuple[str, ...]:
    part, name = KINDS[kind]
    text = (LUA / "lib" / f"{part}.lua").read_text(encoding="utf-8")
    found = re.search(rf"local {name} = fields\{{(.*?)\}}", text, re.DOTALL)
    assert found
    return tuple(re.findall(r"'([\w]+)'", found[1]))


def read(client: Any, kind: str, ident: str, practice: str = "maple") -> dict[str, str]:
    """A record's fields; empty when there is none."""
    text = client.get(f"authsvc:{{{practice}}}:{kind}:{ident}")
    return dict(zip(fields(kind), text.split("\n"), strict=False)) if text else {}


def change(client: Any, kind: str, ident: str, practice: str = "maple", **changes: object) -> None:
    """Write some fields of a record anew, past the scripts."""
    record = read(client, kind, ident, practice) | {name: str(value) for name, value in changes.items()}
    client.set(f"authsvc:{{{practice}}}:{kind}:{ident}", "\n".join(record.values()), keepttl=True)


def children(client: Any, sid: str) -> set[str]:
    """The client sessions of a browser session."""
    return {child for child in read(client, "session", sid).get("children", "").split(",") if child}
