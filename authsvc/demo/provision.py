"""What an operator would do by hand before patients come: a practice, a client for its services, patients.

A store that was given to the demo may hold an earlier demo's practice; then it is brought up to date, and its clients
get new secrets.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from authsvc.demo.sample import oidc
from authsvc.demo.sample.api import Authsvc
from authsvc.demo.sample.clinic import Settings
from authsvc.demo.sample.records import Records
from authsvc.errors import AlreadyExists
from authsvc.flows import logos
from authsvc.wiring import Service

ACTOR = "demo"
PERMISSIONS = ("audit:read", "links:issue", "links:revoke", "patients:read", "patients:write")
"""What the sample calls besides signing patients in, and no more."""

BY_HAND = (
    *PERMISSIONS,
    *("codes:issue", "codes:verify", "links:exchange", "sessions:revoke", "tokens:introspect"),
)
"""What somebody at a second terminal may try: the whole API but for codes in its answers."""

COLOUR = "#0b5a49"  # as in maple.css
LOGO = Path(__file__).with_name("sample") / "static" / "logo.png"


def practice_and_client(service: Service, authsvc_url: str, site_url: str) -> Settings:
    """Register the practice and its portal; what the sample needs to know. Raises AuthsvcError."""
    settings = Settings(url=site_url, authsvc_url=authsvc_url, practice="maple", client_id="portal", client_secret="")
    with suppress(AlreadyExists):
        service.practices.add(settings.practice, actor=ACTOR, name=settings.name)
    service.practices.set(
        settings.practice,
        actor=ACTOR,
        name=settings.name,
        phone=settings.phone,
        support_email="help@maple.example",
        colour=COLOUR,
        portal_url=f"{site_url}/sign-in",
        link_url="",
        logo=logos.prepared(LOGO.read_bytes()),
    )
    secret = _client(service, settings.practice, settings.client_id, PERMISSIONS)
    service.clients.set(
        settings.client_id,
        actor=ACTOR,
        redirect_uris=(site_url + oidc.REDIRECT_PATH,),
        post_logout_uris=(site_url + oidc.POST_LOGOUT_PATH,),
        initiate_login_uri=f"{site_url}/open",
        backchannel_logout_uri=f"{site_url}/backchannel-logout",
    )
    return replace(settings, client_secret=secret)


def by_hand(service: Service, practice: str) -> str:
    """A client for the second terminal, as curl takes it: `id:secret`. Raises AuthsvcError."""
    return f"terminal:{_client(service, practice, 'terminal', BY_HAND)}"


def patients(settings: Settings, records: Records) -> None:
    """Tell authsvc who may sign in, by its API. Raises api.Refused, api.Unavailable."""
    authsvc = Authsvc(settings.authsvc_url, settings.practice, settings.client_id, settings.client_secret)
    for person in records.people.values():
        authsvc.put_patient(person.id, person.email, person.name, person.portal_access, person.language)
    for person in records.people.values():
        for dependent in person.dependents:
            authsvc.put_dependent(person.id, dependent)


def _client(service: Service, practice: str, client_id: str, permissions: Sequence[str]) -> str:
    """Add the client; its secret, a new one if an earlier demo has added it."""
    try:
        _, secret = service.clients.add(
            client_id, actor=ACTOR, practices=(practice,), permissions=frozenset(permissions), audience=None
        )
    except AlreadyExists:
        secret = service.clients.rotate_secret(client_id, actor=ACTOR)
    return secret
