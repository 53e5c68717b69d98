"""What every deployment is provisioned with, by the command line, before the service starts."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import time
import zlib
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from tests.wire.recorder import ClientSecret, Recorder

EVERYTHING = (
    "codes:issue",
    "codes:verify",
    "codes:reveal",
    "links:issue",
    "links:exchange",
    "links:revoke",
    "patients:read",
    "patients:write",
    "sessions:revoke",
    "tokens:introspect",
)
RESEND_AFTER_S = 8
"""Shorter than in production, so that a recording ends soon; long enough for a slow machine."""

PORTAL = "https://portal.wire.test"
BACK = f"{PORTAL}/signed-in"
BYE = f"{PORTAL}/signed-out"
OPEN = f"{PORTAL}/open"
APP_BACK = "https://app.wire.test/back"
SIGNER_BACK = "https://signer.wire.test/back"

VERIFIER = "wire-recorder-code-verifier-of-43-characters"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def allow(*permissions: str) -> list[str]:
    return [word for permission in permissions for word in ("--allow", permission)]


def picture(width: int = 320, height: int = 80) -> bytes:
    """A PNG in two colours."""
    row = b"\x00" + b"\x0b\x5c\x8a" * (width // 2) + b"\xff\xe6\x00" * (width - width // 2)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")
    )


class Signer:
    """A client that signs its calls (private_key_jwt)."""

    def __init__(self, client_id: str, issuer: str, name: str = "signer") -> None:
        self.id, self._issuer, self._name = client_id, issuer, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._number = 0

    def jwks(self) -> str:
        key = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**key, "kid": "signer-1", "use": "sig", "alg": "ES256"}]})

    def assertion(self, key: ec.EllipticCurvePrivateKey | None = None, typ: str = "JWT", **claims: Any) -> str:
        self._number += 1
        now = int(time.time())
        told = {"iss": self.id, "sub": self.id, "aud": self._issuer, "iat": now, "exp": now + 60}
        told |= {"jti": f"{self._name}-{self._number}"} | claims
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, key or self._key, algorithm="ES256", headers={"kid": "signer-1", "typ": typ})

    def fields(self, **claims: Any) -> dict[str, str]:
        return {"client_assertion_type": JWT_BEARER, "client_assertion": self.assertion(**claims)}


@dataclass
class Provisioned:
    """The clients of the deployment that most cases use, and what many of them do."""

    r: Recorder
    desk: ClientSecret
    audience: ClientSecret
    teller: ClientSecret
    kiosk: ClientSecret
    other: ClientSecret
    gate: ClientSecret
    portal: ClientSecret
    app: ClientSecret
    signer: Signer

    def patient(self, name: str, practice: str = "maple", **members: Any) -> str:
        """Put a patient on file, unrecorded; the mail address."""
        told = {"email": f"{name}@example.org", "label": name.title(), "portal_access": True, **members}
        with self.r.quietly():
            answer = self.r.call("", self.desk, "PUT", f"{practice}/patients/{name}", told)
        if answer.status not in (200, 201):
            raise ValueError(f"{name}: {answer.status} {answer.text}")
        return str(told["email"])

    def started(self, patient: str, ip: str, practice: str = "maple", client: ClientSecret | None = None) -> Any:
        """A challenge whose code is told to the caller, unrecorded."""
        members = {"patient": patient, "delivery": "caller", "client_ip": ip}
        with self.r.quietly():
            return self.r.call("", client or self.desk, "POST", f"{practice}/codes", members).json

    def signed_in(self, patient: str, ip: str, practice: str = "maple", client: ClientSecret | None = None) -> Any:
        """Tokens of a code sign-in, unrecorded."""
        begun = self.started(patient, ip, practice, client)
        members = {"challenge": begun["challenge"], "code": begun["code"], "client_ip": ip}
        with self.r.quietly():
            return self.r.call("", client or self.desk, "POST", f"{practice}/codes/verify", members).json

    def link(self, patient: str, workflow: str, practice: str = "maple", **members: Any) -> tuple[str, str, str]:
        """A new link, unrecorded: its address, its token, its id."""
        told = {"patient": patient, "workflow": workflow, **members}
        with self.r.quietly():
            made = self.r.call("", self.desk, "POST", f"{practice}/links", told).json
        return made["url"], made["url"].rpartition("/")[2], made["id"]

    def exchanged(self, token: str, practice: str = "maple") -> Any:
        with self.r.quietly():
            return self.r.call("", self.desk, "POST", f"{practice}/links/exchange", {"token": token}).json


def provision(r: Recorder, receiver_url: str) -> Provisioned:
    """Three practices and nine clients."""
    folder = r.deployment.folder
    (folder / "logo.png").write_bytes(picture())
    r.values.constants |= {CHALLENGE, VERIFIER}
    maple = ["--name", "Maple Clinic", "--phone", "+1 480 555 0100", "--support-email", "help@maple.example"]
    maple += ["--portal-url", f"{PORTAL}/", "--time-zone", "America/Phoenix", "--sender-name", "Maple Front Desk"]
    r.command("add maple", "practices", "add", "maple", *maple, "--json")
    oak = ["--name", "Clínica Oak & <Sons>", "--locale", "es", "--colour", "#ffe600", "--json"]
    r.command("add oak", "practices", "add", "oak", *oak)
    r.command("oak's logo", "practices", "set", "oak", "--logo", str(folder / "logo.png"), "--json")
    elm = ["--name", "Elm", "--link-url", "https://elm.wire.test/open/{token}", "--json"]
    r.command("add elm", "practices", "add", "elm", *elm)
    signer = Signer("signer", r.deployment.public_url)
    (folder / "signer.json").write_text(signer.jwks())
    desk = r.client("desk", "--practice", "*", *allow(*EVERYTHING))
    audience = r.client("billing", "--practice", "maple", "--audience", "billing-service", *allow(*EVERYTHING))
    teller = r.client("teller", "--practice", "maple", *allow("codes:issue", "links:issue"))
    kiosk = r.client("kiosk", "--practice", "maple", *allow("patients:read"))
    other = r.client("oaks-own", "--practice", "oak", *allow(*EVERYTHING))
    gate = r.client("gate", "--practice", "maple", "--practice", "elm", *allow("tokens:introspect"))
    portal = r.client(
        "portal",
        *("--practice", "maple", "--redirect-uri", BACK, "--redirect-uri", f"{BACK}?page=2"),
        *("--post-logout-uri", BYE, "--initiate-login-uri", OPEN, "--backchannel-logout-uri", receiver_url),
        *allow("tokens:introspect"),
    )
    app = r.client("app", "--practice", "maple", "--public", "--redirect-uri", APP_BACK)
    r.client("signer", "--practice", "maple", "--redirect-uri", SIGNER_BACK, "--jwks", str(folder / "signer.json"))
    return Provisioned(r, desk, audience, teller, kiosk, other, gate, portal, app, signer)
