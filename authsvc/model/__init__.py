"""Frozen values that one layer hands to the next, a file for each noun.

No behaviour beyond what a value knows of itself, no I/O.
"""

from __future__ import annotations

from authsvc.model.audit import AuditFilter as AuditFilter
from authsvc.model.audit import AuditPage as AuditPage
from authsvc.model.context import Bucket as Bucket
from authsvc.model.context import LimitState as LimitState
from authsvc.model.context import RequestContext as RequestContext
from authsvc.model.links import (
    IssuedLink as IssuedLink,
)
from authsvc.model.links import (
    LinkInfo as LinkInfo,
)
from authsvc.model.links import (
    LinkView as LinkView,
)
from authsvc.model.links import (
    PendingLink as PendingLink,
)
from authsvc.model.messages import DeliveryInfo as DeliveryInfo
from authsvc.model.messages import Message as Message
from authsvc.model.oauth import (
    AuthorizationRequest as AuthorizationRequest,
)
from authsvc.model.oauth import (
    IdTokenHint as IdTokenHint,
)
from authsvc.model.oauth import (
    PresentedProof as PresentedProof,
)
from authsvc.model.oauth import (
    PublicKey as PublicKey,
)
from authsvc.model.patients import Choice as Choice
from authsvc.model.patients import Choices as Choices
from authsvc.model.patients import Dependent as Dependent
from authsvc.model.patients import Patient as Patient
from authsvc.model.patients import Started as Started
from authsvc.model.practices import (
    AUTHENTICATION_METHODS as AUTHENTICATION_METHODS,
)
from authsvc.model.practices import (
    CLAIM_SCOPES as CLAIM_SCOPES,
)
from authsvc.model.practices import (
    EVERY_PRACTICE as EVERY_PRACTICE,
)
from authsvc.model.practices import (
    PERMISSIONS as PERMISSIONS,
)
from authsvc.model.practices import (
    Client as Client,
)
from authsvc.model.practices import (
    ClientSecret as ClientSecret,
)
from authsvc.model.practices import (
    Practice as Practice,
)
from authsvc.model.practices import (
    WebhookSecret as WebhookSecret,
)
from authsvc.model.practices import (
    WebhookTarget as WebhookTarget,
)
from authsvc.model.practices import (
    claim_scopes as claim_scopes,
)
from authsvc.model.sessions import (
    BrowserSession as BrowserSession,
)
from authsvc.model.sessions import (
    NewBrowserSession as NewBrowserSession,
)
from authsvc.model.sessions import (
    Session as Session,
)
from authsvc.model.sessions import (
    SessionInfo as SessionInfo,
)
from authsvc.model.sessions import (
    TokenGrant as TokenGrant,
)
