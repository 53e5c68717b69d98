"""Calls to the service as its callers make them: every one has a time-out, and how it ended is a word or a status."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.resilience.patience import stretched

HANG_S = 12.0  # no answer for this long is a hang


@dataclass(frozen=True)
class Answer:
    """`status` 0: there was none; `word` says why (`refused`, `reset`, `hang`)."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    word: str = ""
    took_s: float = 0.0

    def header(self, name: str) -> str:
        return ", ".join(value for key, value in self.headers if key.lower() == name.lower())

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    @property
    def seen(self) -> str:
        return self.word or str(self.status)


@dataclass(frozen=True)
class Observed:
    """One call, as it is counted."""

    at: float
    practice: str
    act: str
    seen: str
    took_s: float

    @property
    def began(self) -> float:
        return self.at - self.took_s


class Observations:
    """Everything that callers saw. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.all: list[Observed] = []

    def add(self, practice: str, act: str, answer: Answer) -> None:
        with self._lock:
            self.all.append(Observed(time.monotonic(), practice, act, answer.seen, answer.took_s))

    def counts(self, only: Callable[[Observed], bool] = lambda seen: True) -> Counter[str]:
        with self._lock:
            return Counter(seen.seen for seen in self.all if only(seen))

    def of(self, *words: str) -> list[Observed]:
        with self._lock:
            return [seen for seen in self.all if seen.seen in words]


def call(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout_s: float | None = None,
) -> Answer:
    """One request over a connection of its own. Never raises for what the network does."""
    parts = urlsplit(url)
    started = time.monotonic()
    line = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s or stretched(HANG_S))
    word = ""
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        line.request(method, target, body, dict(headers or {}))
        got = line.getresponse()
        content = got.read()
        return Answer(got.status, got.getheaders(), content, took_s=time.monotonic() - started)
    except TimeoutError:
        word = "hang"
    except ConnectionRefusedError:
        word = "refused"
    except (OSError, http.client.HTTPException):
        word = "reset"
    finally:
        line.close()
    return Answer(0, word=word, took_s=time.monotonic() - started)


@dataclass(frozen=True)
class Client:
    """A practice service with its secret. `urls`: one or several instances, taken in turn."""

    urls: tuple[str, ...]
    practice: str
    id: str
    secret: str
    observed: Observations | None = None

    @property
    def authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{self.id}:{self.secret}".encode()).decode()

    def url(self) -> str:
        return self.urls[time.monotonic_ns() // 1000 % len(self.urls)]

    def request(self, act: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        answer = call(method, self.url() + path, headers, body)
        if "html" in headers.get("Accept", "") and answer.status >= 500 and "html" not in answer.header("Content-Type"):
            answer = replace(answer, word=f"{answer.status} as JSON")
        if self.observed is not None:
            self.observed.add(self.practice, act, answer)
        return answer

    def api(self, act: str, method: str, path: str, key: str = "", **members: Any) -> Answer:
        """`path` below the practice; `key` is an Idempotency-Key."""
        headers = {"Authorization": self.authorization}
        if key:
            headers["Idempotency-Key"] = key
        body = None
        if members:
            headers["Content-Type"] = "application/json"
            body = json.dumps(members).encode()
        return self.request(act, method, f"/v1/practices/{self.practice}/{path}", headers, body)

    def post(self, act: str, path: str, key: str = "", **members: Any) -> Answer:
        return self.api(act, "POST", path, key, **members)

    def oauth(self, act: str, path: str, **fields: str) -> Answer:
        headers = {"Authorization": self.authorization, "Content-Type": "application/x-www-form-urlencoded"}
        return self.request(act, "POST", f"/oauth2/{path}", headers, urlencode(fields).encode())

    def introspect(self, token: str) -> Answer:
        return self.oauth("introspect", "introspect", token=token)

    def get(self, act: str, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """A GET of the service itself, without the client's credentials."""
        return self.request(act, "GET", path, headers or {}, None)
