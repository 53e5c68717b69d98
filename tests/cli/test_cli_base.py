"""How every command behaves."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
import redis

from authsvc import errors
from authsvc.cli import base, main
from authsvc.cli import errors as cli_errors
from authsvc.errors import Fault
from authsvc.store.connection import Connection
from tests.cli.conftest import Authsvc
from tests.fakes import environ
from tests.harness.cli import run_command


def commands(root: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that name it."""
    yield words, root
    if isinstance(root, click.Group):
        ctx = click.Context(root)
        for name in root.list_commands(ctx):
            found = root.get_command(ctx, name)
            assert found is not None
            yield from commands(found, (*words, name))


def test_help_imports_no_framework_and_no_store() -> None:
    script = """
import sys
from authsvc.cli import main
try:
    main(["--help"])
except SystemExit:
    heavy = {"flask", "redis", "jwt", "cryptography", "gunicorn", "marshmallow", "prometheus_client", "jinja2"}
    sys.exit(", ".join(sorted(heavy & set(sys.modules))) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words, command", [pytest.param(*found, id=" ".join(found[0])) for found in commands(main)])
def test_every_command_takes_json_and_says_what_it_does(words: tuple[str, ...], command: click.Command) -> None:
    ctx = click.Context(command)
    assert "--json" in {option for parameter in command.get_params(ctx) for option in parameter.opts}
    assert command.help
    assert all(parameter.help for parameter in command.get_params(ctx) if isinstance(parameter, click.Option))


def test_without_a_command_the_help_is_shown_and_nothing_succeeds() -> None:
    ran = run_command({})
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: authsvc" in ran.err
    assert "Usage: authsvc keys" in run_command({}, "keys").err


def test_help_is_a_success() -> None:
    ran = run_command({}, "keys", "rotate", "--help")
    assert ran.code == 0
    assert "--if-older-than" in ran.out


def test_an_unknown_command_is_wrong_usage() -> None:
    ran = run_command({}, "doors", "open", "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "usage"
    assert "No such command 'doors'" in ran.err


def test_wrong_settings_are_told_all_at_once_without_their_values() -> None:
    ran = run_command({"AUTHSVC_REDIS_URL": "http://hunter2", "AUTHSVC_WROKERS": "4"}, "practices", "list", "--json")
    assert ran.code == 1
    named = {fault["setting"] for fault in ran.document["error"]["faults"]}
    assert {"AUTHSVC_PUBLIC_URL", "AUTHSVC_REDIS_URL", "AUTHSVC_SECRET_KEYS", "AUTHSVC_WROKERS"} <= named
    assert "hunter2" not in ran.out + ran.err
    assert "Traceback" not in ran.err
    assert all(name in ran.err for name in named)


def test_one_wrong_setting_is_told_in_the_singular() -> None:
    ran = run_command(environ(AUTHSVC_WORKERS="many"), "check")
    assert ran.code == 1
    assert "One setting has to be mended" in ran.err


def test_a_store_that_is_away_fails_with_the_cure() -> None:
    ran = run_command(environ(), "practices", "list", "--json")
    assert ran.code == 1
    assert ran.document["error"]["code"] == "unavailable"
    assert "AUTHSVC_REDIS_URL" in ran.err


@pytest.mark.parametrize(
    "cause, said",
    [
        (redis.exceptions.AuthenticationError("WRONGPASS"), "Redis refused the user or the password"),
        (redis.exceptions.NoPermissionError("NOPERM"), "the ACL lacks a command or a key"),
        (redis.ConnectionError("Error -2 connecting: Name or service not known."), "name can't be resolved"),
        (redis.exceptions.OutOfMemoryError("OOM"), "Redis is full"),
    ],
)
def test_why_the_store_cannot_be_used_is_said_in_words(cause: Exception, said: str) -> None:
    def failing(_: object) -> None:
        raise cause

    with pytest.raises(errors.Unavailable) as unavailable:
        Connection(object(), pause=lambda _: None).call(failing)
    assert said in cli_errors.explain(unavailable.value).sentence
    assert "doesn't answer (breaker_open)" in cli_errors.explain(errors.Unavailable("breaker_open")).sentence


def test_with_json_stdout_is_one_document_and_logs_go_to_stderr(authsvc: Authsvc) -> None:
    ran = authsvc("practices", "add", "oak", "--name", "Oak", "--json")
    assert ran.document["id"] == "oak"
    again = authsvc("practices", "add", "oak", "--name", "Oak", "--json")
    assert again.code == 1
    assert again.document["error"]["code"] == "exists"


def test_json_is_taken_before_the_command_as_well(authsvc: Authsvc) -> None:
    assert authsvc("--json", "practices", "list").document == {"practices": []}
    assert authsvc("practices", "--json", "list").document == {"practices": []}


def test_a_fault_of_ours_is_named_by_its_class_and_shown_at_debug_without_secrets(
    authsvc: Authsvc, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    secret = "acs_" + "x" * 43

    def broken() -> None:
        raise RuntimeError(f"cannot use {secret}")

    monkeypatch.setattr("authsvc.cli.practices.open_service", broken)
    ran = authsvc("practices", "list", "--json")
    assert ran.code == 1
    assert "RuntimeError" in ran.document["error"]["detail"]
    assert "cannot use" not in ran.err
    debugging = run_command({**settings, "AUTHSVC_LOG_LEVEL": "debug"}, "practices", "list")
    assert "Traceback" in debugging.err
    assert secret not in debugging.err


def test_an_interrupt_ends_without_a_traceback(authsvc: Authsvc, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("authsvc.cli.practices.open_service", interrupted)
    ran = authsvc("practices", "list")
    assert (ran.code, ran.err.strip()) == (1, "authsvc: Interrupted.")


def test_a_reader_that_reads_no_further_gets_no_traceback(settings: dict[str, str]) -> None:
    script = "import sys\nfrom authsvc.cli import main\nsys.stdout.reconfigure(write_through=True)\nmain(['openapi'])"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **settings},
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_on_a_terminal_a_destructive_act_asks_first(maple: Authsvc, settings: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"n\n")
        done = subprocess.run(
            [sys.executable, "-m", "authsvc", "practices", "remove", "maple"],
            env={**os.environ, **settings},
            stdin=theirs,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert "Remove the practice maple?" in done.stderr
    assert "nothing was done" in done.stderr
    assert [practice["id"] for practice in maple("practices", "list", "--json").document["practices"]] == ["maple"]


def test_without_a_terminal_nothing_is_asked(maple: Authsvc) -> None:
    ran = maple("practices", "remove", "maple", "--json")
    assert (ran.code, ran.document, ran.err) == (0, {"removed": "maple"}, "")


def test_the_actor_is_the_systems_user_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "somebody-else")
    monkeypatch.setenv("LOGNAME", "somebody-else")
    assert base.actor().startswith("cli:")
    assert "somebody-else" not in base.actor()


def test_a_user_without_a_name_is_told_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_294_967_000)
    assert base.actor() == "cli:4294967000"


# --- failures in words --------------------------------------------------------------------------------------------


def _every_error() -> list[errors.AuthsvcError]:
    made = []
    for name, known in vars(errors).items():
        if not isinstance(known, type) or not issubclass(known, errors.AuthsvcError) or known is errors.AuthsvcError:
            continue
        match name:
            case "InvalidInput" | "SettingsInvalid":
                made.append(known(Fault("/email", "has no @")))
            case "UnsafeStep":
                made.append(known("verifiers break", 1_000))
            case "UnknownName":
                made.append(known("practice", "oak"))
            case "TooLarge" | "InvalidCode":
                made.append(known(1))
            case "AuthorizationError":
                made.append(known("https://portal.example/in", "state", "invalid_request", "no code_challenge"))
            case "RateLimited":
                made.append(known(9, ("client-calls",)))
            case "MethodNotAllowed":
                made.append(known(("GET",)))
            case "NotFound" | "LinkUnknown" | "PatientNotFound" | "NoPortalAccess" | "IdempotencyConflict":
                made.append(known())
            case "InvalidScope" | "TokenMissing" | "AlreadyExists" | "NotReplicated":
                made.append(known())
            case _:
                made.append(known("word"))
    return made


@pytest.mark.parametrize("error", _every_error(), ids=lambda error: type(error).__name__)
def test_every_error_has_a_sentence_and_an_exit_code(error: errors.AuthsvcError) -> None:
    failure = cli_errors.explain(error)
    assert failure.exit_code == (3 if isinstance(error, errors.UnsafeStep | errors.StoreLost) else 1)
    assert failure.sentence.endswith((".", "@"))
    assert json.dumps(failure.document())


def test_an_unsafe_step_says_what_breaks_and_from_when_on_it_is_safe() -> None:
    failure = cli_errors.explain(errors.UnsafeStep("verifiers refuse new tokens", 1_795_334_400_001))
    assert failure.exit_code == 3
    assert "verifiers refuse new tokens" in failure.sentence
    assert failure.more["safe_at"] == "2026-11-22T08:00:01Z"
    never = cli_errors.explain(errors.UnsafeStep("this key was revoked", None))
    assert never.more["safe_at"] is None
    assert "Waiting doesn't make it safe" in never.sentence


def test_a_system_error_says_which_file() -> None:
    failure = cli_errors.explain(FileNotFoundError(2, "No such file or directory", "key.pem"))
    assert "No such file or directory (key.pem)" in failure.sentence


@pytest.mark.parametrize(
    "reason, cure",
    [
        ("no_ring_yet", "authsvc serve"),
        ("ring_missing", "--force"),
        ("data_keys_missing", "Restore the store from a copy"),
        ("store_emptied", "to begin anew, stop every `serve` and `worker`"),
        ("damaged", "AUTHSVC_SECRET_KEYS"),
    ],
)
def test_a_ring_that_never_was_one_that_is_lost_and_one_that_is_locked_have_cures_of_their_own(
    reason: str, cure: str
) -> None:
    assert cure in cli_errors.explain(errors.KeysetUnusable(reason)).sentence


@pytest.mark.parametrize(
    "words", [("practices", "list", "M\udce4ple"), ("practices", "add", "maple", "--name", "\udcfc")]
)
def test_attack_an_argument_that_is_not_utf_8_is_wrong_usage_before_anything_is_done(words: tuple[str, ...]) -> None:
    ran = run_command({}, *words, "--json")
    assert (ran.code, ran.document["error"]["code"]) == (2, "usage")
    assert "not UTF-8" in ran.err


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_fault_a_terminal_that_lacks_a_letter_shows_it_escaped_and_the_command_is_done(encoding: str) -> None:
    shown = """import click
