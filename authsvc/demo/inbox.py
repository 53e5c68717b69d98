"""The demo's inbox: every mail that authsvc would have sent, newest first.

It stands in for the patients' own mail programs, so it treats a mail as one of those does: text with links that can be
pressed, and the designed version in a frame that runs nothing and reaches nothing. The list reloads itself; an opened
mail stays still.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint, Response, abort, render_template, request
from markupsafe import Markup, escape

RELOAD_S = 2
SHOWN = 30  # mails on the list

ReadMails = Callable[[], list[str]]

_ADDRESS = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]")
_WRAPPED = re.compile(r"(?<!\n)\n(?!\n|$)")  # a line's end inside a paragraph
_FRAME_POLICY = (  # a sandbox without scripts, forms or an origin; a pressed link opens in the whole window
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'self'; "
    "sandbox allow-top-navigation-by-user-activation"
)


@dataclass(frozen=True)
class Mail:
    """One mail as the page shows it."""

    id: str
    to: str
    sender: str
    subject: str
    when: str
    text: str
    html: str

    @property
    def letter(self) -> Markup:
        """The text part, flowing as wide as the window, its addresses made into links, all else inert."""
        text, parts, end = _WRAPPED.sub(" ", self.text), [], 0
        for found in _ADDRESS.finditer(text):
            parts += [escape(text[end : found.start()]), _link(found.group())]
            end = found.end()
        return Markup("").join([*parts, escape(text[end:].rstrip())])


def parse(raw: str) -> Mail:
    mail = json.loads(raw)
    when = datetime.fromtimestamp(mail["at_ms"] / 1000, UTC)
    return Mail(
        id=mail["id"],
        to=mail["to"],
        sender=mail["from"],
        subject=mail["subject"],
        when=f"{when:%H:%M:%S} UTC",
        text=mail["text"],
        html=mail["html"],
    )


def inbox(read_mails: ReadMails) -> Blueprint:
    """The pages. `read_mails` returns mails as the `inbox:` sink keeps them (JSON), newest first."""
    pages = Blueprint("inbox", __name__, url_prefix="/inbox", template_folder="templates")

    def one(mail_id: str) -> Mail:
        return next((mail for mail in map(parse, read_mails()) if mail.id == mail_id), None) or abort(404)

    @pages.get("")
    def listed() -> str:
        still = "still" in request.args
        mails = [parse(raw) for raw in read_mails()[:SHOWN]]
        return render_template("inbox.html", mails=mails, still=still, every=RELOAD_S)

    @pages.get("/<mail_id>")
    def opened(mail_id: str) -> Response:
        answer = Response(render_template("mail.html", mail=one(mail_id)))
        answer.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-src 'self'; "
            "base-uri 'none'; frame-ancestors 'none'"
        )
        return answer

    @pages.get("/<mail_id>/designed")
    def designed(mail_id: str) -> Response:
        answer = Response('<base target="_top">' + one(mail_id).html)
        answer.headers["Content-Security-Policy"] = _FRAME_POLICY
        answer.headers["X-Frame-Options"] = "SAMEORIGIN"
        return answer

    return pages


def _link(address: str) -> Markup:
    return Markup('<a href="{0}">{0}</a>').format(address)
