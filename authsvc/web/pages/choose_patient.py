""" "Who is signing in?": several patients share the mailbox that was just proven, or one may act for others."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from flask import Response

from authsvc.errors import ChallengeGone, InvalidInput
from authsvc.model import Choice
from authsvc.text import visible
from authsvc.web.context import count_error, current_service, see_other
from authsvc.web.fields import PATIENT
from authsvc.web.pages.finish_sign_in import load_pending, not_pending, render_ended, restart, signed_in
from authsvc.web.pages.page_request import PageRequest
from authsvc.web.pages.page_response import form_origins, render_form
from authsvc.web.pages.page_view import page_view
from authsvc.web.pages.pending_sign_in import PendingSignIn

_PATIENT = re.compile(PATIENT, re.ASCII)


@page_view(takes_authorization=True, session_bound=False)
def choose_patient(page: PageRequest, page_id: str) -> Response:
    """Raises NotFound for an id that no page of ours has."""
    pending = load_pending(page, page_id)
    if pending is None:
        return not_pending(page)
    if page.field("act") == "again":
        return restart(page, pending)
    try:
        return _choose(page, pending)
    except ChallengeGone as error:
        if error.reason == "unproven":
            return see_other(page.url("enter_code", page_id=page_id))
        count_error(error)
        return render_ended(page, pending)


def _choose(page: PageRequest, pending: PendingSignIn) -> Response:
    """Raises ChallengeGone."""
    service, patient = current_service(), page.field("patient")
    if _PATIENT.fullmatch(patient):
        try:
            session = service.browser_sessions.choose(page.context, pending.challenge, patient, page.browser.session)
            return signed_in(page, pending, session)
        except InvalidInput:
            pass  # somebody who isn't on the list: it is shown again
    choice = service.codes.choices(page.context, pending.challenge)
    if not choice.patients:  # nobody of them may sign in any more
        return render_ended(page, pending)
    return render_form(
        page,
        400 if page.posted else 200,
        "choose_patient.html",
        patient_locale=pending.start.locale,
        session_bound=False,
        form_origins=form_origins(page),
        **rows_of(choice),
        error="not_chosen" if page.posted else "",
    )


def rows_of(choice: Choice) -> dict[str, Any]:
    """`patients` and `dependents` as the template shows them."""
    rows, own = distinct((*choice.patients, *choice.dependents)), len(choice.patients)
    return {"patients": rows[:own], "dependents": rows[own:]}


def distinct(patients: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """(id, label) each, such that no two labels look the same: where two would, or one is blank, the practice's own id
    of the patient tells them apart."""
    labels = {patient: _line(label) or patient for patient, label in patients}
    count = Counter(_folded(label) for label in labels.values())
    return [
        (patient, f"{label} ({patient})" if label != patient and count[_folded(label)] > 1 else label)
        for patient, label in labels.items()
    ]


def _line(label: str) -> str:
    """Without white space and invisible characters around it. Inside they may be letters' own: ZWNJ in Persian."""
    line = " ".join(label.split())
    shown = visible(line).strip()
    return line[line.index(shown[0]) : line.rindex(shown[-1]) + 1] if shown else ""


def _folded(label: str) -> str:
    return unicodedata.normalize("NFKC", visible(label)).casefold()
