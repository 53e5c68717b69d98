"""One site for the gateways of this folder, and each gateway started when a test first asks for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.delivery.mail_hosts import Authority
from tests.gateways.environment import ISSUER, GatewaySetup, Heard, Relay, serving
from tests.gateways.recipes import Gateway, Recipe
from tests.harness.deployment import Deployment

Start = Callable[[Recipe], Gateway]


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that every user may enter: nginx and Apache give up root before they read some of their files."""
    made = Path(tempfile.mkdtemp(prefix="authsvc-gateways-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def site(folder: Path) -> Iterator[GatewaySetup]:
    own = folder / "site"
    own.mkdir()
    # The shortest safe times, so that a rotation is safe within a test.
    with Deployment(
        own, AUTHSVC_PUBLIC_URL=ISSUER, AUTHSVC_JWKS_MAX_AGE_S="30 s", AUTHSVC_JWKS_SLACK_S="10 s"
    ) as deployment:
        deployment.store.start()
        deployment.add_practice()
        deployment.serve()
        relay = type("Relay", (Relay,), {"source": deployment.url})
        authority = Authority(own)
        with serving(Heard) as service_port, serving(relay, authority.context()) as tls_port:
            yield GatewaySetup(deployment, service_port, tls_port, authority)


@pytest.fixture(scope="session")
def start(site: GatewaySetup, folder: Path) -> Iterator[Start]:
    """Runs a recipe against the site; once for each."""
    running: dict[str, Gateway] = {}

    def started(recipe: Recipe) -> Gateway:
        if recipe.name not in running:
            running[recipe.name] = recipe.start(folder / recipe.name.replace("/", "-"), site)
        return running[recipe.name]

    yield started
    for gateway in running.values():
        gateway.stop()
