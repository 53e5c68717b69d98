"""What the clinic's services ask of authsvc besides signing patients in: one method a call, by `requests`.

Copy this file as a start for your own. Two habits matter. Send an `Idempotency-Key` with whatever causes a mail, so
that a double click sends one. And keep two failures apart: `Refused` is an answer, `Unavailable` means that nothing was
decided.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any
from urllib.parse import quote

import requests

NO_HEADERS: Mapping[str, str] = {}
TIMEOUT_S = 5  # authsvc answers in milliseconds, or says 503 after two seconds


class Refused(Exception):
    """authsvc refused. `kind` is the last part of the problem's `type` (RFC 9457), or the OAuth `error`."""

    def __init__(self, status: int, kind: str, retry_after_s: int | None = None) -> None:
        super().__init__(f"{status} {kind}")
        self.status = status
        self.kind = kind
        self.retry_after_s = retry_after_s


class Unavailable(Exception):
    """authsvc can't be reached or can't decide now. Never treat this as "not signed in"."""

    def __init__(self, reason: str, retry_after_s: int = 5) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Authsvc:
    """One practice's view of authsvc. Every method raises Refused or Unavailable."""

    def __init__(self, url: str, practice: str, client_id: str, client_secret: str) -> None:
        self._url = url.rstrip("/")
        self._practice = f"/v1/practices/{practice}"
        self._credentials = (client_id, client_secret)
        self._headers: dict[str, str] = {}

    def acting_for(self, user: str) -> Authsvc:
        """The same for calls that somebody at the desk causes: who that is stands in authsvc's audit trail as `by`."""
        other = copy(self)
        other._headers = {"X-Acting-User": user}
        return other

    def put_patient(self, patient: str, email: str, label: str, portal_access: bool, locale: str) -> None:
        """`email` may be empty: then the patient is on file, and gets no mail and no code."""
        body = {"label": label, "portal_access": portal_access, "locale": locale} | ({"email": email} if email else {})
        self._call("PUT", f"{self._practice}/patients/{quote(patient)}", json=body)

    def start_email_change(self, patient: str, email: str, session: str, idempotency_key: str) -> str:
        """Send a code to the new mailbox; the challenge. Nothing has changed yet; `session` will outlive the change."""
        body = {"patient": patient, "email": email, "session": session}
        headers = {"Idempotency-Key": idempotency_key}
        return str(self._call("POST", f"{self._practice}/email-changes", headers, json=body)["challenge"])

    def verify_email_change(self, challenge: str, code: str) -> str:
        """The address that is on file now. Both mailboxes get a notice."""
        body = {"challenge": challenge, "code": code}
        return str(self._call("POST", f"{self._practice}/email-changes/verify", json=body)["email"])

    def put_dependent(self, guardian: str, dependent: str) -> None:
        """`guardian` may act for `dependent`. Who is a guardian, the clinic decides; authsvc keeps it on record."""
        self._call("PUT", self._dependent(guardian, dependent), json={})

    def remove_dependent(self, guardian: str, dependent: str) -> None:
        """Ends the sessions in which the guardian acts for the dependent, too."""
        self._call("DELETE", self._dependent(guardian, dependent))

    def deliveries(self, patient: str) -> list[dict[str, Any]]:
        """What happened to the mail for this patient, so that the front desk can answer the telephone."""
        answer = self._call("GET", f"{self._practice}/patients/{quote(patient)}/deliveries")
        return list(answer["deliveries"])

    def audit(self, **filters: str) -> list[dict[str, Any]]:
        """What happened at authsvc, newest first: of a `patient` or a `guardian`, by an `event`, by somebody at the
        desk."""
        return list(self._call("GET", f"{self._practice}/audit", params=filters)["entries"])

    def mail_link(self, patient: str, workflow: str, resource: str | None, idempotency_key: str) -> str:
        """Let authsvc mail a link to the address on file; the link's public id."""
        body = {"patient": patient, "workflow": workflow, "delivery": "email"}
        if resource:
            body["resource"] = resource
        headers = {"Idempotency-Key": idempotency_key}
        return str(self._call("POST", f"{self._practice}/links", headers, json=body)["id"])

    def links(self, patient: str) -> list[dict[str, Any]]:
        """The patient's links, newest first: when each was sent, how often it was used, what became of it."""
        return list(self._call("GET", f"{self._practice}/links", params={"patient": patient})["links"])

    def revoke_links(self, resource: str) -> None:
        """The thing is done (the invoice is paid): its links end."""
        self._call("DELETE", f"{self._practice}/links", params={"resource": resource})

    def revoke_token(self, refresh_token: str) -> None:
        """Ends the session behind the token (RFC 7009)."""
        self._call("POST", "/oauth2/revoke", data={"token": refresh_token})

    def _dependent(self, guardian: str, dependent: str) -> str:
        return f"{self._practice}/patients/{quote(guardian)}/dependents/{quote(dependent)}"

    def _call(self, method: str, path: str, headers: Mapping[str, str] = NO_HEADERS, **parts: Any) -> dict[str, Any]:
        parts |= {"headers": {**self._headers, **headers}, "auth": self._credentials}
        try:  # no redirect is followed: it would carry our credentials elsewhere
            answer = requests.request(method, self._url + path, timeout=TIMEOUT_S, allow_redirects=False, **parts)
        except requests.RequestException as error:
            raise Unavailable(type(error).__name__) from None
        wait = answer.headers.get("Retry-After", "")
        wait_s = int(wait) if wait.isascii() and wait.isdigit() else None
        if answer.status_code >= 500:
            raise Unavailable(str(answer.status_code), wait_s or 5)
        body = _json(answer)
        if answer.status_code >= 300:
            kind = str(body.get("type", "")).rpartition("/")[2] or str(body.get("error", ""))
            raise Refused(answer.status_code, kind, wait_s)
        return dict(body)


def _json(answer: requests.Response) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
