"""Links, as the API and the hosted pages show them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IssuedLink:
    """A new link; `url` ends in the token and is shown this once. `delivery` is the id of its message, if there is
    one."""

    id: str
    url: str
    expires_at_ms: int
    max_uses: int | None
    delivery: str = ""


@dataclass(frozen=True)
class LinkInfo:
    """A link as a list shows it; never the token.

    `state`: `live`, `expired`, `used_up`, `revoked` or `address_changed`.
    """

    id: str
    patient: str
    workflow: str
    resource: str | None
    created_at_ms: int
    expires_at_ms: int
    uses: int
    max_uses: int | None
    state: str


@dataclass(frozen=True)
class LinkView:
    """What the page of a link needs to know: the holder of its token sees this, and nothing is spent.

    `client` is the id of the client that issued it, `locale` the patient's own; each may be empty. `email_hint` is the
    masked address that an access link's code would go to.
    """

    workflow: str
    access: bool
    locale: str = ""
    client: str = ""
    email_hint: str = ""


@dataclass(frozen=True)
class PendingLink:
    """A pressed instant link that waits for its client. `hint` travels as `login_hint`, and works only with the
    browser that pressed. `email_hint` is the masked address, where a code could be sent to."""

    hint: str
    patient: str
    workflow: str
    resource: str
    target: str
    email_hint: str = ""
    locale: str = ""
