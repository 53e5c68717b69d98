"""How every command behaves: --json, exit codes, confirmation, and who the audit names.

With `--json` stdout is exactly one JSON document, for success and failure alike (`{"error": {"code", "detail", …}}`);
logs and the sentence for people go to stderr. Without it, results go to stdout and everything else to stderr. Nothing
asks for confirmation unless stdin is a terminal, and nothing prints colours.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pwd
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from authsvc.cli.errors import explain
from authsvc.config import environment

if TYPE_CHECKING:
    from authsvc import model
    from authsvc.wiring import Service

JSON = click.Option(["--json"], is_flag=True, expose_value=False, help="Answer with one JSON document on stdout.")


@dataclass(frozen=True)
class OutputMode:
    """How this run answers."""

    json: bool = False


class Command(click.Command):
    """A command; takes --json as all do. No option is short, so that `-x` is an id: kids and patients may begin like
    that."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except click.NoSuchOption as unknown:
            if unknown.option_name.startswith("--"):
                raise
        ctx.ignore_unknown_options = True
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), JSON]


class CommandGroup(click.Group):
    """The commands of one noun."""

    command_class = Command

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), JSON]


class RootGroup(CommandGroup):
    """`authsvc` itself: finds a noun's module when it is named, and turns every error into an exit code."""

    def __init__(self, *, nouns: Mapping[str, str], **settings: Any) -> None:
        super().__init__(**settings)
        self._nouns = nouns

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self._nouns)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = self._nouns.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = "authsvc",
        *_: Any,
        **extra: Any,
    ) -> NoReturn:
        """Run one command and exit as DESIGN's table says. Each of our errors becomes one clear sentence."""
        words = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in words
        extra.pop("standalone_mode", None)
        _print_whatever_there_is()
        try:
            words = [_in_utf_8(number, word) for number, word in enumerate(words, start=1)]
            code = super().main(words, prog_name, standalone_mode=False, obj=OutputMode(as_json), **extra)
        except Exception as error:  # noqa: BLE001 - the one place where an error becomes an exit code
            _fail(error, as_json)
        sys.exit(code if isinstance(code, int) else 0)  # an int: --help, or a command that ended by ctx.exit


def _in_utf_8(number: int, word: str) -> str:
    """Bytes that Python couldn't decode come in as lone surrogates, and would break whatever they are written into.
    They may be UTF-8 all the same, where the locale says something else."""
    try:
        return os.fsencode(word).decode() if re.search("[\ud800-\udfff]", word) else word
    except UnicodeError:
        raise click.UsageError(f"Argument {number} is not UTF-8; which encoding does this terminal use?") from None


def _print_whatever_there_is() -> None:
    """A letter that the terminal doesn't know is escaped: nothing that was done may look as if it had failed. A stream
    that is closed leads to nowhere: else the next file or socket that is opened would get what is written to it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(error: Exception, as_json: bool) -> NoReturn:
    failure = explain(error)
    if failure.code == "internal" and os.environ.get("AUTHSVC_LOG_LEVEL") == "debug":
        from authsvc.logs import scrub

        click.echo(scrub("".join(traceback.format_exception(error))), err=True, nl=False)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(failure.sentence, err=True)
    else:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"authsvc: {failure.sentence}", err=True)
    if as_json:
        click.echo(json.dumps(failure.document(), indent=2))
    sys.exit(failure.exit_code)


def print_result(document: object, text: str | Callable[[], str]) -> None:
    """The answer of a command: `document` with --json, else `text`."""
    if output_mode().json:
        utf_8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        click.echo(json.dumps(document, indent=2, ensure_ascii=not utf_8))
    else:
        click.echo(text if isinstance(text, str) else text())


def note(sentence: str) -> None:
    """A remark beside the answer: to stderr, so that it never mixes with what a script reads."""
    click.echo(sentence, err=True)


def output_mode() -> OutputMode:
    found = click.get_current_context().find_root().obj
    return found if isinstance(found, OutputMode) else OutputMode()


def table(head: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "None.") -> str:
    """Rows as aligned text under their heads; `empty` when there are none."""
    cells = [[_word(cell) for cell in row] for row in rows]
    if not cells:
        return empty
    widths = [max(len(row[index]) for row in [list(head), *cells]) for index in range(len(head))]
    lines = [[name.upper() for name in head], *cells]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def pairs(facts: Mapping[str, object]) -> str:
    """Facts as aligned `name  value` lines."""
    width = max((len(name) for name in facts), default=0)
    return "\n".join(f"{name.ljust(width)}  {_word(value)}" for name, value in facts.items())


def _word(value: object) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value in (None, "") else str(value)


def confirm(question: str, yes: bool) -> None:
    """Asks before what can't be undone, if there is a person to ask; click.Abort ends the command otherwise."""
    interactive = (
        sys.stdin is not None and sys.stdin.isatty()
    )  # None: some supervisors start programs with stdin closed
    if interactive and not yes:
        click.confirm(question, abort=True, err=True)


def actor() -> str:
    """Who the audit names: the system user, as the kernel knows it, since USER and LOGNAME can be set to anything."""
    uid = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # containers often run as a number without a name
        return f"cli:{uid}"


def open_service(*, writes: bool = False) -> Service:
    """The service as every process has it, with this process's logs on stderr. Raises SettingsInvalid; for a command
    that `writes` also StoreLost, KeysetUnusable and Unavailable: what goes into a store without its keys is lost."""
    from authsvc import logs, wiring

    settings, catalogue, limits = environment.load()
    logs.configure("debug" if settings.log_level == "debug" else "warning")
    service = wiring.bootstrap(settings, catalogue, limits)
    if writes:
        service.signing_keys.check_store()
        service.practice_storage.read_maxmemory()
    return service


def act_in(service: Service, practice_id: str, reason: str = "") -> model.RequestContext:
    """An operator's act in a practice. Raises UnknownName."""
    return service.act(service.practices.known(practice_id), None, reason=reason, actor=actor())


reason_option = click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the audit.")
yes_option = click.option("--yes", is_flag=True, help="Don't ask, even on a terminal.")
