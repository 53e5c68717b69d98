"""The pages of the reference that tell of commands, events, metrics and logs say what the code does."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from authsvc import logs, metrics
from authsvc.audit import Event
from authsvc.model import PERMISSIONS
from tests.harness.generators import REFERENCE, generator


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return generator("generate_cli")


def test_the_page_of_the_command_line_says_what_the_commands_do(generate: ModuleType) -> None:
    assert (REFERENCE / "cli.md").read_text() == generate.whole()


def test_every_permission_is_explained_once_above_the_commands() -> None:
    head = (REFERENCE / "cli.md").read_text().partition("<!-- commands -->")[0]
    assert [permission for permission in PERMISSIONS if f"`{permission}`" not in head] == []


def test_the_page_of_events_names_exactly_those_there_are() -> None:
    named = set(re.findall(r"`([a-z]+\.[a-z_]+|limited)`", (REFERENCE / "events.md").read_text()))
    assert named == {event.value for event in Event}


def test_the_page_of_metrics_names_exactly_those_there_are() -> None:
    page = (REFERENCE / "metrics.md").read_text()
    made = {f"authsvc_{name}_total" for name in metrics.EVENTS} | {"authsvc_requests_total", "authsvc_request_seconds"}
    made |= {
        "authsvc_thread_wait_seconds",
        "authsvc_store_seconds",
        "authsvc_redis_clock_offset_seconds",
        "authsvc_outbox_waiting",
    }
    assert set(re.findall(r"^\| `(authsvc_\w+)`", page, re.MULTILINE)) == made
    assert set(re.findall(r"\bauthsvc_\w+", page)) <= made
    for name, event in metrics.EVENTS.items():
        (row,) = re.findall(rf"^\| `authsvc_{name}_total` \|([^|]*)\|", page, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == set(event.labels)


def test_the_page_of_logs_shows_no_field_that_there_is_not() -> None:
    page = (REFERENCE / "logs.md").read_text()
    (shown,) = re.findall(r"```json\n\{(.*)\}\n```", page)
    always = {"at", "level", "log", "event"}
    assert set(re.findall(r'"(\w+)":', shown)) <= always | set(logs.FIELDS)
