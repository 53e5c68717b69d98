"""The written inventory of keys and primitives names what the code uses."""

from __future__ import annotations

from pathlib import Path

from authsvc.crypto.hashing import PROFILES
from authsvc.crypto.keys import ALGORITHMS
from authsvc.flows.data_keys import PURPOSES

PAGE = (Path(__file__).parents[2] / "docs/explanation/cryptography.md").read_text(encoding="utf-8")
INVENTORY = [line for line in PAGE.splitlines() if line.startswith("|")]


def test_every_data_key_has_a_row_and_no_row_is_of_none() -> None:
    rows = [line.removeprefix("| `").partition("`")[0] for line in INVENTORY if line.startswith("| `") and ":" in line]
    assert sorted(row for row in rows if row not in PROFILES) == sorted(PURPOSES)


def test_every_signature_algorithm_and_hash_profile_is_named() -> None:
    assert all(f"`{name}`" in PAGE for name in (*ALGORITHMS, *PROFILES))
    assert {f"{cost.memory_kib} KiB" for cost in PROFILES.values() if cost.memory_kib < 1024} == {"512 KiB"}
    assert f"{PROFILES['owasp'].memory_kib // 1024} MiB, {PROFILES['owasp'].passes} passes" in PAGE
