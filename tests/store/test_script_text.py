"""What a script's text is made of before it is sent: the same acts, and less to make anew at each call."""

from __future__ import annotations

import pytest

from authsvc.store.script_text import needed, with_arguments, with_values, without_constants, without_helpers


def test_a_variable_is_replaced_and_a_field_that_is_called_alike_is_not() -> None:
    text = "local r = {id = id, ['id'] = 'id'} return r.id .. id"
    assert with_values(text, {"id": "ARGV[5]"}) == "local r = {id = ARGV[5], ['id'] = 'id'} return r.id .. ARGV[5]"
    assert with_values("id = 1 if id == 2 then end", {"id": "x"}) == "x = 1 if x == 2 then end"


def test_a_constant_stands_where_it_is_used() -> None:
    text = "local HOUR_MS = 3600000\nlocal WORD = 'a b'\nlocal TABLE = {1}\nreturn 2 * HOUR_MS, WORD, TABLE"
    assert without_constants(text) == "local TABLE = {1}\nreturn 2 * 3600000, 'a b', TABLE"


def test_the_helpers_stand_where_they_are_called() -> None:
    text = (
        "local call = redis.call\nlocal function int(number)\n  return string.format('%d', number)\nend\n"
        "call('GET', key('patient', a or b))\nreturn int(f(1) + 1), key(name, 1)"
    )
    assert without_helpers(text) == (
        "redis.call('GET', (KEYS[1] .. 'patient:' .. (a or b)))\nreturn string.format('%d', f(1) + 1), key(name, 1)"
    )


def test_arguments_stand_where_they_are_used_unless_another_variable_is_called_alike() -> None:
    text = "local function f(client) return client .. jkt end\nreturn f(client), now + 1, idle_ms - idle_ms"
    assert with_arguments(
        text, {"client": "ARGV[5]", "jkt": "ARGV[6]", "unused": "ARGV[7]"}, {"now": 1, "idle_ms": 8}
    ) == (
        "local client = ARGV[5]\nlocal idle_ms = ARGV[8] + 0\n"
        "local function f(client) return client .. ARGV[6] end\n"
        "return f(client), (ARGV[1] + 0) + 1, idle_ms - idle_ms"
    )


PARTS = """local kept = {}
local function usual() return 1 end
local function unused() return 2 end
local function helper() return kept end
local function rare(a)
  return helper() and rarer(a)
end
for at = 1, 2 do usual() end
"""


def test_what_is_reached_stays_and_what_only_seldom_functions_need_is_made_when_they_are_called() -> None:
    assert (
        needed(PARTS, "return rare(1)", ["rare"])
        == """local kept = {}
local function usual() return 1 end
local function rare(...)
  local function helper() return kept end
  local function rare(a)
    return helper() and rarer(a)
  end
  return rare(...)
end
for at = 1, 2 do usual() end
"""
    )
    assert "rare" not in needed(PARTS, "return helper()", ["rare"])
    assert "local function helper" in needed(PARTS, "return rare(1), helper()", ["rare"]).split("rare(...)")[0]


def test_a_seldom_function_that_is_not_there_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="no function of lua/lib: rarely"):
        needed(PARTS, "return rare(1)", ["rarely"])