from authsvc.cli.base import CommandGroup, RootGroup, print_result
from authsvc.cli import base
base.importlib.import_module = lambda name: __import__(name)
group = RootGroup(name="x", nouns={})
@click.command(cls=base.Command)
def show(): print_result({"name": "Nara \u5948 \u00fc"}, "Nara \u5948 \u00fc")
group.get_command = lambda _ctx, _name: show
group.main()"""
    for more, said in ([], b"Nara "), (["--json"], b'"Nara '):
        ran = subprocess.run(
            [sys.executable, "-c", shown, "show", *more],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=True,
        )
        assert said in ran.stdout
    assert json.loads(ran.stdout) == {"name": "Nara \u5948 \u00fc"}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_fault_a_supervisor_that_closes_the_streams_changes_no_exit_code(closed: str) -> None:
    ran = subprocess.run(["bash", "-c", f'exec "$0" -m authsvc openapi {closed}', sys.executable], capture_output=True)
    assert ran.returncode == 0


def test_an_argument_in_utf_8_is_understood_though_the_locale_says_something_else() -> None:
    assert base._in_utf_8(1, "M\udcc3\udcbcller") == "Müller"


def test_a_table_is_aligned_and_says_when_it_is_empty() -> None:
    assert base.table(("id", "name"), [("a", "Maple"), ("bcd", None)]) == "ID   NAME\na    Maple\nbcd  –"
    assert base.table(("id",), [], "None yet.") == "None yet."


def test_facts_are_aligned_and_said_in_words() -> None:
    assert base.pairs({"id": "maple", "portal_access": True, "phone": ""}) == (
        "id             maple\nportal_access  yes\nphone          –"
    )
    assert base.pairs({}) == ""


def test_nothing_is_asked_where_stdin_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # what Python makes of a descriptor 0 that is closed
    base.confirm("Remove the practice?", yes=False)


def test_without_the_server_extra_the_command_line_says_how_to_get_it() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['click'] = None; import authsvc.cli"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("authsvc: click is missing")
    assert "authsvc[server]" in ran.stderr
