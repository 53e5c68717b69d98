"""Where mail goes when it shall not leave the machine: a folder, the terminal, the demo's inbox.

All three show codes to whoever looks, so production refuses them (the settings do, and `sender_for` once more).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from authsvc.delivery.compose import Composer
from authsvc.errors import DeliveryDeferred
from authsvc.model import Message


class FileSink:
    """One `.eml` a message in a folder, named by instant and id: a repeated delivery writes the same file again."""

    def __init__(self, folder: Path, composer: Composer) -> None:
        self._folder = folder
        self._composer = composer

    def send(self, message: Message) -> str:
        """Written whole or not at all: who watches the folder never reads half a mail."""
        mail = self._composer.compose(message)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=".", suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(mail.as_bytes())
                os.replace(name, self._folder / f"{message.queued_at_ms}-{message.id}.eml")
            except OSError:
                os.unlink(name)
                raise
        except OSError as error:
            raise DeliveryDeferred(f"folder not writable: {type(error).__name__}") from None
        return "written"


class ConsoleSink:
    """The text of each message, on a terminal."""

    def __init__(self, stream: TextIO, composer: Composer) -> None:
        self._stream = stream
        self._composer = composer

    def send(self, message: Message) -> str:
        mail = self._composer.compose(message)
        self._stream.write(f"--- To: {mail.to.addr_spec}\nSubject: {mail.subject}\n\n{mail.text}\n")
        self._stream.flush()
        return "shown"


class InboxSink:
    """Each message as JSON to `append`, which keeps the latest (the demo's inbox page reads them)."""

    def __init__(self, append: Callable[[str], None], composer: Composer) -> None:
        self._append = append
        self._composer = composer

    def send(self, message: Message) -> str:
        mail = self._composer.compose(message)
        shown = {
            "id": message.id,
            "practice": message.practice.id,
            "kind": message.kind,
            "at_ms": message.queued_at_ms,
            "from": mail.sender,
            "to": mail.to.addr_spec,
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
        }
        self._append(json.dumps(shown, ensure_ascii=False))
        return "shown"
