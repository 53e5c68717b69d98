"""One deployment by https for this folder, with a practice, and relying parties of other authors beside it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from authsvc.verifier import Verifier
from tests.harness.https_browser import HttpsBrowser
from tests.harness.https_deployment import PRACTICE, HttpsDeployment, Patient
from tests.interop.portals import Portals, node_programs
from tests.interop.relying_party import Portal, RelyingParty, portal

KINDS = ("public", "confidential", "signing")


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that every user may enter: Apache gives up root before it reads some of its files."""
    made = Path(tempfile.mkdtemp(prefix="authsvc-interop-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="session")
def portals() -> Iterator[Portals]:
    """One with each library; each starts when a test asks for it."""
    portals = Portals()
    yield portals
    portals.stop()


@pytest.fixture(scope="session")
def deployment(folder: Path, portals: Portals) -> Iterator[HttpsDeployment]:
    with HttpsDeployment(folder, portals=portals.fronts) as deployment:
        deployment.store.start()
        deployment.add_practice_with_desk()
        deployment.cli("practices", "set", PRACTICE, "--claims", "email", "--claims", "name")
        deployment.work()
        deployment.serve()
        yield deployment


@pytest.fixture(scope="module")
def verifier(deployment: HttpsDeployment) -> Verifier:
    """What a service of the practice has."""
    return Verifier(deployment.issuer, "practice-services", "maple", jwks_url=f"{deployment.url}/.well-known/jwks.json")


@pytest.fixture(scope="session")
def pages(deployment: HttpsDeployment) -> Iterator[Portal]:
    """The portal that openid-client stands for."""
    with portal(deployment.front.authority) as pages:
        yield pages


@pytest.fixture(scope="session")
def clients(deployment: HttpsDeployment, pages: Portal, folder: Path) -> Iterator[dict[str, RelyingParty]]:
    """openid-client as each kind of client."""
    program = node_programs(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    named = {"kid": "2026-11", "alg": "ES256"}
    public, private = ({**json.loads(ECAlgorithm.to_jwk(half)), **named} for half in (key.public_key(), key))
    (folder / "jwks.json").write_text(json.dumps({"keys": [public]}))
    words = {"public": ["--public"], "confidential": [], "signing": ["--jwks", str(folder / "jwks.json")]}
    with ExitStack() as stack:
        made = {}
        for kind in KINDS:
            at = f"{pages.callback}/{kind}"
            addresses = ["--post-logout-uri", pages.signed_out, "--initiate-login-uri", f"{pages.url}/start/{kind}"]
            addresses += ["--backchannel-logout-uri", f"{pages.hear}/{kind}"]
            allowed = [] if kind == "public" else ["--allow", "tokens:introspect", "--allow", "links:issue"]
            registered = deployment.add_relying_party(kind, at, *addresses, *allowed, *words[kind])
            assert ("client_secret" in registered) == (kind == "confidential")
            made[kind] = RelyingParty(
                program,
                deployment.front.ca,
                issuer=deployment.issuer,
                client_id=kind,
                redirect_uri=at,
                secret=registered.get("client_secret"),
                key=private if kind == "signing" else None,
            )
            stack.callback(made[kind].stop)
        yield made


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, clients: dict[str, RelyingParty]) -> RelyingParty:
    """Each of them."""
    return clients[request.param]


@pytest.fixture
def browser(deployment: HttpsDeployment) -> HttpsBrowser:
    return deployment.browser()


@pytest.fixture
def patient(deployment: HttpsDeployment) -> Patient:
    return deployment.patient()
