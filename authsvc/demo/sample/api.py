"""What the clinic's services ask of authsvc, besides signing patients in: one method a call, plain `urllib`.

Copy this file as a start for your own. Two habits matter. Send an `Idempotency-Key` with whatever causes a mail, so
that a double click sends one. And tell "no" from "not now": `Refusal` is an answer, `Away` means that nothing was
decided.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

TIMEOUT_S = 5  # authsvc answers in milliseconds, or says 503 after two seconds
ANSWER_BYTES = 1 << 20


class Refusal(Exception):
    """authsvc said no. `kind` is the last part of the problem's `type` (RFC 9457), or the OAuth `error`."""

    def __init__(self, status: int, kind: str, body: Mapping[str, Any], retry_after_s: int | None) -> None:
        super().__init__(f"{status} {kind}")
        self.status = status
        self.kind = kind
        self.body = body
        self.retry_after_s = retry_after_s


class Away(Exception):
    """authsvc can't be reached or can't decide now. Never treat this as "not signed in"."""

    def __init__(self, why: str, retry_after_s: int = 5) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class _NoRedirect(HTTPRedirectHandler):
    """An API answers itself: a redirect would carry our credentials elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Authsvc:
    """One practice's view of authsvc."""

    def __init__(self, url: str, practice: str, client_id: str, client_secret: str) -> None:
        self._url = url.rstrip("/")
        self._practice = f"/v1/practices/{practice}"
        self._basic = "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        self._open = build_opener(_NoRedirect).open

    # --- patients ---------------------------------------------------------------------------------------------------

    def put_patient(self, patient: str, email: str, label: str, portal_access: bool) -> None:
        body = {"email": email, "label": label, "portal_access": portal_access}
        self._call("PUT", f"{self._practice}/patients/{quote(patient)}", body)

    def deliveries(self, patient: str) -> list[dict[str, Any]]:
        """What happened to the mail for this patient, so that the front desk can answer the telephone."""
        answer = self._call("GET", f"{self._practice}/patients/{quote(patient)}/deliveries")
        return list(answer["deliveries"])

    # --- links ------------------------------------------------------------------------------------------------------

    def mail_link(self, patient: str, workflow: str, resource: str | None, once: str) -> str:
        """Let authsvc mail a link to the address on file; returns the link's public id."""
        body = {"patient": patient, "workflow": workflow, "delivery": "email"}
        if resource:
            body["resource"] = resource
        return str(self._call("POST", f"{self._practice}/links", body, once)["id"])

    def revoke_links(self, resource: str) -> None:
        """The thing is done (the invoice is paid): its links end."""
        self._call("DELETE", f"{self._practice}/links?{urlencode({'resource': resource})}")

    # --- sessions ---------------------------------------------------------------------------------------------------

    def sign_out(self, refresh_token: str) -> None:
        """RFC 7009: ends the session behind the token."""
        self._form("/oauth2/revoke", token=refresh_token)

    # --- the wire ---------------------------------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None, once: str = "") -> dict[str, Any]:
        headers = {"Idempotency-Key": once} if once else {}
        if body is None:
            return self._send(Request(self._url + path, method=method, headers=headers))  # noqa: S310, our own setting
        headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode()
        return self._send(Request(self._url + path, data, headers, method=method))  # noqa: S310, our own setting

    def _form(self, path: str, **fields: str) -> dict[str, Any]:
        return self._send(Request(self._url + path, urlencode(fields).encode(), method="POST"))  # noqa: S310, ditto

    def _send(self, request: Request) -> dict[str, Any]:
        request.add_header("Authorization", self._basic)
        try:
            with self._open(request, timeout=TIMEOUT_S) as answer:
                return _json(answer.read(ANSWER_BYTES))
        except HTTPError as error:
            with error:
                body = _json(error.read(ANSWER_BYTES))
            wait = error.headers.get("Retry-After", "")
            wait_s = int(wait) if wait.isascii() and wait.isdigit() else None
            if error.code >= 500:
                raise Away(str(error.code), wait_s or 5) from None
            kind = str(body.get("type", "")).rpartition("/")[2] or str(body.get("error", ""))
            raise Refusal(error.code, kind, body, wait_s) from None
        except OSError as error:
            raise Away(type(error).__name__) from None


def _json(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
