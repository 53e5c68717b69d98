"""The kinds of value that an API call takes, strict: a string is a JSON string, `true` is not `"true"`, and no text
holds what would reach a log, a mail or a page as something else.

Every check is one that OpenAPI can say too, so the description is derived from these and not written beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate

from authsvc import text as rules
from authsvc.errors import Fault
from authsvc.web.parsing import MAX_FAULTS, pointer

CONTROL = "holds a control character"


def words(**more: str) -> dict[str, Any]:
    """What marshmallow says, in our words."""
    return {"required": "is required", "null": "must not be null", "validator_failed": "is not valid", **more}


class Text(fields.String):
    """A JSON string without control characters."""

    default_error_messages = words(invalid="must be a string", control=CONTROL)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if rules.CONTROL.search(text):
            raise self.make_error("control")
        return text


class Flag(fields.Boolean):
    """`true` or `false`, nothing that looks like it."""

    default_error_messages = words(invalid="must be true or false")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Whole(fields.Integer):
    """A whole number; `30.0` is one (JSON has one kind of number), `"30"` and `true` are not."""

    default_error_messages = words(invalid="must be a whole number")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            raise self.make_error("invalid")
        return super()._deserialize(value, attr, data, **kwargs)


class Pattern(validate.Regexp):
    """A whole-string match (`$` alone would let a line break pass) that OpenAPI shows as `pattern`."""

    def __init__(self, pattern: str, message: str) -> None:
        super().__init__(pattern, flags=re.ASCII, error=message)
        self._message = message

    def __call__(self, value: Any) -> Any:
        if self.regex.fullmatch(value) is None:
            raise ValidationError(self._message)
        return value


# --- the project's own kinds --------------------------------------------------------------------------------------


def _text(pattern: str, message: str, example: str, description: str = "") -> Callable[..., Text]:
    """A maker of fields of one kind."""

    def make(*, required: bool = False, description: str = description) -> Text:
        shown = {"example": example, **({"description": description} if description else {})}
        return Text(required=required, validate=Pattern(pattern, message), metadata=shown)

    return make


PATIENT = rf"^{rules.PATIENT_ID}$"
PRACTICE = rf"^{rules.PRACTICE_ID}$"
RESOURCE = rf"^{rules.RESOURCE}$"
SECRET = rf"^{rules.SECRET}$"

patient_id = _text(PATIENT, "must be 1 to 64 of A-Z a-z 0-9 . _ -", "pat_1", "The practice's own id of the patient.")
resource = _text(RESOURCE, 'must look like "invoice:inv_1"', "invoice:inv_1", "Type and identifier of one resource.")
workflow = _text(rf"^{rules.WORKFLOW}$", "must be the name of a workflow", "pay-invoice")
locale = _text(rf"^{rules.LOCALE}$", 'must be a language tag such as "en" or "es-MX"', "es", "BCP 47.")
session = _text(rf"^{rules.PUBLIC_ID}$", "must be the id of a session", "Yk3sQ2mXw9r5t0Zb7LhNcA")
cursor = _text(r"^[0-9]{1,15}$", "must be the cursor of an earlier feed", "1795336886035", "Only what came later.")
challenge = _text(
    SECRET, "must be the handle of a challenge", "ach_0OXdhY0tnl0rCxzp4Lx2NjS1Sx1oTq4WyKb0bD6SBJQ",
    "The handle that started the sign-in. Only its holder can use the codes.",
)  # fmt: skip


def one_of(*choices: str, description: str, default: str) -> Text:
    message = "must be one of " + ", ".join(choices)
    return Text(
        validate=validate.OneOf(choices, error=message),
        load_default=default,
        metadata={"description": description, "example": default},
    )


def email(*, required: bool = False, description: str = "") -> Text:
    """What an address means is decided further in; here only what can't be one is refused."""
    return Text(
        required=required,
        validate=[validate.Length(1, 254, error="must have 1 to 254 characters"), Pattern("^.*@.*$", "must hold an @")],
        metadata={
            "example": "anna@example.org",
            "format": "email",
            **({"description": description} if description else {}),
        },
    )


