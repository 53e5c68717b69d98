"""A worker of `serve` that may open no file descriptor more: what needs one is 503, and it recovers by itself."""

from __future__ import annotations

import http.client
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from authsvc.demo.embedded import StoreServer
from tests.conftest import server_binary
from tests.fakes import environ
from tests.server.serving import Serving, select_nothing

RECOVERS_WITHIN_S = 20.0


@pytest.fixture
def store() -> Iterator[StoreServer]:
    running = StoreServer(server_binary("valkey"), append_only=False)
    running.start()
    try:
        yield running
    finally:
        running.discard()


def worker_of(serving: Serving) -> int:
    pid = serving.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def test_fault_serve_few_descriptors(store: StoreServer, tmp_path: Path) -> None:
    serving = Serving(environ(store.url), tmp_path, "--workers", "1")
    try:
        worker = worker_of(serving.answers().acts())
        line = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=20)
        line.request("GET", "/livez")  # connected before descriptors run out
        assert line.getresponse().read()
        before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (1, before[1]))
        with redis.Redis.from_url(store.url) as client:
            client.client_kill_filter(_type="normal", skipme=True)  # every connection to Redis has to be made anew
        for path, expected in (("/readyz", 503), ("/p/maple/sign-in", 503), ("/livez", 200)):
            line.request("GET", path, headers={"Accept": "text/html"})
            answer = line.getresponse()
            answer.read()
            assert answer.status == expected, path
            assert expected == 200 or int(answer.headers["Retry-After"]) > 0
        resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
        ends_s = time.monotonic() + RECOVERS_WITHIN_S
        while True:
            line.request("GET", "/readyz")
            answer = line.getresponse()
            answer.read()
            if answer.status == 200:
                break
            assert time.monotonic() < ends_s
            select_nothing(0.02)
        line.close()
    finally:
        serving.end()
    reasons = {json.loads(text).get("reason") for text in serving.err.read_text().splitlines()}
    assert "descriptors_exhausted" in reasons
    assert '"error"' not in serving.err.read_text(), "no fault of ours is logged"
