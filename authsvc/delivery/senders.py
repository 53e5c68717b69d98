"""Which sender a mail URL means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO
from urllib.parse import unquote, urlsplit

from authsvc.config.load import Settings
from authsvc.delivery.compose import Composer
from authsvc.delivery.mail_host import Host
from authsvc.delivery.oauth import AccessToken
from authsvc.delivery.sinks import ConsoleSink, FileSink, InboxSink
from authsvc.delivery.smtp import EmailSender
from authsvc.errors import Fault, SettingsInvalid
from authsvc.ports import Clock, Sender


def sender_for(
    settings: Settings,
    clock: Clock,
    *,
    inbox: Callable[[str], None] | None = None,
    stream: TextIO | None = None,
) -> Sender:
    """The sender of channel `email`. For any number of threads.

    `inbox` takes what `inbox:` shows, `stream` what `console:` does (stderr if not given: stdout carries the trail).
    Raises SettingsInvalid for a sink that this environment may not have, or an authority's file that can't be read.
    """
    url = urlsplit(settings.mail_url)
    composer = Composer(settings.mail_from)
    if url.scheme in ("smtp", "smtps"):
        host = Host.of_url(settings.mail_url)
        if settings.mail_oauth_url and not host.user:
            raise _fault("must name the mailbox that AUTHSVC_MAIL_OAUTH_URL gets tokens for: smtp://USER@host")
        try:
            return EmailSender(
                host,
                composer,
                clock,
                development=not settings.production,
                token=AccessToken(settings.mail_oauth_url, clock) if settings.mail_oauth_url else None,
                patience_s=settings.mail_patience_s,
            )
        except OSError:
            raise _fault("the file that ?ca= names can't be read, or holds no certificate") from None
    if settings.production:
        raise _fault("must be smtp:// or smtps:// in production")
    if url.scheme == "file":
        return FileSink(Path(unquote(url.path)), composer)
    if url.scheme == "console":
        return ConsoleSink(stream or sys.stderr, composer)
    if url.scheme == "inbox" and inbox is not None:
        return InboxSink(inbox, composer)
    raise _fault("names a sink that this process doesn't have")


def _fault(detail: str) -> SettingsInvalid:
    return SettingsInvalid(Fault("AUTHSVC_MAIL_URL", detail))
