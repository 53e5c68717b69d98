"""Patients, codes, challenges and links."""

from __future__ import annotations

from authsvc.errors.base import AuthsvcError, OAuthError, WithReason


class PatientNotFound(AuthsvcError):
    """The practice has no such patient on file."""

    status, slug = 404, "patient-not-found"


class NoPortalAccess(AuthsvcError):
    """The patient is on file but may not sign in."""

    status, slug = 409, "no-portal-access"


class NoAddress(AuthsvcError):
    """A mail was asked for, and the patient is on file without an email address."""

    status, slug = 409, "no-address"


class DependentChain(AuthsvcError):
    """Somebody would act for a patient who acts for others, or who is a dependent itself."""

    status, slug = 409, "dependent-chain"


class CodeNeeded(AuthsvcError):
    """The sign-in is too old to go on as somebody else without another code."""

    status, slug = 409, "code-needed"


class InvalidCode(WithReason):
    """The code doesn't open the challenge. `reason`: one of `metric_values`."""

    status, slug = 400, "invalid-code"
    metric, metric_values = "codes_refused", ("wrong", "expired", "dummy", "link_mode", "no_access")

    def __init__(self, attempts_left: int, reason: str = "wrong") -> None:
        super().__init__(reason)
        self.attempts_left = attempts_left


class ChallengeGone(WithReason):
    """The challenge can't be used. `reason`: one of `REASONS`; `unproven` is a choice before the code."""

    REASONS = ("unknown", "expired", "spent", "exhausted", "other_client", "superseded", "unproven")

    status, slug = 410, "challenge-gone"
    metric, metric_values = "codes_refused", tuple(f"gone_{reason}" for reason in REASONS)

    @property
    def counted(self) -> tuple[str, ...]:
        return (f"gone_{self.reason}",)


class LinkUnknown(AuthsvcError):
    """No link of this practice has this token."""

    status, slug = 404, "link-unknown"
    metric, metric_values = "links_refused", ("unknown",)


class LinkGone(WithReason):
    """The link is dead. `reason`: one of `metric_values`."""

    status, slug = 410, "link-gone"
    oauth = OAuthError(400, "invalid_grant", "The link is no longer good")
    metric, metric_values = "links_refused", ("expired", "used_up", "revoked", "address_changed")
