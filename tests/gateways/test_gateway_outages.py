"""authsvc is away, hangs, or answers something else: nobody gets in, and the gateway says so within seconds."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.gateways.environment import GatewaySetup, Relay, serving
from tests.gateways.recipes import ALL, Recipe, each
from tests.harness.processes import free_port

pytestmark = pytest.mark.gateway

STARTED = [recipe for recipe in ALL if recipe.away]
ASK_IN_TIME = [recipe for recipe in ALL if recipe.asks and recipe.name != "traefik/authsvc.yml"]  # that waits for 30 s
PROMPT_S = 15  # the recipes say 3 or 4; the machine may be busy


@pytest.fixture
def room(folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder for one start of one gateway."""
    number = len(list(folder.iterdir()))
    return folder / f"outage-{number}"


@pytest.mark.parametrize("recipe", each(STARTED))
def test_a_good_token_is_refused_where_authsvc_was_never_there(recipe: Recipe, room: Path, site: GatewaySetup) -> None:
    gateway = recipe.start(room, site, free_port())
    try:
        assert gateway.ask("/contact", site.code).status == recipe.away
    finally:
        gateway.stop()


@pytest.fixture
def silence() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield int(listener.getsockname()[1])


def test_an_authsvc_that_hangs_is_waited_for_some_seconds_and_lets_nobody_in(
    request: pytest.FixtureRequest, folder: Path, silence: int
) -> None:
    """All gateways at once, since each waits; those that are missing here are named at the end."""
    here = [recipe for recipe in ASK_IN_TIME if not recipe.missing()]
    why = "; ".join(f"{recipe.name} {recipe.missing()}" for recipe in ASK_IN_TIME if recipe.missing())
    if not here:
        pytest.skip(why)
    site: GatewaySetup = request.getfixturevalue("site")

    def wait(recipe: Recipe) -> tuple[str, bool, bool]:
        gateway = recipe.start(folder / f"hangs-{recipe.name.replace('/', '-')}", site, silence)
        try:
            asked = time.monotonic()
            answer = gateway.ask("/contact", site.code)
            return recipe.name, answer.status >= 500, time.monotonic() - asked < PROMPT_S
        finally:
            gateway.stop()

    with ThreadPoolExecutor(len(here)) as together:
        assert list(together.map(wait, here)) == [(recipe.name, True, True) for recipe in here]
    if why:
        pytest.skip(why)


class OneAnswer(BaseHTTPRequestHandler):
    """Whatever stands in for authsvc: always this status."""

    status = 503

    def answer(self) -> None:
        self.send_response(self.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Retry-After", "5")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


@pytest.mark.parametrize("recipe", each([recipe for recipe in ALL if recipe.asks]))
def test_whatever_authsvc_answers_instead_of_200_nobody_gets_in(recipe: Recipe, room: Path, site: GatewaySetup) -> None:
    handler = type("Answers", (OneAnswer,), {})
    with serving(handler) as port:
        gateway = recipe.start(room, site, port)
        try:
            seen = {}
            for handler.status in (503, 302, 404, 429, 500, 503):  # type: ignore[attr-defined]
                seen[handler.status] = gateway.ask("/contact", site.code).status  # type: ignore[attr-defined]
        finally:
            gateway.stop()
    assert seen[503] == 503
    assert all(status >= 300 for status in seen.values()), seen


@pytest.mark.parametrize("recipe", each([recipe for recipe in ALL if not recipe.asks]))
def test_those_that_hold_the_keys_do_not_notice_that_authsvc_is_gone(
    recipe: Recipe, room: Path, site: GatewaySetup
) -> None:
    relay = type("Relay", (Relay,), {"source": site.deployment.url})
    tls = site.tls if recipe.title == "mod_auth_openidc" else None
    with serving(relay, tls) as port:
        gateway = recipe.start(room, site, port)
        before = gateway.ask("/contact", site.code).status
    try:
        stranger = site.signed(site.code, site.stranger)
        after = [gateway.ask("/contact", token).status for token in (site.code, site.expired(site.code), stranger)]
    finally:
        gateway.stop()
    assert (before, after) == (200, [200, 401, 401])
