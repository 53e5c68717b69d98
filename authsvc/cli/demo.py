"""`authsvc demo`: everything on this machine, to be tried in a browser."""

from __future__ import annotations

import click

from authsvc.cli.base import Command
from authsvc.server import signals


@click.command(cls=Command)
@click.option("--port", type=click.IntRange(1, 65_535), metavar="PORT", help="Of the page; another if it is taken.")
@click.pass_context
def demo(ctx: click.Context, port: int | None) -> None:
    """Run everything on this machine, with an inbox and a sample practice. Ctrl-C ends it."""
    signals.install()
    from authsvc.demo import launcher

    ctx.exit(launcher.run(port))
