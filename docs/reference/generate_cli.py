"""Writes the commands into `cli.md` from the commands themselves. Run it after changing one:

    python docs/reference/generate_cli.py

A test compares what it would write with what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from authsvc.cli import main

CLI_MD = Path(__file__).with_name("cli.md")
MARK = "<!-- commands -->\n"
EVERYWHERE = {"--json": "[--json]", "--reason": "[--reason TEXT]", "--yes": "[--yes]", "--help": ""}
"""Told once, above the commands."""


def commands() -> str:
    """Every command under its noun: how it is written, what it does, what its options mean."""
    return "\n".join(_noun(name, command) for name, command in _below(main))


def whole() -> str:
    """The page with its commands as they are now."""
    head, mark, _ = CLI_MD.read_text(encoding="utf-8").partition(MARK)
    return f"{head}{mark}\n{commands()}"


def _below(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is not None:
            yield name, command


def _noun(name: str, command: click.Command) -> str:
    if not isinstance(command, click.Group):
        return f"## {name}\n\n{_command(f'authsvc {name}', command)}"
    parts = [f"## {name}\n\n{command.help}\n"]
    parts += [f"### {words}\n\n{_command(f'authsvc {words}', below)}" for words, below in _verbs(name, command)]
    return "\n".join(parts)


def _verbs(name: str, group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """The commands of a noun; those of a noun within it too."""
    for verb, command in _below(group):
        if isinstance(command, click.Group):
            yield from _verbs(f"{name} {verb}", command)
        else:
            yield f"{name} {verb}", command


def _command(written: str, command: click.Command) -> str:
    ctx = click.Context(command)
    shown = [parameter for parameter in command.params if not EVERYWHERE.keys() & set(parameter.opts)]
    common = {option for parameter in command.get_params(ctx) for option in parameter.opts} & EVERYWHERE.keys()
    usage = [
        written,
        *(_written(parameter, ctx) for parameter in shown),
        *(EVERYWHERE[each] for each in sorted(common)),
    ]
    lines = ["```", " ".join(filter(None, usage)), "```", "", " ".join(str(command.help).split()), ""]
    options = [each for each in shown if isinstance(each, click.Option)]
    lines += [f"- {_named(option, ctx)}: {option.help}{_default(option)}" for option in options]
    return "\n".join(lines + [""] * bool(options))


def _written(parameter: click.Parameter, ctx: click.Context) -> str:
    if isinstance(parameter, click.Argument):
        name = parameter.make_metavar(ctx)
        return name if parameter.required or name.startswith("[") else f"[{name}]"
    said = _plain(parameter, ctx) + ("…" if parameter.multiple else "")
    return said if parameter.required else f"[{said}]"


def _named(option: click.Option, ctx: click.Context) -> str:
    return f"`{_plain(option, ctx)}`"


def _plain(parameter: click.Parameter, ctx: click.Context) -> str:
    flag = isinstance(parameter, click.Option) and parameter.is_flag
    return parameter.opts[0] if flag else f"{parameter.opts[0]} {parameter.make_metavar(ctx)}"


def _default(option: click.Option) -> str:
    return f" Default: {option.default}." if option.show_default else ""


if __name__ == "__main__":
    CLI_MD.write_text(whole(), encoding="utf-8")
