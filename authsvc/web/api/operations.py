"""The table of the calls about a practice. Routes, guards and the OpenAPI description are all made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from authsvc.web.api import handlers, responses, schemas
from authsvc.web.endpoint import Operation, Success

P = "/v1/practices/{practice}"

_STARTED = {"challenge": "ach_0OXdhY0tnl0rCxzp4Lx2NjS1Sx1oTq4WyKb0bD6SBJQ", "expires_in": 600, "resend_in": 30}
_TOKEN = {
    "access_token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln",
    "token_type": "Bearer",
    "expires_in": 600,
    "patient": "pat_1",
    "practice": "maple",
}
_SESSION = {
    **_TOKEN,
    "scope": "invoices:view statements:generate contact:view contact:edit",
    "session": "Yq3hJ0m2SgKJvXhUlZ0c9g",
    "refresh_token": "art_bWFwbGU.Yq3hJ0m2SgKJvXhUlZ0c9g.1.nonce.mac",
}
_INSTANT = {
    **_TOKEN,
    "scope": "invoice:view invoice:pay",
    "workflow": "pay-invoice",
    "resource": "invoice:inv_1",
    "authorization_details": [{"type": "invoice", "identifier": "inv_1", "actions": ["view", "pay"]}],
}
_PATIENT = {"id": "pat_1", "email": "anna@example.org", "label": "Anna", "locale": "es", "portal_access": True}
_CHALLENGE_ON = {
    "resend": ("resendCode", "challenge", "challenge"),
    "verify": ("verifyCode", "challenge", "challenge"),
}

CODES = (
    Operation(
        "startCode", "POST", f"{P}/codes", "Start a sign-in and send a code", tag="codes",
        permission="codes:issue", body=schemas.StartCode(), idempotent=True, run=handlers.start_code,
        example={"email": "anna@example.org", "client_ip": "203.0.113.7"},
        success=(Success(202, "A code is on its way, if there is somebody to send it to.",
                         responses.StartedAnswer, _STARTED, _CHALLENGE_ON),),
        problems=("patient-not-found", "no-portal-access", "idempotency-conflict"),
        detail="By `email` the answer is the same for every address, known or not. By `patient` the caller is told.",
    ),
    Operation(
        "resendCode", "POST", f"{P}/codes/resend", "Send another code for the same sign-in", tag="codes",
        permission="codes:issue", body=schemas.ResendCode(), idempotent=True, run=handlers.resend_code,
        success=(Success(202, "Another code is on its way. The last three stay valid.",
                         responses.StartedAnswer, _STARTED, _CHALLENGE_ON),),
        problems=("challenge-gone", "idempotency-conflict"),
    ),
    Operation(
        "verifyCode", "POST", f"{P}/codes/verify", "Open a session with a code", tag="codes",
        permission="codes:verify", body=schemas.VerifyCode(), run=handlers.verify_code,
        success=(
            Success(200, "The tokens of a new session.", responses.TokenAnswer, _SESSION),
            Success(200, "Several patients share the mailbox: let the patient choose.", responses.ChoiceAnswer,
                    {"choose": [{"patient": "pat_1", "label": "Anna"}, {"patient": "pat_2", "label": "Ben"}],
                     "challenge": _STARTED["challenge"]},
                    {"choose": ("choosePatient", "challenge", "challenge")}),
        ),
        problems=("invalid-code", "challenge-gone"),
    ),
    Operation(
        "choosePatient", "POST", f"{P}/codes/choose", "Say which of the mailbox's patients it is", tag="codes",
        permission="codes:verify", body=schemas.ChoosePatient(), run=handlers.choose_patient,
        success=(Success(200, "The tokens of a new session.", responses.TokenAnswer, _SESSION),),
        problems=("challenge-gone",),
    ),
)  # fmt: skip

LINKS = (
    Operation(
        "issueLink", "POST", f"{P}/links", "Issue a link of a workflow", tag="links",
        permission="links:issue", body=schemas.IssueLink(), idempotent=True, run=handlers.issue_link,
        example={"patient": "pat_1", "workflow": "pay-invoice", "resource": "invoice:inv_1"},
        success=(Success(201, "The link. Its `url` is shown this once.", responses.IssuedLinkAnswer,
                         {"id": "mV1sGqB8iJz0aXyQ", "max_uses": None, "expires_at": "2026-12-22T08:00:00Z",
                          "url": "https://auth.example.org/p/maple/l/al_1HmJ9mvPZo2TtM7SZt3Fkz4UcfEhOcL2hCjCg7DqV2E"},
                         {"revoke": ("revokeLink", "link_id", "id")}),),
        problems=("patient-not-found", "no-portal-access", "idempotency-conflict"),
    ),
    Operation(
        "listLinks", "GET", f"{P}/links", "List a patient's links", tag="links",
        permission="links:revoke", query=schemas.OfPatient(), run=handlers.list_links,
        success=(Success(200, "Newest first; never a token.", responses.LinksAnswer),),
    ),
    Operation(
        "revokeLinks", "DELETE", f"{P}/links", "End every link of a patient or for a resource", tag="links",
        permission="links:revoke", query=schemas.LinkFilter(), run=handlers.revoke_links,
        success=(Success(200, "How many links were ended.", responses.RevokedAnswer, {"revoked": 2}),),
        detail="For instance because the invoice was paid. Tokens from those links become inactive.",
    ),
    Operation(
        "exchangeLink", "POST", f"{P}/links/exchange", "Exchange a link's token", tag="links",
        permission="links:exchange", body=schemas.ExchangeLink(), run=handlers.exchange_link,
        success=(
            Success(200, "Instant link: an access token for its one resource.", responses.TokenAnswer, _INSTANT),
            Success(202, "Access link: a code went to the address on file.", responses.StartedAnswer,
                    {**_STARTED, "email_hint": "a•••@e•••.com"}, _CHALLENGE_ON),
        ),
        problems=("link-unknown", "link-gone"),
        detail="Call this when the patient presses a button, never on GET: mail scanners open every link first.",
    ),
    Operation(
        "resendLink", "POST", f"{P}/links/resend", "Send a new link in place of a dead one", tag="links",
        permission="links:exchange", body=schemas.ResendLink(), run=handlers.resend_link,
        success=(Success(202, "Always the same answer, whether or not something was sent.", None, {}),),
    ),
    Operation(
        "revokeLink", "DELETE", f"{P}/links/{{link_id}}", "End one link", tag="links",
        permission="links:revoke", run=handlers.revoke_link,
        success=(Success(204, "The link is dead."),),
    ),
)  # fmt: skip

PATIENTS = (
    Operation(
        "putPatient", "PUT", f"{P}/patients/{{id}}", "Put a patient on file, or change one", tag="patients",
        permission="patients:write", body=schemas.PutPatient(), run=handlers.put_patient,
        example={"email": "anna@example.org", "label": "Anna", "portal_access": True},
        success=(
            Success(200, "Changed. Members that are left out are reset.", responses.PatientAnswer, _PATIENT),
            Success(201, "New on file.", responses.PatientAnswer, _PATIENT),
        ),
        detail="A different address ends what rests on the old one, and both addresses get a notice.",
    ),
    Operation(
        "getPatient", "GET", f"{P}/patients/{{id}}", "Read a patient", tag="patients",
        permission="patients:read", run=handlers.get_patient,
        success=(Success(200, "What is on file.", responses.PatientAnswer, _PATIENT),),
        problems=("patient-not-found",),
    ),
    Operation(
        "deletePatient", "DELETE", f"{P}/patients/{{id}}", "Forget a patient", tag="patients",
        permission="patients:write", run=handlers.delete_patient,
        success=(Success(204, "Forgotten; sessions and links are ended, earlier tokens inactive."),),
        problems=("patient-not-found",),
    ),
    Operation(
        "listDeliveries", "GET", f"{P}/patients/{{id}}/deliveries", "What happened to the mail", tag="patients",
        permission="patients:read", run=handlers.list_deliveries,
        success=(Success(200, "The messages of the last seven days, newest first.", responses.DeliveriesAnswer),),
        problems=("patient-not-found",),
    ),
    Operation(
        "listSessions", "GET", f"{P}/patients/{{id}}/sessions", "Who is signed in", tag="sessions",
        permission="sessions:revoke", run=handlers.list_sessions,
        success=(Success(200, "The live sessions.", responses.SessionsAnswer),),
        problems=("patient-not-found",),
    ),
    Operation(
        "endSessions", "DELETE", f"{P}/patients/{{id}}/sessions", "Sign a patient out everywhere", tag="sessions",
        permission="sessions:revoke", run=handlers.end_sessions,
        success=(Success(204, "No session is left."),),
        problems=("patient-not-found",),
    ),
    Operation(
        "endSession", "DELETE", f"{P}/patients/{{id}}/sessions/{{sid}}", "End one session", tag="sessions",
        permission="sessions:revoke", run=handlers.end_session,
        success=(Success(204, "The session is over."),),
        problems=("patient-not-found",),
    ),
)  # fmt: skip

OPERATIONS = (*CODES, *LINKS, *PATIENTS)


def by_path(operations: Sequence[Operation]) -> Mapping[str, Mapping[str, Operation]]:
    """path → method → operation."""
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = operation
    return paths
