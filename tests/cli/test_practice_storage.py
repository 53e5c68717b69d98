"""What each practice keeps of what it may, as an operator sees it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.cli.conftest import Authsvc
from tests.harness.cli import run_command


@contextmanager
def bounded(settings: dict[str, str]) -> Iterator[Any]:
    """A client of the store, whose maxmemory is taken back at the end."""
    with redis.Redis.from_url(settings["AUTHSVC_REDIS_URL"]) as client:
        try:
            yield client
        finally:
            client.config_set("maxmemory", "0")


def test_what_each_practice_keeps_is_shown_and_may_be_counted_anew(maple: Authsvc, settings: dict[str, str]) -> None:
    assert maple("patients", "grant", "maple", "p1", "--email", "ann@example.org").code == 0
    (shown,) = maple("practices", "storage", "--json").document["practices"]
    assert (shown["id"], shown["limit_bytes"]) == ("maple", 4 * 2**30)
    assert shown["used_bytes"] > 1800
    with redis.Redis.from_url(settings["AUTHSVC_REDIS_URL"]) as client:
        client.delete("authsvc:{maple}:storage")
    assert maple("practices", "storage", "--json").document["practices"][0]["used_bytes"] == shown["used_bytes"] - 1800
    assert maple("practices", "storage", "--recount", "--json").document["practices"] == [shown]
    assert maple("practices", "storage").out.splitlines()[1].split() == ["maple", "0.0", "MiB", "4.0", "GiB", "0%"]


def test_attack_a_practice_that_is_full_is_refused_at_the_command_line_too(
    maple: Authsvc, settings: dict[str, str]
) -> None:
    with bounded(settings) as client:
        client.set("authsvc:{maple}:storage", "stays 60000000")
        client.config_set("maxmemory", "100mb")
        refused = maple("patients", "grant", "maple", "p1", "--email", "ann@example.org", "--json")
    assert (refused.code, refused.document["error"]["code"]) == (1, "storage-full")
    assert "authsvc practices storage" in refused.document["error"]["detail"]


def test_live_says_which_practices_are_nearly_full_and_whether_all_could_fill_the_store(
    maple: Authsvc, settings: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "limits.toml").write_text('[storage]\npractice_storage = "3 MiB"\n')
    small = {"AUTHSVC_LIMITS_FILE": str(tmp_path / "limits.toml")}

    def told(**more: str) -> list[str]:
        return [
            f"{finding['verdict']}: {finding['detail']}"
            for finding in run_command({**settings, **more}, "check", "--live", "--json").document["findings"]
            if finding["name"] == "storage"
        ]

    with bounded(settings) as client:
        assert told() == ["warning: each of 1 practices may keep 4.0 GiB, and Redis has no maxmemory: set one"]
        client.config_set("maxmemory", "100mb")
        assert told() == ["ok: each of 1 practices may keep 50.0 MiB, of 100.0 MiB that Redis may take"]
        client.set("authsvc:{maple}:storage", f"stays {2_900_000}")
        assert told(**small)[0].startswith("warning: maple keeps 2.8 MiB, 92% of what it may")
        maple("practices", "add", "oak", "--name", "Oak Clinic")
        maple("practices", "add", "elm", "--name", "Elm Clinic")
        (sentence,) = told()
        assert sentence.startswith(
            "warning: each of 3 practices may keep 50.0 MiB: together they could fill the 100.0 MiB"
        )
        assert sentence.endswith("up to practice_storage = 33.3 MiB they can't")