def whole(at_most: int, description: str, example: int) -> Whole:
    return Whole(
        validate=validate.Range(1, at_most, error=f"must be from 1 to {at_most}"),
        metadata={"description": description, "example": example},
    )


class ClientIp(Text):
    """The patient's network address, as the caller sees it."""

    def __init__(self) -> None:
        message = "The patient's address, for the limits by network; never the calling service's own."
        kinds = [{"format": "ipv4"}, {"format": "ipv6"}]
        super().__init__(metadata={"description": message, "example": "203.0.113.7", "maxLength": 45, "anyOf": kinds})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            # A zone id ("%eth0") belongs to one machine and is no address of a patient's.
            return str(ip_address("" if "%" in text else text))
        except ValueError:
            raise ValidationError("must be an IPv4 or IPv6 address") from None


class Code(fields.String):
    """Six digits as people type and paste them: full-width digits, white space, hyphens and what nobody sees are
    understood.

    Nothing else is: `isdigit` would take Arabic-Indic digits and superscripts, `int` would drop leading zeros.
    """

    default_error_messages = words(invalid="must be a string", digits="must be six digits")

    _DIGITS: ClassVar = {0xFF10 + value: str(value) for value in range(10)}
    _HYPHENS: ClassVar = dict.fromkeys(map(ord, "-\u2010\u2011\u2012\u2013\u2212\uff0d"))

    def __init__(self) -> None:
        super().__init__(
            required=True,
            metadata={
                "description": "Six digits, always a string. White space, hyphens and what nobody sees are ignored.",
                "example": "123456",
                "maxLength": 64,
            },
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        plain = "".join(text[:65].split()).translate(self._DIGITS).translate(self._HYPHENS)
        if not rules.CONTROL.search(plain):
            plain = rules.visible(plain)
        if len(text) > 64 or len(plain) != 6 or not (plain.isascii() and plain.isdigit()):
            raise self.make_error("digits")
        return plain


# --- members of answers -------------------------------------------------------------------------------------------


def string(description: str = "", **more: Any) -> fields.String:
    return fields.String(required=True, metadata={"description": description, **more} if description else more)


def instant(description: str = "") -> fields.String:
    return string(description, format="date-time")


def seconds(description: str) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "minimum": 0})


def count(description: str = "", **more: Any) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description, "minimum": 0}, **more)


# --- whole objects --------------------------------------------------------------------------------------------------


class Body(Schema):
    """A JSON object with no other members than these; of those in `one_of` exactly one."""

    one_of: tuple[str, ...] = ()

    error_messages = words(unknown="is not a member of this call")


class NoQuery(Body):
    """Calls without filters take no query parameters: a misspelt filter must not pass silently."""

    error_messages = words(unknown="is not a parameter of this call")


NO_QUERY = NoQuery()


def load(schema: Schema, sent: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """What `schema` understands of `sent`, and every fault with its pointer. Costs about 10 µs."""
    faults = _choice(getattr(schema, "one_of", ()), sent)
    try:
        return schema.load(sent), faults
    except ValidationError as error:
        for name, found in error.messages_dict.items():
            where = "" if name == "_schema" else pointer("", name)
            faults += [Fault(where, str(message)) for message in (found if isinstance(found, list) else [found])]
        return {}, faults[:MAX_FAULTS]


def _choice(names: tuple[str, ...], sent: Mapping[str, Any]) -> list[Fault]:
    """Judged by what was sent, not by what was understood: a malformed `patient` is still one of the two."""
    chosen = [name for name in names if name in sent]
    if not names or len(chosen) == 1:
        return []
    required = f"exactly one of {' and '.join(names)} is required"
    return [Fault(pointer("", name), required) for name in chosen or names]
