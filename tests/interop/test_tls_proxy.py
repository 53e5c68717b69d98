"""The front that the tests by https stand on."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateways.environment import Heard, serving
from tests.harness.tls_proxy import TlsProxy

pytestmark = pytest.mark.journey


@pytest.fixture
def front(tmp_path: Path) -> Iterator[TlsProxy]:
    with (
        serving(Heard) as port,
        TlsProxy(tmp_path, port, ("auth.localhost",), beside={"evil.auth.localhost": 1}) as front,
    ):
        yield front


def _asked(front: TlsProxy, name: str, headers: dict[str, str], source: str = "127.0.0.1") -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(front.ca))
    line = http.client.HTTPSConnection("localhost", front.port, timeout=30, context=context, source_address=(source, 0))
    try:
        line.request("GET", "/page?q=1", headers={"Host": name, **headers})
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def test_a_request_reaches_the_service_with_its_host_and_the_address_it_came_from(front: TlsProxy) -> None:
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}
    status, body = _asked(front, f"auth.localhost:{front.port}", forged, "127.0.0.7")
    heard = json.loads(body)
    told = {name.lower(): value for name, value in heard["headers"]}
    assert (status, heard["path"], told["host"]) == (200, "/page?q=1", f"auth.localhost:{front.port}")
    assert (told["x-forwarded-for"], told["x-forwarded-proto"]) == ("127.0.0.7", "https")


def test_another_name_may_lead_elsewhere_and_any_unknown_one_reaches_the_service(front: TlsProxy) -> None:
    assert _asked(front, f"evil.auth.localhost:{front.port}", {})[0] == 502  # nobody listens on port 1
    assert _asked(front, "attacker.example", {})[0] == 200
