"""The heads of the Lua files, and the arguments that a script takes."""

from __future__ import annotations

import pytest

from authsvc.store import script_files
from authsvc.store.script_files import Script


def test_an_argument_that_is_missing_or_unknown_is_a_fault_of_ours() -> None:
    with pytest.raises(KeyError):
        Script("patient_get").arguments({})
    known = {"id": "p1", "viewed": "", "limits": [("a policy", "an id", 5, 60, True)]}
    assert Script("patient_get").arguments(known) == ["p1", "", 1, "a policy", "an id", 5, 60, 1]
    with pytest.raises(KeyError, match="stray"):
        Script("patient_get").arguments({**known, "stray": ""})


def test_a_word_that_names_no_argument_is_a_fault_of_ours() -> None:
    with pytest.raises(ValueError, match="no argument of a script"):
        script_files._argument("two words")
