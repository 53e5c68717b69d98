"""The servers that store tests run against are the ones that the documents promise."""

from __future__ import annotations

import redis

from tests.conftest import server_binary
from tests.harness.machine import require


def test_the_wheel_brings_a_server_for_this_machine() -> None:
    assert server_binary("valkey")


def test_a_redis_server_of_this_machine_is_tested_too() -> None:
    require("redis-server")
    assert server_binary("redis")


def test_a_store_url_leads_to_an_empty_real_server(store_url: str) -> None:
    with redis.Redis.from_url(store_url, decode_responses=True) as client:
        assert client.dbsize() == 0
        assert client.set("left", "behind")


def test_nothing_is_left_behind_for_the_next_test(redis_client: redis.Redis) -> None:
    assert redis_client.dbsize() == 0
