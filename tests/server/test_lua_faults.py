"""Releases of Redis and Valkey whose Lua lets whoever may run scripts take the server over."""

from __future__ import annotations

import pytest

from authsvc.server import preflight


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        *(("redis", version) for version in ("6.2.16", "6.2.19", "7.0.15", "7.2.6", "7.2.10", "7.4.1", "7.4.5")),
        *(("redis", version) for version in ("5.0.14", "8.0.3", "8.2.1", "7.0.99")),
        *(("valkey", version) for version in ("7.2.7", "7.2.10", "8.0.1", "8.0.5", "8.1.3")),
    ],
)
def test_attack_a_release_with_a_known_fault_in_lua_is_warned_of(kind: str, version: str) -> None:
    (found,) = preflight._lua("redis", {f"{kind}_version": version})
    assert found.verdict == preflight.WARNING


@pytest.mark.parametrize(
    ("kind", "version"),
    [
        *(("redis", version) for version in ("6.2.20", "7.2.11", "7.4.6", "8.0.4", "8.2.2", "8.4.0")),
        *(("valkey", version) for version in ("7.2.11", "8.0.6", "8.1.4", "9.0.0")),
    ],
)
def test_a_release_without_known_faults_is_not_warned_of(kind: str, version: str) -> None:
    (found,) = preflight._lua("redis", {f"{kind}_version": version, "redis_version": version})
    assert found.verdict == preflight.OK
