"""What may stand in a log line, and what may not."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import pytest

from authsvc import logs
from authsvc.crypto import mint
from authsvc.text import SECRETS as PREFIXES
from tests.fakes import SeededEntropy

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtYXBsZTpwXzEifQ.c2lnbmF0dXJl"
SECRETS = [
    "al_" + "A1b2" * 10 + "xyz",
    "ala_" + "C3d4" * 10 + "uvw",
    "acs_" + "Zz9-_" * 8 + "abc",
    "art_" + "q" * 43,
    "ach_" + "7" * 27,
    JWT,
    JWT + ".extra",
    "aac_maple." + "B5e6" * 10 + "xyz",
    "alh_" + "D7f8" * 10 + "xyz",
    "whsec_" + "Ab+/" * 10 + "Ab==",
]


@pytest.fixture
def streams(loggers: None) -> tuple[io.StringIO, io.StringIO]:
    err, out = io.StringIO(), io.StringIO()
    logs.configure("debug", stream=err, audit_stream=out)
    return err, out


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_instant_level_logger_and_event(
    streams: tuple[io.StringIO, io.StringIO],
) -> None:
    logging.getLogger("authsvc.web").info("request", extra={"route": "/livez", "status": 200, "ms": 1.5})
    (line,) = _lines(streams[0])
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "info",
        "log": "authsvc.web",
        "event": "request",
        "route": "/livez",
        "status": 200,
        "ms": 1.5,
    }


def test_an_instant_is_rfc_3339_in_utc_with_milliseconds() -> None:
    assert logs.instant(0.0) == "1970-01-01T00:00:00.000Z"
    assert logs.instant(1_795_334_400.25) == "2026-11-22T08:00:00.250Z"
    assert logs.instant(1_795_334_400.5) == "2026-11-22T08:00:00.500Z"


def test_a_field_that_is_not_on_the_list_is_dropped(streams: tuple[io.StringIO, io.StringIO]) -> None:
    logging.getLogger("authsvc").warning("sent", extra={"email": "a@b.example", "code": "123456", "practice": "maple"})
    (line,) = _lines(streams[0])
    assert "email" not in line
    assert "code" not in line
    assert line["practice"] == "maple"


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_scrubbed_from_message_field_and_traceback(
    secret: str, streams: tuple[io.StringIO, io.StringIO]
) -> None:
    log = logging.getLogger("some.library")
    try:
        raise ValueError(f"cannot parse {secret!r}")
    except ValueError:
        log.exception("bad token %s\n%s", secret, secret, extra={"reason": secret, "policy": [secret]})
    text = streams[0].getvalue()
    assert secret not in text
    assert secret[8:30] not in text
    (line,) = _lines(streams[0])
    assert line["error"] == "ValueError"
    assert "Traceback" in line["trace"]


@pytest.mark.parametrize(
    "text, gone",
    [
        ("Authorization: Basic bWFwbGU6c2VjcmV0", "bWFwbGU6c2VjcmV0"),
        ("authorization: bearer abcdef.ghijkl", "abcdef.ghijkl"),
        ("cannot reach redis://app:hunter2@redis:6379/0", "hunter2"),
        ('{"code": "123456"}', "123456"),
        ("OTP=654321 for you", "654321"),
        ("to <anna.o'neil@example.org> refused", "neil@example.org"),
        ("to jörg@bücher.example", "jörg@bücher.example"),
        ("/p/maple/sign-in?login_hint=anna%40example.org&x=1", "anna%40example"),
        ("next=%2Fsign-in%3Flogin_hint%3Danna%2540example.org", "anna%2540example"),
        ('to "hanako."@ezweb.example', "hanako"),
        ("next=%2Fp%2Fmaple%2Fl%2Fal_SzVq1xTgzfg3YLUK", "SzVq1xTgzfg3YLUK"),
        ("Authorization=Basic%20bWFwbGU6c2VjcmV0", "bWFwbGU6c2VjcmV0"),
        ("code%3D123456", "123456"),
        ("https://token-only@redis.example/0", "token-only"),
    ],
)
def test_credentials_codes_and_addresses_are_scrubbed(text: str, gone: str) -> None:
    assert gone not in logs.scrub(text)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_kind_of_secret_that_is_minted_is_known_to_the_log(prefix: str) -> None:
    secret = mint.token(SeededEntropy(), prefix)
    assert logs.scrub(f"refused ({secret})") == f"refused ({prefix}[redacted])"


def test_a_cut_through_a_secret_leaves_no_half_of_it(streams: tuple[io.StringIO, io.StringIO]) -> None:
    secret = "al_" + "S" * 43
    for before in range(7_900, 8_050, 7):
        try:
            raise ValueError(f"{secret} {'x' * before}")
        except ValueError:
            logging.getLogger("authsvc").exception("failed")
    assert "SSSSSSSS" not in streams[0].getvalue()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "-eyJ",
            "eyJa",
            "eyJa-",
            "a@",
            "al_a",
            "://a:",
            "://@",
            "Basic ",
            "Bearer\t",
            "code ",
            "code%3D",
            "%40",
            "%2540",
        ),
        *('"a', "a.", "_", "é@", "+", "Basic+", "1"),
    ],
)
def test_attack_no_text_makes_scrubbing_take_more_than_its_length(text: str) -> None:
    """Growth, not speed: eight times the text may cost twenty times as much (64 times, were it quadratic)."""

    def cost_s(chars: int) -> float:
        evil = (text * chars)[:chars]
        return min(_seconds(lambda: logs.scrub(evil)) for _ in range(3))

    assert cost_s(64_000) < 20 * max(cost_s(8_000), 0.0005)


def _seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


@pytest.mark.parametrize("text", ["code_spent", "decode error", "authsvc:{@keys}:ring", "ring 123456 of 7", "basic"])
def test_ordinary_words_stay_as_they_are(text: str) -> None:
    assert logs.scrub(text) == text


@pytest.mark.parametrize("evil", ["a\r\nb", "\x1b[31mred", "x\u2028y", "x\u2029y", "nul\x00", "\u202eflip", "\ud800"])
def test_an_attacker_cannot_forge_a_line_or_colour_a_terminal(
    evil: str, streams: tuple[io.StringIO, io.StringIO]
) -> None:
    logging.getLogger("authsvc").info(evil, extra={"inbound_request_id": evil})
    text = streams[0].getvalue()
    assert text.isascii()
    assert text.count("\n") == 1
    assert all(character.isprintable() or character == "\n" for character in text)
    assert _lines(streams[0])[0]["inbound_request_id"] == evil


def test_an_endless_text_is_cut(streams: tuple[io.StringIO, io.StringIO]) -> None:
    logging.getLogger("authsvc").info("x" * 10_000, extra={"reason": "y" * 10_000})
    assert len(streams[0].getvalue()) < 4_200


def test_the_trail_goes_to_its_own_stream_and_nowhere_else(streams: tuple[io.StringIO, io.StringIO]) -> None:
    entry = {"practice": "maple", "patient": "p_1", "seq": 7, "reason": "al_" + "x" * 43, "email": "a@b.example"}
    logging.getLogger(logs.AUDIT).info("code.verified", extra=entry)
    assert streams[0].getvalue() == ""
    (line,) = _lines(streams[1])
    assert line["log"] == "authsvc.audit"
    assert line["event"] == "code.verified"
    assert (line["practice"], line["patient"], line["seq"]) == ("maple", "p_1", 7)
    assert "x" * 43 not in line["reason"]
    assert "email" not in line


def _members_of_entries() -> set[str]:
    page = (Path(__file__).parents[1] / "docs/reference/events.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `[a-z]+[`.][^|\n]*\|[^|\n]*\|([^|\n]*)\|$", page, re.MULTILINE)
    # Behind a colon stand the values of a member; after a semicolon comes the next one.
    return {name for row in rows for part in row.split(";") for name in re.findall(r"`(\w+)`", part.partition(":")[0])}


def test_every_fact_of_an_audit_entry_reaches_the_log_line(streams: tuple[io.StringIO, io.StringIO]) -> None:
    members = _members_of_entries()
    assert members > {"patient", "jti", "newest", "instead_of", "master", "cost", "cause", "entries"}
    logging.getLogger(logs.AUDIT).info("any.event", extra=dict.fromkeys(members, "x"))
    (line,) = _lines(streams[1])
    assert members <= line.keys()


def test_a_patient_is_named_in_the_trail_only(streams: tuple[io.StringIO, io.StringIO]) -> None:
    logging.getLogger("authsvc.web").info("request", extra={"patient": "p_1"})
    assert "p_1" not in streams[0].getvalue()


def test_without_a_stream_the_trail_is_silent(loggers: None, capsys: pytest.CaptureFixture[str]) -> None:
    err = io.StringIO()
    logs.configure("info", stream=err)
    logging.getLogger(logs.AUDIT).info("key_rotated")
    assert err.getvalue() == ""
    assert capsys.readouterr().out == ""


def test_by_default_lines_go_to_stderr_and_lesser_levels_nowhere(
    loggers: None, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("warning")
    logging.getLogger("authsvc").info("quiet")
    logging.getLogger("authsvc").warning("loud")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [json.loads(line)["event"] for line in captured.err.splitlines()] == ["loud"]


class _FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_counted_and_fails_nothing(loggers: None) -> None:
    lost: list[int] = []
    logs.configure("info", stream=_FullDisk(), lost=lambda: lost.append(1))
    logging.getLogger("authsvc").info("request")
    logs.configure("info", stream=_FullDisk())
    logging.getLogger("authsvc").info("request")
    assert lost == [1]


def _log_to_a_pipe(loggers: None, lost: list[int]) -> tuple[int, TextIO]:
    """What reads and what writes; nothing is read yet."""
    reading, writing = os.pipe()
    stream = os.fdopen(writing, "w")
    logs.configure("info", stream=stream, lost=lambda: lost.append(1))
    return reading, stream


def test_fault_a_reader_that_stands_still_stops_no_act_and_costs_counted_lines(loggers: None) -> None:
    lost: list[int] = []
    reading, stream = _log_to_a_pipe(loggers, lost)
    log = logging.getLogger("authsvc")
    for number in range(3_000):  # far more than a pipe and the backlog hold; on a blocking stream this never ends
        log.info("request", extra={"entries": number, "reason": "x" * 200})
    assert lost
    threading.Thread(target=lambda: (logging.getLogger().handlers[0].flush(), stream.close())).start()
    with os.fdopen(reading, encoding="ascii") as reader:
        lines = [json.loads(line) for line in reader]
    assert len(lines) + len(lost) == 3_000
    assert [line["entries"] for line in lines] == sorted(line["entries"] for line in lines)


def test_a_reader_that_was_slow_for_a_moment_loses_nothing_and_a_long_line_stays_whole(loggers: None) -> None:
    lost: list[int] = []
    reading, stream = _log_to_a_pipe(loggers, lost)
    for number in range(600):
        logging.getLogger("authsvc").info("request", extra={"entries": number, "reason": "y" * (2_000 * (number % 2))})
    try:
        raise ValueError("z" * 7_900)
    except ValueError:
        logging.getLogger("authsvc").exception("last")
    threading.Thread(target=lambda: (logging.getLogger().handlers[0].flush(), stream.close())).start()
    with os.fdopen(reading, encoding="ascii") as reader:
        lines = [json.loads(line) for line in reader]
    assert lost == []
    assert [line.get("entries") for line in lines] == [*range(600), None]


def test_fault_a_reader_that_went_away_costs_counted_lines(loggers: None) -> None:
    lost: list[int] = []
    reading, stream = _log_to_a_pipe(loggers, lost)
    os.close(reading)
    logging.getLogger("authsvc").info("request")
    assert lost == [1]
    stream.close()


def test_a_value_of_another_type_is_written_as_its_text(streams: tuple[io.StringIO, io.StringIO]) -> None:
    logging.getLogger("authsvc").info("x", extra={"address": ("127.0.0.1", 80), "reason": None, "status": True})
    line = _lines(streams[0])[0]
    assert (line["address"], line["reason"], line["status"]) == ("('127.0.0.1', 80)", None, True)
