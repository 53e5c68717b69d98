"""The heads of the Lua files, and the arguments that a script takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from authsvc.model import Bucket
from authsvc.store import script_files
from authsvc.store.script_files import Script


def test_an_argument_that_is_missing_or_unknown_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        Script("patient_get").arguments({})
    known = {"id": "p1", "viewed": "", "limits": [Bucket("policy", "of", 7, 60), Bucket("policy", "of", 5, 60, False)]}
    assert Script("patient_get").arguments(known) == [
        *("p1", "", 2),
        *("policy", "policy:of", 8572, 60004, "policy 7 60"),
        *("policy", "policy:of", 12000, 60000, ""),
    ]
    with pytest.raises(KeyError, match="stray"):
        Script("patient_get").arguments({**known, "stray": ""})


def test_a_word_that_names_no_argument_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="no argument of a script"):
        script_files._argument("two words")


def test_a_record_with_more_fields_than_a_pattern_captures_is_a_fault_of_ours() -> None:
    names = ", ".join(f"'f{at}'" for at in range(32))
    with pytest.raises(ValueError, match="BIG has more fields"):
        script_files.expanded(f"local BIG = fields{{{names}}}")


def test_a_script_is_sent_with_what_it_uses_of_its_parts_and_nothing_else() -> None:
    source = Script("session_state").source
    assert "local function is_alive" in source
    for unused in ("local function record(", "local function int(", "SLACK_MS", "-- "):
        assert unused not in source


def test_a_record_keeps_the_fields_of_a_newer_version_and_takes_those_of_an_older_one(
    redis_client: redis.Redis,
) -> None:
    code = script_files.expanded(
        "local R = fields{'one', 'until'}\nlocal r = R.unpack(ARGV[1])\nr.one = 1790000000000\nreturn R.pack(r)"
    )
    for text, packed in (
        ("a\nb\nc\nd", "1790000000000\nb\nc\nd"),
        ("a\nb", "1790000000000\nb"),
        ("", "1790000000000\n"),
    ):
        assert redis_client.eval(code, 0, text) == packed


def test_once_all_are_loaded_no_script_needs_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [file.name.removesuffix(".lua") for file in script_files.LUA.iterdir() if file.name.endswith(".lua")]
    script_files.load_all()
    monkeypatch.setattr(script_files, "LUA", tmp_path)
    assert all(script_files.script(name).source for name in names)
