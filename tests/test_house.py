"""The house rules that a program can check. (Import contracts are checked by `make check`, in setup.cfg's words.)"""

from __future__ import annotations

import ast
import configparser
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc.cli import main as command_line
from tests.harness.machine import tracked_files

ROOT = Path(__file__).parents[1]
LONGEST = 250
LONGER_FOR_A_REASON = {
    "authsvc/verifier.py": "one file on purpose, so that other services can read or vendor it whole",
}

# Put together here, so that this file doesn't name them either.
PACKAGE_HOSTS = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
        ("maven", "org"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
]
MACHINE_PATHS = re.compile(r"(?<![\w.}])/(?:work|root|home/\w+|opt/wheels|Users/\w+)/")


def _texts() -> dict[str, str]:
    texts = {}
    for name in tracked_files():
        try:
            texts[name] = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
    return texts


TEXTS = _texts()


def test_no_file_names_a_package_host() -> None:
    found = [(name, host) for name, text in TEXTS.items() for host in PACKAGE_HOSTS if host in text]
    assert found == []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    found = [(name, match[0]) for name, text in TEXTS.items() if (match := MACHINE_PATHS.search(text))]
    assert found == []


def test_nothing_is_left_to_be_done_later() -> None:
    words = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|pragma: no" + r" cover)\b")
    found = [name for name, text in TEXTS.items() if name.endswith((".py", ".lua", ".html")) and words.search(text)]
    assert found == []


def test_a_file_tells_one_story() -> None:
    long = {
        name: lines
        for name, text in TEXTS.items()
        if name.startswith("authsvc/") and name.endswith(".py") and (lines := text.count("\n")) > LONGEST
    }
    assert long.keys() <= LONGER_FOR_A_REASON.keys(), long


def test_every_exception_to_the_length_is_still_needed() -> None:
    assert all(TEXTS[name].count("\n") > LONGEST for name in LONGER_FOR_A_REASON)


def test_names_that_say_nothing_are_avoided() -> None:
    empty = {"utils", "helpers", "common", "services", "core", "manager", "secrets", "http"}
    found = [name for name in TEXTS if name.startswith("authsvc/") and empty & {*Path(name).with_suffix("").parts}]
    assert found == []


def test_every_lua_file_says_what_its_arguments_are() -> None:
    scripts = {name: text for name, text in TEXTS.items() if name.endswith(".lua")}
    assert scripts
    assert [name for name, text in scripts.items() if not text.startswith("--")] == []


# --- words ---------------------------------------------------------------------------------------------------------

PRIVATE_WORDS = frozenset(
    "asked asking bearers bell brake declined described follow follower given hinted kept keeper keyring landing"  # noqa: SIM905 - a list to be read
    " mailroom manner manners notation pressed proving refusals ring said seams seen sheets slip told trail trails"
    " trouble vault wording".split()
)
"""Words that mean something to those who wrote the first edition only: in no name of a module, class or function."""

PRIVATE_NAMES = frozenset(
    "acts answers bodies browsers calls credentials edge entered failures figures findings flags"  # noqa: SIM905 - a list to be read
    " grant grants handle inspection issuing kinds light logouts look looks not_ours paper peers press relying"
    " shapes signins site stands starts targets visits walk".split()
)
"""Words that are fine as a part of a longer name (`site_audit`), and say too little alone."""

NAMES_WITH_A_REASON = {
    "authsvc/cli/patients.py:grant": "`authsvc patients grant` is a command that automation relies on",
    "authsvc/flows/patients.py:grant": "what that command does: a practice grants access to its portal",
}

SOURCES = {name: ast.parse(text) for name, text in TEXTS.items() if re.fullmatch(r"authsvc/.*\.py", name)}


def _names(path: str, tree: ast.Module) -> Iterator[str]:
    """The names of a module and of every class, function and method in it, in words: `not_ours` for `NotOurs`."""
    yield from Path(path).with_suffix("").parts[1:]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", node.name).lower().strip("_")


def _private(name: str) -> bool:
    return name in PRIVATE_NAMES or not PRIVATE_WORDS.isdisjoint(name.split("_"))


def test_modules_classes_and_functions_have_names_that_a_stranger_would_look_for() -> None:
    found = {f"{path}:{name}" for path, tree in SOURCES.items() for name in _names(path, tree) if _private(name)}
    assert found >= NAMES_WITH_A_REASON.keys(), "an exception that is not needed any more"
    assert sorted(found - NAMES_WITH_A_REASON.keys()) == []


