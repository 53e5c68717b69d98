"""What can go wrong, in domain words, and what each error means at the edges.

An error carries data and never prose for people. What it is to each kind of caller hangs on its class: HTTP status and
problem type (RFC 9457), answer at /oauth2 (RFC 6749 §5.2), the counter that counts it, the command line's exit code.
The tables of the edges are made of that. `reason` is the exact inside word, for audit and metrics; what a caller learns
is coarser, so that no oracle leaks.
"""

from __future__ import annotations

from authsvc.errors.availability import (
    DESCRIPTORS_EXHAUSTED as DESCRIPTORS_EXHAUSTED,
)
from authsvc.errors.availability import (
    DeliveryDeferred as DeliveryDeferred,
)
from authsvc.errors.availability import (
    DeliveryRefused as DeliveryRefused,
)
from authsvc.errors.availability import (
    NotReplicated as NotReplicated,
)
from authsvc.errors.availability import (
    RateLimited as RateLimited,
)
from authsvc.errors.availability import (
    StorageFull as StorageFull,
)
from authsvc.errors.availability import (
    Unavailable as Unavailable,
)
from authsvc.errors.availability import (
    descriptors_exhausted as descriptors_exhausted,
)
from authsvc.errors.base import (
    AuthsvcError as AuthsvcError,
)
from authsvc.errors.base import (
    Fault as Fault,
)
from authsvc.errors.base import (
    OAuthError as OAuthError,
)
from authsvc.errors.oauth import (
    AuthorizationError as AuthorizationError,
)
from authsvc.errors.oauth import (
    DpopTokenInvalid as DpopTokenInvalid,
)
from authsvc.errors.oauth import (
    InvalidAuthorizationCode as InvalidAuthorizationCode,
)
from authsvc.errors.oauth import (
    InvalidDpopProof as InvalidDpopProof,
)
from authsvc.errors.oauth import (
    InvalidGrant as InvalidGrant,
)
from authsvc.errors.oauth import (
    InvalidRefreshToken as InvalidRefreshToken,
)
from authsvc.errors.oauth import (
    InvalidScope as InvalidScope,
)
from authsvc.errors.oauth import (
    SignInNeeded as SignInNeeded,
)
from authsvc.errors.oauth import (
    TokenInsufficient as TokenInsufficient,
)
from authsvc.errors.oauth import (
    TokenInvalid as TokenInvalid,
)
from authsvc.errors.oauth import (
    TokenMissing as TokenMissing,
)
from authsvc.errors.oauth import (
    UnauthorizedClient as UnauthorizedClient,
)
from authsvc.errors.oauth import (
    UnregisteredClient as UnregisteredClient,
)
from authsvc.errors.oauth import (
    UnsupportedGrantType as UnsupportedGrantType,
)
from authsvc.errors.operators import (
    AlreadyExists as AlreadyExists,
)
from authsvc.errors.operators import (
    KeysetUnusable as KeysetUnusable,
)
from authsvc.errors.operators import (
    SettingsInvalid as SettingsInvalid,
)
from authsvc.errors.operators import (
    StoreLost as StoreLost,
)
from authsvc.errors.operators import (
    UnknownName as UnknownName,
)
from authsvc.errors.operators import (
    UnsafeStep as UnsafeStep,
)
from authsvc.errors.requests import (
    Forbidden as Forbidden,
)
from authsvc.errors.requests import (
    IdempotencyConflict as IdempotencyConflict,
)
from authsvc.errors.requests import (
    InvalidInput as InvalidInput,
)
from authsvc.errors.requests import (
    MethodNotAllowed as MethodNotAllowed,
)
from authsvc.errors.requests import (
    NotFound as NotFound,
)
from authsvc.errors.requests import (
    TooLarge as TooLarge,
)
from authsvc.errors.requests import (
    Unauthenticated as Unauthenticated,
)
from authsvc.errors.requests import (
    UnsupportedMediaType as UnsupportedMediaType,
)
from authsvc.errors.sign_in import (
    ChallengeGone as ChallengeGone,
)
from authsvc.errors.sign_in import (
    CodeNeeded as CodeNeeded,
)
from authsvc.errors.sign_in import (
    DependentChain as DependentChain,
)
from authsvc.errors.sign_in import (
    InvalidCode as InvalidCode,
)
from authsvc.errors.sign_in import (
    LinkGone as LinkGone,
)
from authsvc.errors.sign_in import (
    LinkUnknown as LinkUnknown,
)
from authsvc.errors.sign_in import (
    NoAddress as NoAddress,
)
from authsvc.errors.sign_in import (
    NoPortalAccess as NoPortalAccess,
)
from authsvc.errors.sign_in import (
    PatientNotFound as PatientNotFound,
)

ALL: tuple[type[AuthsvcError], ...] = tuple(
    named for named in globals().values() if isinstance(named, type) and issubclass(named, AuthsvcError)
)
"""Every class that is raised, for the tables."""
