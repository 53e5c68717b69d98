"""A rotation that nobody notices, and a stolen key that stops working: through gateways under traffic."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from authsvc.crypto import keys as signing
from tests.gateways.conftest import Start
from tests.gateways.environment import GatewaySetup, kid_of
from tests.gateways.load import Load
from tests.gateways.recipes import (
    ALL,
    Gateway,
    Recipe,
    envoy_validates_hastily,
    fetch_keys,
    mod_oauth2_hastily,
    needs,
)
from tests.harness.processes import until

pytestmark = pytest.mark.gateway

BY_NAME = {recipe.name: recipe for recipe in ALL}
NGINX, HAPROXY = BY_NAME["nginx/authsvc.conf"], BY_NAME["haproxy/validate.cfg"]
ENVOY = BY_NAME["envoy/jwt_authn.yaml"]

RATE = 100  # requests a second, through each
SPAN_S = 30
AFTER_S = 12  # traffic goes on this long after the rotation
SAFE_WITHIN_S = 60  # the next key of a new site may sign after 40
SEEN_WITHIN_S = 20


@needs(NGINX, HAPROXY, ENVOY)
def test_a_rotation_under_traffic_refuses_nobody(site: GatewaySetup, start: Start) -> None:
    """A hundred requests a second each through nginx, which asks, and HAProxy and Envoy, which validate. Sessions go on
    being refreshed meanwhile, and HAProxy's key script runs as cron would run it, only oftener."""
    gateways = [start(recipe) for recipe in (NGINX, HAPROXY, ENVOY)]
    haproxy = gateways[1]
    grant = site.sign_in()
    before = grant["access_token"]
    reload = f"kill -USR2 {haproxy.program.pid}"
    fetch_keys(haproxy.room, reload)

    load = Load(gateways, RATE, RATE * SPAN_S, [before])
    began, rotated_at, pause = time.monotonic(), 0.0, threading.Event()
    while not rotated_at or time.monotonic() < max(began + SPAN_S, rotated_at + AFTER_S):
        pause.wait(1)
        if not rotated_at and time.monotonic() > began + 5 and site.rotated_if_safe():
            rotated_at = time.monotonic()
        assert rotated_at or time.monotonic() < began + SAFE_WITHIN_S
        grant = site.portal.refreshed(grant["refresh_token"]).json
        load.tokens = [before, grant["access_token"]]
        fetch_keys(haproxy.room, reload)
    load.stop(within_s=120)  # a busy machine is behind by now, and makes up for it

    assert load.refused == []
    assert kid_of(grant["access_token"]) != kid_of(before)
    for gateway in gateways:
        assert load.sent(gateway) >= RATE * SPAN_S
        kids = {kid_of(token) for name, token in load.passed if name == gateway.recipe.name}
        assert kids == {kid_of(before), kid_of(grant["access_token"])}


HASTY = (
    dataclasses.replace(ENVOY, name="envoy/hasty", prepare=envoy_validates_hastily),
    dataclasses.replace(BY_NAME["apache/mod_oauth2.conf"], name="apache/hasty", prepare=mod_oauth2_hastily),
)
HEAR_OF_A_REVOCATION: list[Recipe] = [*(recipe for recipe in ALL if recipe.asks), HAPROXY, *HASTY]


@needs(*HEAR_OF_A_REVOCATION)
def test_attack_a_stolen_key_signs_nothing_once_it_is_revoked(site: GatewaySetup, start: Start, folder: Path) -> None:
    """The key is one that we brought ourselves, so that this test holds it as a thief would."""
    stolen = signing.generate("ES256")
    pem = stolen.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "stolen.pem"
    file.write_bytes(pem)
    file.chmod(0o600)
    site.deployment.cli("keys", "import", str(file))
    forged = site.signed(site.code, stolen)

    gateways = [start(recipe) for recipe in HEAR_OF_A_REVOCATION]
    haproxy = gateways[HEAR_OF_A_REVOCATION.index(HAPROXY)]

    for gateway in gateways:
        comes_to(gateway, forged, 200)
    site.deployment.cli("keys", "revoke", stolen.kid, "--reason", "stolen")
    for gateway in gateways:
        comes_to(gateway, forged, 401)
        assert gateway.ask("/contact", site.code).status == 200
    assert stolen.kid not in "".join(path.name for path in haproxy.room.folder.iterdir())


@needs(HAPROXY)
def test_the_script_and_the_command_line_write_the_same_map(site: GatewaySetup, start: Start) -> None:
    room = start(HAPROXY).room
    fetch = f"kill -USR2 {start(HAPROXY).program.pid}"
    until(
        lambda: (
            fetch_keys(room, fetch) and (room.folder / "kids.map").read_text() == site.haproxy_map(str(room.folder))
        ),
        SEEN_WITHIN_S,
    )


def comes_to(gateway: Gateway, token: str, status: int) -> None:
    """What a gateway says to a token, once it has heard the news."""

    def says() -> bool:
        if gateway.recipe == HAPROXY:
            fetch_keys(gateway.room, f"kill -USR2 {gateway.program.pid}")
        return gateway.ask("/contact", token).status == status

    until(says, SEEN_WITHIN_S, lambda: gateway.recipe.name)
