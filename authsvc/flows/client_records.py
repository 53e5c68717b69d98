"""How a client stands in the store, for older and newer versions beside this one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from authsvc.flows import nested_records
from authsvc.model import Client, ClientSecret

DEFAULTS = {field.name: field.default for field in dataclasses.fields(Client)}


def write(client: Client, stored: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The record. What has its default is left out, since a version that doesn't know a member can't read the record;
    members of `stored` that only a newer version knows stay."""
    members = {**dataclasses.asdict(client), "permissions": sorted(client.permissions)}
    members["secrets"] = nested_records.merged(members["secrets"], (stored or {}).get("secrets", ()), "digest")
    unknown = {name: value for name, value in (stored or {}).items() if name not in DEFAULTS}
    return {**unknown, **{name: value for name, value in members.items() if value != DEFAULTS[name]}}


def read(document: Mapping[str, Any]) -> Client:
    """The client of a record; members that only a newer version knows are passed over."""
    return Client(
        **{
            **{name: value for name, value in document.items() if name in DEFAULTS},
            "practices": tuple(document["practices"]),
            "permissions": frozenset(document["permissions"]),
            "secrets": tuple(nested_records.read(ClientSecret, secret) for secret in document["secrets"]),
            **{name: tuple(document.get(name, ())) for name in ("redirect_uris", "post_logout_uris", "jwks", "claims")},
        }
    )
