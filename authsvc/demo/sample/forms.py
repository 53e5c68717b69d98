"""Forms without JavaScript: which fields, what is wrong with them, in words beside the field.

No form is answered with a page. What was wrong waits in the visit while a 303 leads to the form's page, which shows it
once: so every page comes by GET, and the browser's Back button never asks to send a form again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from flask import redirect, request
from werkzeug.wrappers import Response

from authsvc.demo.sample.sessions import Slip, visit


@dataclass(frozen=True)
class Field:
    """One input. `pattern` must match the whole trimmed value; `wrong` says how it should look."""

    name: str
    label: str
    pattern: str
    wrong: str
    hint: str = ""
    autocomplete: str = "off"
    inputmode: str = "text"


CARD_FIELDS = (
    Field("name", "Kind of card", r"[^<>\x00-\x1f]{2,30}", "Please write the kind of card, like Visa.", "Like Visa"),
    Field("last4", "Last four digits", r"[0-9]{4}", "Please write four digits, like 4242.", inputmode="numeric"),
    Field("expires", "Good until", r"(0[1-9]|1[0-2])/\d{2}", "Please write month and year, like 09/29.", "Like 09/29"),
)
CONTACT_FIELDS = (
    Field("phone", "Telephone", r"[0-9 +()./-]{3,25}", "Please write a number, like 555 0101.", "", "tel", "tel"),
    Field("address", "Street and town", r"[^\x00-\x1f]{3,120}", "Please write where you live.", "", "street-address"),
)
DEPENDENT_FIELDS = (
    Field("dependent", "First and last name", r"[^\x00-\x1f]{2,80}", "Please write the name.", autocomplete="off"),
)


class Form:
    """Values and what is wrong with them; an empty `wrong` means that all is well."""

    def __init__(self, fields: tuple[Field, ...], sent: Mapping[str, str] | None = None) -> None:
        self.fields = fields
        self.values = {field.name: (sent or {}).get(field.name, "").strip() for field in fields}
        self.wrong: dict[str, str] = {}
        if sent is not None:
            self.wrong = {f.name: f.wrong for f in fields if not re.fullmatch(f.pattern, self.values[f.name])}

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    @classmethod
    def showing(cls, fields: tuple[Field, ...], **values: str) -> Form:
        """A form filled with what is on file, or as it was sent if it has just been refused."""
        form, slip = cls(fields), last_slip()
        form.values.update(values)
        form.values.update(slip.typed)
        form.wrong.update(slip.wrong)
        return form


def try_again(address: str, wrong: Mapping[str, str], typed: Mapping[str, str]) -> Response:
    """Back to the form's page at `address`, which will say what is `wrong` and hold what was typed."""
    visit().slips[address.partition("?")[0]] = Slip(dict(wrong), dict(typed))
    return redirect(address, 303)


def last_slip() -> Slip:
    """What this page has to say of its form; an empty one if nothing was refused. Asking twice says nothing twice."""
    return visit().slips.pop(request.path, Slip())
