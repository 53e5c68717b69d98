"""What a client may ask about whoever signed in (OpenID Connect Core §5.3): hardly anything, on purpose.

The practice knows its patient; authsvc tells who it is, whose patient, and which language to speak.
"""

from __future__ import annotations

from authsvc.errors import TokenInsufficient, TokenInvalid
from authsvc.flows.acts import Acts
from authsvc.flows.bearers import Bearers
from authsvc.flows.practices import Practices
from authsvc.flows.tokens import OPENID
from authsvc.model import Act


class Userinfo:
    """The use case behind the userinfo endpoint."""

    def __init__(self, acts: Acts, bearers: Bearers, practices: Practices) -> None:
        self._acts = acts
        self._bearers = bearers
        self._practices = practices

    def of(self, bearer: str, request_id: str) -> dict[str, str]:
        """`sub`, `practice` and `locale`. Raises TokenInvalid, TokenInsufficient (without `openid`), Unavailable."""
        claims = self._bearers.claims(bearer)
        practice = self._practices.get(claims["practice"])
        if practice is None or not self._bearers.stands(claims, practice):
            raise TokenInvalid("revoked")
        if OPENID not in claims["scope"].split():
            raise TokenInsufficient("scope", OPENID)
        act = Act(
            id=self._acts.new_id(), actor=f"client:{claims['client_id']}", practice=practice, request_id=request_id
        )
        found = self._acts.run(act, "patient_reach", {}, patient=claims["patient"])
        return {"sub": claims["sub"], "practice": practice.id, "locale": found["locale"] or practice.locale}
