"""Tokens, sessions and authorization requests."""

from __future__ import annotations

from authsvc.errors.base import AuthsvcError, OAuthError, WithReason


class InvalidGrant(WithReason):
    """What a client brought to the token endpoint opens nothing. `reason`: one of `metric_values`."""

    oauth = OAuthError(400, "invalid_grant", "The token or code is not valid for this client")


class InvalidRefreshToken(InvalidGrant):
    """`reused`: an older one of the session came again; `dpop`: the proof is of another key than the session's."""

    metric = "refreshes_refused"
    metric_values = ("malformed", "unknown", "expired", "reused", "other_client", "dpop")


class InvalidAuthorizationCode(InvalidGrant):
    """`pkce` and `redirect`: the verifier or the address isn't that of the request; `ended`: the sign-in is over;
    `revoked`: the link is; `dpop`: the proof is of another key than was asked for."""

    metric = "authorization_codes_refused"
    metric_values = ("unknown", "other_client", "pkce", "redirect", "reused", "expired", "revoked", "ended", "dpop")


class UnsupportedGrantType(AuthsvcError):
    """The token endpoint knows no such grant (RFC 6749 §5.2)."""

    oauth = OAuthError(400, "unsupported_grant_type", "Supported are authorization_code and refresh_token")


class UnauthorizedClient(AuthsvcError):
    """A client asks for a grant that it isn't registered for."""

    oauth = OAuthError(400, "unauthorized_client", "This client is not registered for that grant")


class InvalidScope(AuthsvcError):
    """A refresh asked for more than was granted (RFC 6749 §6)."""

    oauth = OAuthError(400, "invalid_scope", "More was asked for than was granted")
    metric, metric_values = "refreshes_refused", ("scope",)


class TokenInvalid(WithReason):
    """A bearer token that proves nothing: malformed, forged, expired or revoked."""

    status, slug = 401, "invalid-token"
    oauth = OAuthError(401, "invalid_token", "The access token is not valid")
    metric, metric_values = "bearers_refused", ("invalid",)


class InvalidDpopProof(WithReason):
    """A client's DPoP proof isn't one for this request, or there is none where one is needed (RFC 9449 §5)."""

    status = 400
    oauth = OAuthError(400, "invalid_dpop_proof", "Send a DPoP proof for this request, made just now, once")


class DpopTokenInvalid(TokenInvalid):
    """A token that is bound to a key came without a proof of that key for this request (RFC 9449 §7.1)."""

    oauth = OAuthError(401, "invalid_dpop_proof", "Send a DPoP proof for this request, made just now, once")


class TokenMissing(AuthsvcError):
    """No bearer token was sent where one is needed."""

    status, slug = 401, "missing-token"
    oauth = OAuthError(401, "invalid_request", "Send an access token")
    metric, metric_values = "bearers_refused", ("missing_token",)


class TokenInsufficient(AuthsvcError):
    """A good token that doesn't reach. `missing`: one of `metric_values`; `wanted` is what was asked.

    A way of signing in that wasn't enough is a 401, since signing in again helps (RFC 9470 §3).
    """

    status, slug = 403, "insufficient-token"
    oauth = OAuthError(403, "insufficient_scope", "Needs the scope {wanted}")
    metric, metric_values = "bearers_refused", ("scope", "acr", "resource", "practice")

    def __init__(self, missing: str, wanted: str = "") -> None:
        super().__init__(f"{missing} {wanted}".strip())
        self.missing = missing
        self.wanted = wanted
        if missing == "acr":
            self.status = 401

    @property
    def counted(self) -> tuple[str, ...]:
        return (self.missing,)


class SignInNeeded(WithReason):
    """The browser's sign-in doesn't do for what a client asked. `reason`: `none`, `other_patient` or `max_age`."""


class UnregisteredClient(AuthsvcError):
    """Client and redirect address don't belong together, so there is nobody to answer to but the browser.

    `problem` names what doesn't fit: a parameter, or `encoding`. The answer is a page.
    """

    status = 400
    oauth = OAuthError(400, "invalid_request", "{problem} is not registered for this client")

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class AuthorizationError(AuthsvcError):
    """What an authorization request comes to, sent to the client's redirect address (RFC 6749 §4.1.2.1), or said at
    once where it was pushed (RFC 9126 §2.3)."""

    def __init__(self, redirect_uri: str, state: str, error: str, description: str) -> None:
        super().__init__(error)
        self.redirect_uri = redirect_uri
        self.state = state
        self.error = error
        self.description = description
        self.oauth = OAuthError(400, error, "{description}")
