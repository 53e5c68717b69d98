"""What relying parties send, and the keys that they verify with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from authsvc.model.practices import Client, Practice


@dataclass(frozen=True)
class AuthorizationRequest:
    """A checked authorization request (RFC 6749 §4.1.1, RFC 7636, OpenID Connect Core §3.1.2.1).

    `scopes` are those we know of what was asked, `challenge` is PKCE's (S256) or empty, `acr` is `instant`, `extra`
    or empty, `expected_patient` the patient whom the id_token_hint names, `expected_person` whoever proved the mailbox
    then (the same, or the guardian who acted), `hint_verified` if we know its key. `query` is the request as a query
    string again, for the pages that carry it along. `pushed` is the reference of a pushed one, `dpop_jkt` the
    thumbprint of the key that its code is bound to (RFC 9449 §10).
    """

    client: Client
    practice: Practice
    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str
    state: str = ""
    nonce: str = ""
    prompt: frozenset[str] = frozenset()
    max_age_s: int | None = None
    acr: str = ""
    login_hint: str = ""
    ui_locales: str = ""
    expected_patient: str = ""
    expected_person: str = ""
    hint_verified: bool = False
    pushed: str = ""
    dpop_jkt: str = ""
    query: str = ""


@dataclass(frozen=True)
class PresentedProof:
    """A DPoP proof that nobody has looked at yet, and the request that it came with (RFC 9449 §4)."""

    proof: str
    method: str
    url: str


@dataclass(frozen=True)
class IdTokenHint:
    """Whom an ID token of ours names (`id_token_hint`), the client that it was given to, and that client's session; a
    link opens none. Without the key that signed it, it isn't `verified` and may only narrow what is asked for.
    `guardian` is the patient who acted for `patient`."""

    client: str
    practice: str
    patient: str
    sid: str = ""
    verified: bool = True
    guardian: str = ""

    @property
    def person(self) -> str:
        """The patient whose mailbox was proven."""
        return self.guardian or self.patient


@dataclass(frozen=True)
class PublicKey:
    """One signing key as the world may see it. `state`: `next`, `current`, `retiring`."""

    kid: str
    alg: str
    state: str
    created_ms: int
    jwk: Mapping[str, str]
    pem: str
    signs_from_ms: int | None = None
    gone_at_ms: int | None = None
