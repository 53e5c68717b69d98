"""Writes what is made from code: the tables in `http-api.md`, and `errors.md`. Run it after a change to either:

    python docs/reference/generate_api.py

A test compares what it would write with what is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from authsvc import errors
from authsvc.web.api import openapi
from authsvc.web.endpoint import Operation
from authsvc.web.problems import PROBLEM_TYPES

HERE = Path(__file__).parent
HTTP_API_MD = HERE / "http-api.md"
ERRORS_MD = HERE / "errors.md"

ERRORS_HEAD = """\
# Errors

Made by `docs/reference/generate_api.py`.

Every error is a problem document (RFC 9457): `application/problem+json` with `type`, `title`, `status` and `detail`.
`type` is the address of a page of the service that says what this page says. Programs decide by `type`; `detail` is for
people and may change. The calls under `/oauth2` answer with RFC 6749 errors instead, and hosted pages with a page: see
[the HTTP API](http-api.md).

Every answer has an `X-Request-Id`; the log has the same id. What a caller is told is coarser than what the audit trail
records: an expired, a spent and an unknown challenge look alike from outside.
"""


def members(operation: Operation) -> str:
    """The body or form as the table shows it: what may be left out has a question mark."""
    if operation.form is not None:
        return ", ".join(f"`{name}`" for name in operation.form)
    names = []
    for schema in (operation.body, operation.query):
        if schema is not None:
            choice: Sequence[str] = getattr(schema, "one_of", ())
            if choice:
                names.append(f"`{' | '.join(choice)}`".replace("|", "\\|"))
            names += [
                f"`{name}{'' if field.required else '?'}`"
                for name, field in schema.fields.items()
                if name not in choice
            ]
    return ", ".join(names) or "–"


def answers(operation: Operation) -> str:
    good = dict.fromkeys(str(success.status) for success in operation.success)
    return " · ".join([*good, *(f"`{slug}`" for slug in operation.problems)])


def table(operations: Sequence[Operation]) -> str:
    rows = ["| call | what it does | permission | takes | answers |", "| --- | --- | --- | --- | --- |"]
    for one in operations:
        permission = (
            f"`{one.permission}`"
            if one.permission
            else {"client": "any client", "patient": "bearer"}.get(one.security or "", "public")
        )
        rows.append(f"| `{one.method} {one.path}` | {one.summary} | {permission} | {members(one)} | {answers(one)} |")
    return "\n".join(rows) + "\n"


def http_api_md() -> str:
    """The page with its tables as they should be: between `<!-- table TAG -->` and `<!-- end -->`."""
    by_tag: dict[str, list[Operation]] = {}
    for operation in openapi.OPERATIONS:
        by_tag.setdefault(operation.tag, []).append(operation)

    def filled(found: re.Match[str]) -> str:
        return f"<!-- table {found[1]} -->\n\n{table(by_tag[found[1]])}\n<!-- end -->"

    return re.sub(r"<!-- table (\w+) -->.*?<!-- end -->", filled, HTTP_API_MD.read_text(encoding="utf-8"), flags=re.S)


def errors_md() -> str:
    classes: dict[str, list[str]] = {}
    for error in errors.ALL:
        classes.setdefault(error.slug, []).append(error.__name__)
    never = ", ".join(sorted(f"`{name}`" for name in classes.pop("internal") if name != "AuthsvcError"))
    parts = [ERRORS_HEAD]
    for kind in PROBLEM_TYPES.values():
        inside = ", ".join(f"`{name}`" for name in classes.get(kind.slug, ())) or "anything else"
        parts.append(
            f"### `{kind.slug}`\n\n{kind.status}: {kind.title}. Inside: {inside}.\n\n"
            f"{kind.cause}\n\n**What to do.** {kind.cure}\n"
        )
    parts.append(f"## Errors that no HTTP call answers\n\n{never}: of `/oauth2`, the worker and the command line.\n")
    return "\n".join(parts)


def main() -> None:
    write: tuple[tuple[Path, Any], ...] = ((HTTP_API_MD, http_api_md), (ERRORS_MD, errors_md))
    for path, made in write:
        path.write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    main()
