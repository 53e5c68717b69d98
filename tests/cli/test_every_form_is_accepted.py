"""No form of the command line is refused whatever an operator does: each command, each of its options and each word of
a closed list is part of some command that ends well."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from authsvc.cli import main
from authsvc.cli.libraries import LIBRARIES
from authsvc.crypto import keys as signing
from authsvc.model import PERMISSIONS
from tests.cli.conftest import Authsvc
from tests.cli.test_cli_nouns import _made, _private_pem
from tests.delivery.mail_hosts import Authority
from tests.delivery.webhook_receiver import receiving
from tests.fakes import FakeClock
from tests.flows.signers import Signer
from tests.harness.cli import CommandResult
from tests.pictures import picture

STAY = frozenset({"demo", "serve", "worker"})
"""Commands that stay until they are ended: `tests/demo`, `test_serve.py` and `test_worker_command.py` try them."""


def offered(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that name it."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from offered(command, *names, name)
        elif command is not None and name not in STAY:
            yield (*names, name), command


COMMANDS = dict(offered(main))


def forms(name: tuple[str, ...], command: click.Command) -> Iterator[str]:
    yield " ".join(name)
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "help":
            words = option.type.choices if isinstance(option.type, click.Choice) else [""]
            yield from (" ".join([*name, option.opts[0], word]).strip() for word in words)


class Operator:
    """Runs commands that must end well, and notes the forms that they have."""

    def __init__(self, authsvc: Authsvc) -> None:
        self.authsvc = authsvc
        self.used: set[str] = set()

    def __call__(self, line: str, *more: str, code: int = 0, **options: object) -> CommandResult:
        words = (*line.split(), *more)
        ran = self.authsvc(*words, **options)
        assert ran.code == code, (words, ran.out, ran.err)
        name = max((name for name in COMMANDS if words[: len(name)] == name), key=len)
        for form in forms(name, COMMANDS[name]):
            option, _, value = form.removeprefix(" ".join(name)).strip().partition(" ")
            at = [place for place, word in enumerate(words) if word == option]
            if not option or (at and not value) or any(words[place + 1] == value for place in at):
                self.used.add(form)
        return ran


def test_every_form_of_every_command_ends_well(
    authsvc: Authsvc, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made(authsvc, settings)
    run = Operator(authsvc)
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    practices(run, tmp_path, authority)
    clients(run, tmp_path)
    patients(run)
    dependents(run)
    keys(run, tmp_path)
    for line in (
        "links list maple --patient p1 --json",
        "links revoke maple --patient p1 --json --reason r",
        "links revoke maple --resource invoice:inv_1",
        "mail log maple --patient p1 --json",
        "mail test maple you@example.org --json",
        "audit tail maple --lines 5 --json --patient p1 --event patient.created --actor cli:anna --by desk.1",
        "audit tail maple --guardian p1",
        "audit tail maple --since 2026-01-01T00:00:00Z --until 2100-01-01T00:00:00Z --after 99",
        "audit verify maple --json",
        "audit export maple --trim --json --reason r --yes",
        "check --json",
        "check --live",
        "redis-acl --user authsvc --cluster --json",
        "openapi --json",
        "practices remove maple --json --reason r --yes",
    ):
        run(line)
    offered_forms = {form for name, command in COMMANDS.items() for form in forms(name, command)}
    assert sorted(offered_forms - run.used - ELSEWHERE) == []


ELSEWHERE = {
    "links revoke --id",  # needs a link, which no command issues: tests/cli/test_cli_nouns.py
    "token inspect",  # needs a token: tests/cli/test_token_inspect.py, with all of its options
    *(f"token inspect {option}" for option in ("--audience", "--practice", "--issuer", "--jwks")),
    # Each name of a library is tried in tests/cli/test_libraries.py.
    *(f"clients {verb} --for {name}" for verb in ("add", "set") for name in LIBRARIES),
}


def practices(run: Operator, folder: Path, authority: Authority) -> None:
    logo = folder / "logo.png"
    logo.write_bytes(picture())
    looks = ("--phone 5550199 --support-email help@maple.example --locale es --time-zone America/Phoenix "
             "--portal-url https://portal.maple.example --link-url https://portal.maple.example/l/{token} "
             "--sender-name Maple --colour #0b5c8a --json --reason r")  # fmt: skip
    run(f"practices add maple --name Maple {looks}")
    run(f"practices set maple --name Maple {looks} --logo {logo} --claims email --claims name")
    run("practices set maple --no-logo --claims", "")
    run("practices rotate-webhook-secret maple --json --reason r")
    with receiving(authority.context()) as receiver:
        run(f"practices set maple --webhook-url {receiver.url} --delivery webhook")
        run("practices webhook-test maple --json")
        assert len(receiver.calls) == 1
    run("practices set maple --delivery email")
    run("practices list --json")
    run("practices storage --recount --json")
    run(f"practices preview maple --out {folder / 'pages'} --json")


def clients(run: Operator, folder: Path) -> None:
    jwks = folder / "jwks.json"
    jwks.write_text(Signer("signer", FakeClock()).jwks())
    addresses = ("--redirect-uri https://app.example/cb --post-logout-uri https://app.example/bye "
                 "--initiate-login-uri https://app.example/open --backchannel-logout-uri https://app.example/out "
                 "--pkce optional --claims email --claims name")  # fmt: skip
    allowed = " ".join(f"--allow {permission}" for permission in sorted(PERMISSIONS))
    run(f"clients add api --practice maple {allowed} --audience maple-api --json --reason r")
    run(f"clients add app --practice maple --auth basic --id-token-alg RS256 {addresses}")
    run(f"clients set app {addresses} --auth post --id-token-alg ES256 --json --reason r")
    run("clients set app --auth basic --pkce required --id-token-alg RS256 --claims", "")
    posts = "--redirect-uri https://post.example/cb --pkce required --id-token-alg ES256"
    run(f"clients add poster --practice maple --auth post {posts}")
    run("clients add open --practice maple --auth none --redirect-uri https://open.example/cb --claims", "")
    run("clients add public --practice maple --public --redirect-uri https://public.example/cb")
    signs = f"--practice maple --allow codes:issue --auth private_key_jwt --jwks {jwks}"
    run(f"clients add signer {signs} --assertion-audience issuer")
    run(f"clients add other {signs} --assertion-audience token-endpoint")
    run("clients set signer --assertion-audience issuer")
    run(f"clients set signer --jwks {jwks} --auth private_key_jwt --assertion-audience token-endpoint")
    run("clients set open --auth none --par --dpop")
    run("clients add bound --practice maple --redirect-uri https://bound.example/cb --par --dpop")
    run("clients add shelf --practice maple --redirect-uri https://shelf.example/cb --for django-allauth")
    run("clients set shelf --for authlib")
    run("clients rotate-secret api --json --reason r")
    run("clients list --json")
    run("clients remove api --json --reason r --yes")


def patients(run: Operator) -> None:
    person = "--email ann@example.org --label Ann --json --reason r"
    run(f"patients add maple p1 --locale es --portal-access {person}")
    run(f"patients grant maple p2 {person}")
    run("patients show maple p1 --json")
    for act in ("unlock", "sign-out"):
        run(f"patients {act} maple p1 --json --reason r")
    run("patients merge maple p2 p1 --json --reason r --yes")
    run("patients withdraw maple p1 --json --reason r --yes")


def dependents(run: Operator) -> None:
    run("patients add maple ann --email ann@example.org --portal-access")
    run("patients add maple leo --label Leo")
    run("patients invite maple ann --locale es --json --reason r")
    run("patients dependents add maple ann leo --until 2099-05-01T00:00:00Z --workflow edit-contact --json --reason r")
    run("patients dependents list maple ann --json")
    run("patients dependents remove maple ann leo --json --reason r")


def keys(run: Operator, folder: Path) -> None:
    brought = folder / "key.pem"
    brought.write_text(_private_pem(signing.generate("ES256")))
    for kind in ("jwks", "pem", "haproxy"):
        run(f"keys export --format {kind} --json")
    run("keys rotate --force --if-older-than 0s --json --reason r")
    run(f"keys import {brought} --json --reason r")
    kid = run("keys list --json").document["keys"][-1]["kid"]
    run(f"keys revoke {kid} --json --reason r --yes")
    run("keys rewrap --json --reason r")
