"""The calls about a practice: each takes clean data, asks a use case and shapes the reply. Nothing is decided here."""

from __future__ import annotations

import re

from authsvc.errors import NotFound
from authsvc.model import Started, TokenGrant
from authsvc.web.api import responses
from authsvc.web.endpoint import Call, Reply, json_reply

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

# --- codes --------------------------------------------------------------------------------------------------------


def start_code(call: Call) -> Reply:
    data = call.data
    started = call.service.codes.start(
        call.act,
        email=data.get("email"),
        patient=data.get("patient"),
        locale=data.get("locale"),
        delivery=data["delivery"],
    )
    return json_reply(202, responses.started(started))


def resend_code(call: Call) -> Reply:
    return json_reply(202, responses.started(call.service.codes.resend(call.act, call.data["challenge"])))


def verify_code(call: Call) -> Reply:
    data = call.data
    proven = call.service.codes.verify(call.act, data["challenge"], data["code"], data.get("patient"))
    if isinstance(proven, TokenGrant):
        return json_reply(200, responses.granted(proven))
    choose = [{"patient": patient, "label": label} for patient, label in proven.patients]
    return json_reply(200, {"choose": choose, "challenge": proven.challenge})


def choose_patient(call: Call) -> Reply:
    grant = call.service.codes.choose(call.act, call.data["challenge"], call.data["patient"])
    return json_reply(200, responses.granted(grant))


# --- links --------------------------------------------------------------------------------------------------------


def issue_link(call: Call) -> Reply:
    data = call.data
    issued = call.service.links.issue(
        call.act,
        patient=data["patient"],
        workflow=data["workflow"],
        resource=data.get("resource"),
        expires_in=data.get("expires_in"),
        max_uses=data.get("max_uses"),
        delivery=data["delivery"],
        locale=data.get("locale"),
    )
    return json_reply(201, responses.issued(issued))


def exchange_link(call: Call) -> Reply:
    exchanged = call.service.links.exchange(call.act, call.data["token"])
    if isinstance(exchanged, Started):
        return json_reply(202, responses.started(exchanged))
    return json_reply(200, responses.granted(exchanged))


def resend_link(call: Call) -> Reply:
    """The answer never tells whether anything was sent."""
    call.service.links.resend(call.act, call.data["token"])
    return json_reply(202, {})


def list_links(call: Call) -> Reply:
    found = call.service.links.list(call.act, call.data["patient"])
    return json_reply(200, {"links": [responses.link(one) for one in found]})


def revoke_link(call: Call) -> Reply:
    call.service.links.revoke(call.act, _known_shape(call.data["link_id"]))
    return Reply(204, [])


def revoke_links(call: Call) -> Reply:
    data = call.data
    revoked = call.service.links.revoke_where(call.act, patient=data.get("patient"), resource=data.get("resource"))
    return json_reply(200, {"revoked": revoked})


# --- patients -----------------------------------------------------------------------------------------------------


def put_patient(call: Call) -> Reply:
    data = call.data
    patient, created = call.service.patients.put(
        call.act,
        data["id"],
        email=data["email"],
        label=data["label"],
        locale=data.get("locale", ""),
        portal_access=data["portal_access"],
    )
    return json_reply(201 if created else 200, responses.patient(patient))


def get_patient(call: Call) -> Reply:
    return json_reply(200, responses.patient(call.service.patients.get(call.act, call.data["id"])))


def delete_patient(call: Call) -> Reply:
    call.service.patients.delete(call.act, call.data["id"])
    return Reply(204, [])


def list_deliveries(call: Call) -> Reply:
    found = call.service.patients.deliveries(call.act, call.data["id"])
    return json_reply(200, {"deliveries": [responses.delivery(one) for one in found]})


# --- sessions -----------------------------------------------------------------------------------------------------


def list_sessions(call: Call) -> Reply:
    found = call.service.sessions.list(call.act, call.data["id"])
    return json_reply(200, {"sessions": [responses.session(one) for one in found]})


def end_session(call: Call) -> Reply:
    call.service.sessions.end(call.act, call.data["id"], _known_shape(call.data["sid"]))
    return Reply(204, [])


def end_sessions(call: Call) -> Reply:
    call.service.sessions.end_all(call.act, call.data["id"])
    return Reply(204, [])


def _known_shape(public_id: str) -> str:
    """An id that none of ours could be is simply not found."""
    if not _ID.fullmatch(public_id):
        raise NotFound
    return public_id