def test_so_have_the_modules_and_classes_of_the_tests() -> None:
    found = []
    for path, text in TEXTS.items():
        if re.fullmatch(r"tests/.*\.py", path) and path != "tests/browser/walk.py":  # a walk through the demo
            classes = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
            names = [
                Path(path).stem.removeprefix("test_"),
                *(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", one) for one in classes),
            ]
            found += [f"{path}:{name}" for name in names if _private(name.lower().strip("_"))]
    assert found == []


# --- walls ---------------------------------------------------------------------------------------------------------

SCRIPTS = frozenset(Path(name).stem for name in TEXTS if name.endswith(".lua"))


def _store_words(tree: ast.Module) -> Iterator[str]:
    """What a use case must not know: names of scripts, keys of Redis, fields of one letter."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="run"), args=[ast.Constant(value=str(name)), *_]) if name in SCRIPTS:
                yield f"the script {name!r}"
            case ast.Constant(value=str(text)) if text.startswith("authsvc:{"):
                yield f"the key {text!r}"
            case ast.alias(name="site_prefix" | "practice_prefix" as name):
                yield f"keys by {name}()"
            case ast.Subscript(slice=ast.Constant(value=str(field))) if len(field) == 1:
                yield f"the field {field!r}"
            case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(field)), *_]) if len(field) == 1:
                yield f"the field {field!r}"
            case ast.Dict(keys=keys):
                fields = [key.value for key in keys if isinstance(key, ast.Constant)]
                yield from (f"the field {field!r}" for field in fields if isinstance(field, str) and len(field) == 1)


def test_no_use_case_names_a_script_a_redis_key_or_a_field_of_one_letter() -> None:
    found = {path: [*_store_words(tree)] for path, tree in SOURCES.items() if path.startswith("authsvc/flows/")}
    assert {path: words for path, words in found.items() if words} == {}


# --- what the documents promise ------------------------------------------------------------------------------------


def test_every_make_target_in_the_documents_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", TEXTS["Makefile"], re.MULTILINE))
    assert {"help", "demo", "test", "check", "bench", "clean"} <= targets
    for name, text in TEXTS.items():
        if name.endswith(".md"):
            named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", text, re.MULTILINE))
            assert {first or second for first, second in named} <= targets, name


def test_every_command_in_the_documents_exists() -> None:
    known = set(command_line.list_commands(None))  # type: ignore[arg-type]  # the names need no context
    for name, text in TEXTS.items():
        if name.endswith(".md"):
            shell = "\n".join(re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
            named = set(re.findall(r"^(?:\$ )?(?:docker compose exec authsvc )?authsvc ([a-z-]+)", shell, re.MULTILINE))
            named |= set(re.findall(r"`authsvc (?!link id)([a-z-]+)", text))  # that one labels a hash
            assert named <= known, name


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith(".md")])
def test_links_between_documents_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", TEXTS[name]):
        assert ((ROOT / name).parent / target).exists(), target


def test_ci_runs_the_readmes_test_command() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert "make test" in TEXTS[".ci/run"]
    assert "make test" in TEXTS["README.md"]


# --- requirements --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TEXTS if re.fullmatch(r"requirements/\w+\.txt", name)])
def test_every_requirement_is_locked_by_hash(name: str) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", re.sub(r"^\s*#.*\n", "", TEXTS[name], flags=re.MULTILINE).strip())
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,-]+\])?==[\w.]+", entry), entry
        assert "--hash=sha256:" in entry, entry


def test_the_locks_hold_everything_that_the_extras_ask_for() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    asked: dict[str, set[str]] = {}
    for extra, lines in setup["options.extras_require"].items():
        needs = [line for line in lines.splitlines() if line and not line.startswith(("#", "authsvc["))]
        asked[extra] = {re.split(r"[\[<>=!~ ]", need)[0].lower().replace("_", "-") for need in needs}
    locks = {"server": ["server"], "demo": ["server", "demo"], "test": ["server", "demo", "test", "lint"]}
    for lock, extras in locks.items():
        locked = set(re.findall(r"^([a-z0-9._-]+)(?:\[.*\])?==", TEXTS[f"requirements/{lock}.txt"], re.MULTILINE))
        for extra in extras:
            assert asked[extra] <= locked, (lock, extra)
