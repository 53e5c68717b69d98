"""Where mail goes when it stays on the machine, and which sender a mail URL means."""

from __future__ import annotations

import io
import json
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from authsvc.config import load as config
from authsvc.delivery.compose import Composer
from authsvc.delivery.senders import sender_for
from authsvc.delivery.sinks import ConsoleSink, FileSink, InboxSink
from authsvc.delivery.smtp import EmailSender
from authsvc.errors import DeliveryDeferred, DeliveryRefused, SettingsInvalid
from tests.delivery.messages import QUEUED_MS, message
from tests.fakes import FakeClock, environ

COMPOSER = Composer("no-reply@mail.example")


def ignore(mail: str) -> None:
    """An inbox that nobody looks into."""


def settings(mail_url: str, **more: str) -> config.Settings:
    return config.load(environ(AUTHSVC_MAIL_URL=mail_url, **more))


def in_production(mail_url: str) -> config.Settings:
    """As if the settings' own check had been passed by."""
    checked = settings("inbox:")
    return config.Settings(**{**vars(checked), "env": "production", "mail_url": mail_url})


# --- file ---------------------------------------------------------------------------------------------------------


def test_each_message_is_one_file_and_a_duplicate_is_the_same_file(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "mails"
    sink = FileSink(folder, COMPOSER)
    assert sink.send(message()) == "written"
    sink.send(message())
    (file,) = folder.iterdir()
    assert file.name == f"{QUEUED_MS}-{message().id}.eml"
    assert file.stat().st_mode & 0o777 == 0o600, "it holds a code"
    assert message_from_bytes(file.read_bytes(), policy=default)["To"] == "anna@example.org"


def test_a_folder_that_can_not_be_made_defers(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeliveryDeferred, match="folder not writable"):
        FileSink(tmp_path / "file" / "mails", COMPOSER).send(message())


def test_half_a_mail_is_never_left_behind(tmp_path: Path) -> None:
    (tmp_path / f"{QUEUED_MS}-{message().id}.eml").mkdir()
    with pytest.raises(DeliveryDeferred, match="folder not writable: IsADirectoryError"):
        FileSink(tmp_path, COMPOSER).send(message())
    assert [each.name for each in tmp_path.iterdir()] == [f"{QUEUED_MS}-{message().id}.eml"]


# --- console, inbox -----------------------------------------------------------------------------------------------


def test_the_console_shows_the_text() -> None:
    stream = io.StringIO()
    assert ConsoleSink(stream, COMPOSER).send(message()) == "shown"
    shown = stream.getvalue()
    assert shown.startswith("--- To: anna@example.org\nSubject: Your sign-in code from Maple Clinic\n\nHello,\n")
    assert "\n042917\n" in shown


def test_a_terminal_is_sent_no_escape_sequences() -> None:
    stream = io.StringIO()
    with pytest.raises(DeliveryRefused):
        ConsoleSink(stream, COMPOSER).send(message(to="anna\x1b[2J@example.org"))
    assert stream.getvalue() == ""


def test_the_inbox_gets_all_that_a_page_shows() -> None:
    mails: list[str] = []
    assert InboxSink(mails.append, COMPOSER).send(message("link", locale="es")) == "shown"
    mail = json.loads(mails[0])
    assert mail["id"] == message().id
    assert (mail["practice"], mail["kind"], mail["at_ms"]) == ("maple", "link", QUEUED_MS)
    assert mail["from"] == "Maple Clinic <no-reply@mail.example>"
    assert mail["to"] == "anna@example.org"
    assert mail["subject"] == "Un enlace para usted de Maple Clinic"
    assert message("link").url in mail["text"].splitlines()
    assert mail["html"].startswith("<!doctype html>")


# --- which one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, kind",
    [
        ("smtp://127.0.0.1:2525", EmailSender),
        ("smtps://user:secret@mail.example", EmailSender),
        ("file:///tmp/some%20mails", FileSink),
        ("console:", ConsoleSink),
        ("inbox:", InboxSink),
    ],
)
def test_the_mail_url_says_where_mail_goes(url: str, kind: type, clock: FakeClock) -> None:
    assert type(sender_for(settings(url), clock, inbox=ignore)) is kind


def test_the_console_is_the_stream_that_was_given(clock: FakeClock) -> None:
    stream = io.StringIO()
    sender_for(settings("console:"), clock, stream=stream).send(message())
    assert "042917" in stream.getvalue()


def test_an_inbox_that_nobody_reads_is_refused(clock: FakeClock) -> None:
    with pytest.raises(SettingsInvalid, match="AUTHSVC_MAIL_URL"):
        sender_for(settings("inbox:"), clock)


@pytest.mark.parametrize("url", ["file:///tmp/mails", "console:", "inbox:"])
def test_production_has_no_sink_that_shows_codes(url: str, clock: FakeClock) -> None:
    with pytest.raises(SettingsInvalid, match="in production"):
        sender_for(in_production(url), clock, inbox=ignore)


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_an_authority_that_can_not_be_read_is_refused_at_start(
    content: bytes | None, tmp_path: Path, clock: FakeClock
) -> None:
    ca = tmp_path / "ca.pem"
    if content is not None:
        ca.write_bytes(content)
    with pytest.raises(SettingsInvalid, match="ca="):
        sender_for(settings(f"smtps://mail.example?ca={ca}"), clock)
