"""How much of a record a script unpacks."""

from __future__ import annotations

import redis

from authsvc.store.script_records import expanded, with_fields_used

FIELDS = "local R = fields{'one', 'two', 'three', 'four'}\n"


def only_read(lines: str) -> str:
    """Without the function that packs, as where the script doesn't reach it."""
    unpack, _, _ = expanded(FIELDS).partition("local function R_pack")
    return with_fields_used(f"{unpack}{expanded(lines)}")


def test_what_no_line_mentions_stays_packed_in_records_of_every_version(redis_client: redis.Redis) -> None:
    code = only_read("local r = R.unpack(ARGV[1])\nreturn {r.one, r['three'], r.four and 'more' or 'no more'}")
    assert "'two'" not in code
    code = only_read("local r = R.unpack(ARGV[1])\nreturn {r.one, r['three']}")
    for text, values in (
        ("a\nb\nc\nd", ["a", "c"]),
        ("a\nb\nc\nd\ne", ["a", "c"]),
        ("a", ["a", ""]),
        ("", ["", ""]),
    ):
        assert redis_client.eval(code, 0, text) == values


def test_a_record_that_is_packed_again_is_unpacked_whole() -> None:
    code = expanded(FIELDS + "local r = R.unpack(ARGV[1])\nr.one = 'x'\nreturn R.pack(r)")
    assert with_fields_used(code) == code


def test_of_a_record_that_need_only_be_there_the_first_field_is_unpacked(redis_client: redis.Redis) -> None:
    code = only_read("return R.unpack(ARGV[1]) and 'there' or 'gone'")
    assert code.count("[^") == 1
    assert redis_client.eval(code, 0, "a\nb") == "there"
