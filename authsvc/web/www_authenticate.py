"""What a 401 or 403 asks for: `WWW-Authenticate` (RFC 9110 §11.6.1) for clients and for bearer tokens."""

from __future__ import annotations

from authsvc.errors import TokenInsufficient
from authsvc.verifier import ALGORITHMS

BASIC = 'Basic realm="authsvc", charset="UTF-8"'
"""RFC 7617 §2.1; the two halves are form-url-encoded before that (RFC 6749 §2.3.1)."""

BEARER = 'Bearer realm="authsvc"'
"""No token was sent: a challenge without an error code (RFC 6750 §3)."""

BEARER_INVALID = BEARER + ', error="invalid_token", error_description="The access token is not valid"'

DPOP_INVALID = (
    f'DPoP realm="authsvc", algs="{" ".join(ALGORITHMS.values())}", error="invalid_dpop_proof",'
    ' error_description="The DPoP proof is not valid for this request"'
)
"""RFC 9449 §7.1."""

_DESCRIPTIONS = {
    "scope": "The access token lacks a scope",
    "resource": "The access token is not for this resource",
    "practice": "The access token is not for this practice",
    "acr": "A different authentication level is required",
}


def bearer_insufficient(error: TokenInsufficient) -> str:
    """RFC 6750 §3.1 for what a token doesn't reach, RFC 9470 §3 where the way of signing in wasn't enough."""
    description = _DESCRIPTIONS.get(error.missing, "The request is not allowed")
    wanted = "".join(char for char in error.wanted if 0x20 <= ord(char) < 0x7F and char not in '"\\')
    if error.missing == "acr":
        return (
            f'{BEARER}, error="insufficient_user_authentication", error_description="{description}"'
            f', acr_values="{wanted}"'
        )
    scope = f', scope="{wanted}"' if error.missing == "scope" and wanted else ""
    return f'{BEARER}, error="insufficient_scope", error_description="{description}"{scope}'
