"""The clinic's forms, by Flask-WTF, which also checks the CSRF token of every POST (`CSRFProtect` in `create_app`).

No form is answered with a page. A form that was refused waits on the server while a 303 leads to the form's page, which
shows it once: so every page comes by GET, and the browser's Back button never asks to send a form again.
"""

from __future__ import annotations

from typing import Self

from flask import redirect, request
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import DateField, RadioField, StringField
from wtforms.validators import DataRequired, InputRequired, Regexp, ValidationError

from authsvc.demo.sample.languages import N_, gettext
from authsvc.demo.sample.records import PLANS
from authsvc.demo.sample.sessions import current_session

NO_ADDRESS = N_("Please write an email address, like anna@example.com.")
A_DAY = N_("Please choose a day, like 2026-03-31.")


def text_field(label: str, pattern: str, message: str, hint: str = "", **attributes: str) -> StringField:
    """An input whose whole trimmed value must match; `message` says how it should look."""
    return StringField(
        label,
        [InputRequired(message), Regexp(rf"(?:{pattern})\Z", message=message)],
        filters=[lambda value: (value or "").strip()],
        description=hint,
        render_kw={"autocomplete": "off", "inputmode": "text", "required": False, **attributes},
    )


class ClinicForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """A form that survives the redirect after a refusal."""

    class Meta:
        csrf = False  # the macro `guard` writes the token, for forms without fields too

    def retry(self, page: str) -> Response:
        """Back to the form's page, which will say what is wrong and hold what was typed."""
        current_session().rejected_forms[page] = (self.data, dict(self.errors))
        return redirect(page, 303)

    @classmethod
    def for_page(cls, **on_file: str) -> Self:
        """The form filled with what is on file, or as it was sent if it has just been refused."""
        typed, errors = current_session().rejected_forms.pop(request.path, ({}, {}))
        form = cls(formdata=None, data={**on_file, **typed})
        for name, messages in errors.items():
            form[name].errors = messages
        return form


class CardForm(ClinicForm):
    name = text_field(
        N_("Kind of card"),
        r"[^<>\x00-\x1f]{2,30}",
        N_("Please write the kind of card, like Visa."),
        N_("Like Visa"),
    )
    last4 = text_field(
        N_("Last four digits"),
        r"[0-9]{4}",
        N_("Please write four digits, like 4242."),
        inputmode="numeric",
    )
    expires = text_field(
        N_("Good until"),
        r"(0[1-9]|1[0-2])/[0-9]{2}",
        N_("Please write month and year, like 09/29."),
        N_("Like 09/29"),
    )

    @property
    def card(self) -> str:
        return gettext("%(card)s ending in %(digits)s") % {"card": self.name.data, "digits": self.last4.data}


class EmailForm(ClinicForm):
    email = text_field(
        N_("Email address"),
        r"[^@\s]{1,64}@[^@\s]{1,180}",
        NO_ADDRESS,
        autocomplete="email",
        inputmode="email",
    )


class CodeForm(ClinicForm):
    code = text_field(
        N_("Code from the email"),
        r"[0-9 ]{6,9}",
        N_("Please write the six digits of the code."),
        autocomplete="one-time-code",
        inputmode="numeric",
    )


class ContactForm(ClinicForm):
    phone = text_field(
        N_("Telephone"),
        r"[0-9 +()./-]{3,25}",
        N_("Please write a number, like 555 0101."),
        autocomplete="tel",
        inputmode="tel",
    )
    address = text_field(
        N_("Street and town"),
        r"[^\x00-\x1f]{3,120}",
        N_("Please write where you live."),
        autocomplete="street-address",
    )


class DependentForm(ClinicForm):
    dependent = text_field(N_("First and last name"), r"[^\x00-\x1f]{2,80}", N_("Please write the name."))


class PlanForm(ClinicForm):
    plan = RadioField(N_("Plan"), choices=PLANS)


class StatementForm(ClinicForm):
    """From one day to another, both included."""

    since = DateField(N_("From"), [DataRequired(A_DAY)], render_kw={"required": False})
    until = DateField(N_("To"), [DataRequired(A_DAY)], render_kw={"required": False})

    def validate_until(self, field: DateField) -> None:
        if self.since.data and field.data < self.since.data:
            raise ValidationError(N_("Please choose a day after the first one."))
