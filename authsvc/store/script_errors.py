"""What a script's refusal means: the words of `err` in `lua/`, as errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from authsvc import errors
from authsvc.errors import Fault, InvalidInput, RateLimited
from authsvc.model import LimitState

_SIMPLE: Final[Mapping[str, Callable[[], Exception]]] = {
    "idempotency-conflict": errors.IdempotencyConflict,
    "patient-not-found": errors.PatientNotFound,
    "no-portal-access": errors.NoPortalAccess,
    "no-address": errors.NoAddress,
    "link-unknown": errors.LinkUnknown,
    "invalid-scope": errors.InvalidScope,
    "dependent-chain": errors.DependentChain,
    "session-not-found": errors.NotFound,
    "code-needed": errors.CodeNeeded,
}
_WITH_REASON: Final[Mapping[str, Callable[[str], Exception]]] = {
    "challenge-gone": errors.ChallengeGone,
    "link-gone": errors.LinkGone,
    "invalid-refresh-token": errors.InvalidRefreshToken,
    "invalid-authorization-code": errors.InvalidAuthorizationCode,
    "sign-in-needed": errors.SignInNeeded,
}


def limit_states(reply: Mapping[str, Any]) -> list[LimitState]:
    """What a script's `limits` say: of each "<policy> <quota> <window_s>", remaining, reset_s."""
    flat = reply.get("limits", ())
    found = []
    for shown, remaining, reset_s in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        policy, quota, window_s = shown.split(" ")
        found.append(LimitState(policy, int(quota), int(window_s), remaining, reset_s))
    return found


def refusal(reply: Mapping[str, Any]) -> Exception:
    """The error that a script's `err` means."""
    match reply["err"]:
        case "rate-limited":
            wait_s = max(1, math.ceil(reply["wait_ms"] / 1000))
            return RateLimited(wait_s, tuple(reply["violated"]), tuple(limit_states(reply)))
        case "storage-full":
            return errors.StorageFull(int(reply["limit"]))
        case "invalid-code":
            return errors.InvalidCode(int(reply["attempts_left"]), reply["reason"])
        case "not-choosable":
            return InvalidInput(Fault("/patient", "is not one of the patients to choose from"))
        case "too-many-links":
            return InvalidInput(Fault("/patient", "has too many links; revoke those that are not needed any more"))
        case "too-many-patients":
            return InvalidInput(Fault("/email", "too many patients share this address"))
        case "too-many-dependents":
            return InvalidInput(Fault("/path/dependent", "one of the two has too many dependents or guardians"))
        case "session-of-browser":
            return InvalidInput(Fault("/path/sid", "its patient switches at the hosted pages: prompt=select_account"))
        case simple if simple in _SIMPLE:
            return _SIMPLE[simple]()
        case known if known in _WITH_REASON:
            return _WITH_REASON[known](reply["reason"])
        case unknown:
            raise ValueError(f"a script refused with an unknown word: {unknown}")
