"""The kinds of value that only a dependent's relation takes: how long it lasts, and for which workflows."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate

from authsvc import text as rules
from authsvc.web.fields import Text, words, workflow


class Instant(Text):
    """An RFC 3339 instant, as milliseconds since the epoch; null and absent alike are none."""

    def __init__(self) -> None:
        super().__init__(
            allow_none=True,
            load_default=None,
            metadata={"description": "Null: without end.", "example": "2031-05-01T00:00:00Z", "format": "date-time"},
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            instant_ms = rules.parse_rfc3339(super()._deserialize(value, attr, data, **kwargs))
            rules.rfc3339(instant_ms)  # an offset may lead out of the years that can be written
        except ValidationError:
            raise
        except ValueError as problem:
            raise ValidationError(str(problem)) from None
        return instant_ms


class Workflows(fields.List[str]):
    """Names of workflows; null and absent alike are all of them."""

    default_error_messages = words(invalid="must be a list")

    def __init__(self) -> None:
        super().__init__(
            workflow(),
            allow_none=True,
            load_default=None,
            validate=validate.Length(1, 50, error="must have 1 to 50 names"),
            metadata={"description": "Extra workflows. Null: all.", "example": ["view-invoices", "edit-contact"]},
        )
