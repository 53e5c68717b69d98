"""Every command, with and without --json: exit code, stdout, stderr. A deployment of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.wire.cases_api import code_in
from tests.wire.processes import free_port, until
from tests.wire.provision import EVERYTHING, Signer, allow, picture
from tests.wire.recorder import ClientSecret, Recorder

COMMANDS = (
    "demo",
    "serve",
    "worker",
    "check",
    "keys",
    "keys export",
    "keys import",
    "keys list",
    "keys revoke",
    "keys rewrap",
    "keys rotate",
    "clients",
    "clients add",
    "clients list",
    "clients remove",
    "clients rotate-secret",
    "clients set",
    "practices",
    "practices add",
    "practices list",
    "practices preview",
    "practices remove",
    "practices set",
    "patients",
    "patients grant",
    "patients merge",
    "patients show",
    "patients sign-out",
    "patients unlock",
    "patients withdraw",
    "links",
    "links list",
    "links revoke",
    "mail",
    "mail log",
    "mail test",
    "audit",
    "audit export",
    "audit tail",
    "audit verify",
    "token",
    "token inspect",
    "redis-acl",
    "openapi",
)


class Commands:
    """Runs commands and keeps what later ones need."""

    def __init__(self, r: Recorder) -> None:
        self.r = r
        self.tokens: dict[str, Any] = {}
        self.desk = ClientSecret("desk")

    def say(self, line: str, **more: Any) -> Any:
        """One command as a line of words; a word in quotes may hold spaces."""
        words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", line)]
        return self.r.command("", *words, **more)

    def both(self, line: str, **more: Any) -> Any:
        """Without --json and with it."""
        self.say(line, **more)
        return self.say(f"{line} --json", **more)

    def refused(self, line: str, **more: Any) -> Any:
        """With --json: the sentence for people is on stderr then."""
        return self.say(f"{line} --json", **more)


def usage_cases(r: Recorder) -> Iterator[tuple[str, Any]]:
    """Without a store."""
    yield "help", lambda: [r.command("", *command.split(), "--help") for command in ("", *COMMANDS)]
    yield "wrong usage", lambda: wrong_usage(Commands(r))


def settings_cases(r: Recorder) -> Iterator[tuple[str, Any]]:
    c = Commands(r)
    yield "settings", lambda: settings(c)
    yield "before the first start", lambda: before_the_first_start(c)


def registry_cases(r: Recorder) -> Iterator[tuple[str, Any]]:
    """Without a service: practices and clients."""
    c = Commands(r)
    yield "practices", lambda: practices(c)
    yield "clients", lambda: clients(c)


def cases(r: Recorder) -> Iterator[tuple[str, Any]]:
    """With a running service: patients, links, mail, tokens, keys, trails."""
    c = Commands(r)
    for run in (
        first_start,
        patients,
        traffic,
        patients_again,
        links,
        mail,
        tokens,
        keys,
        audit,
        removals,
        processes,
    ):
        yield run.__name__.replace("_", " "), lambda run=run: run(c)


def wrong_usage(c: Commands) -> None:
    c.both("")
    for line in (
        "--version",
        "dance",
        "keys",
        "keys dance",
        "clients add",
        "clients add desk",
        "clients add desk --practice maple",
        "clients add desk --practice maple --allow dance",
        "clients add Desk --practice maple --allow codes:issue",
        "clients set desk",
        "practices add",
        "practices add maple",
        "practices add Maple --name x",
        "practices add maple --name ''",
        "practices set maple",
        "patients grant maple ann",
        "patients grant maple 'a b' --email a@example.org",
        "patients merge maple ann ann",
        "links list maple",
        "links revoke maple",
        "links revoke maple --id x --patient y",
        "links revoke maple --resource Invoice",
        "audit tail @nothing",
        "audit tail maple --lines 0",
        "audit tail maple --lines many",
        "keys rotate --if-older-than soon",
        "keys revoke 'a b'",
        "keys import /nowhere.pem",
        "keys export --format xml",
        "serve --workers 0",
        "serve --bind nowhere",
        "worker --metrics nowhere",
        "demo --port 0",
        "redis-acl --user 'a b'",
        "check --live extra",
    ):
        c.refused(line)
    c.say("keys list --json --json")
    c.say("--json keys list")
    c.say("keys --json list")


def settings(c: Commands) -> None:
    """`check`, and what every command says to settings that are wrong."""
    nothing = {name: None for name in c.r.deployment.environ if name.startswith("AUTHSVC_")}
    for label, environ in {
        "none": nothing,
        "wrong": {
            "AUTHSVC_PUBLIC_URL": "ftp://x/",
            "AUTHSVC_SECRET_KEYS": "changeme",
            "AUTHSVC_CODE_LIFE_S": "1 h",
            "AUTHSVC_WORKERS": "none",
            "AUTHSVC_MAIL_URL": "http://x",
            "AUTHSVC_MAIL_FROM": "nobody",
            "AUTHSVC_REDIS_URL": "redis://:hidden@x:y",
            "AUTHSVC_TRUSTED_PROXIES": "0.0.0.0/0",
            "AUTHSVC_COLOUR": "red",
            "AUTHSVC_PUBLIC_URI": "http://x",
        },
        "production": {"AUTHSVC_ENV": "production"},
        "that don't fit": {
            "AUTHSVC_RESEND_AFTER_S": "300",
            "AUTHSVC_CODE_LIFE_S": "60",
            "AUTHSVC_GUESS_BOUND": "0.0001",
        },
        "twice": {"AUTHSVC_PUBLIC_URL_FILE": "/dev/null"},
        "in a file that isn't there": {"AUTHSVC_CONFIG": "/nowhere.toml"},
        "limits that aren't there": {"AUTHSVC_LIMITS_FILE": "/nowhere.toml", "AUTHSVC_WORKFLOWS_FILE": "/nowhere.toml"},
    }.items():
        for words in (("check",), ("check", "--json")):
            c.r.command(f"{label}: {' '.join(words)}", *words, environ=environ)
    c.r.command("none: practices list", "practices", "list", "--json", environ=nothing)
    c.r.command("none: serve", "serve", environ=nothing)
    c.r.command("none: worker", "worker", "--json", environ=nothing)
    c.r.command("none: openapi", "openapi", "--json", environ=nothing)
    c.r.command("none: redis-acl", "redis-acl", environ=nothing)
    folder = c.r.deployment.folder
    (folder / "bad.toml").write_text(
        '[pay-invoice]\nsecurity = "instant"\nscopes = ["invoices:view"]\ncolour = "red"\n'
    )
    (folder / "limits.toml").write_text('[policies]\nissue-address = "many"\nnothing = "1 per s"\n[dance]\n')
    bad = {"AUTHSVC_WORKFLOWS_FILE": str(folder / "bad.toml"), "AUTHSVC_LIMITS_FILE": str(folder / "limits.toml")}
    for words in (("check",), ("check", "--json")):
        c.r.command(f"catalogue and limits: {' '.join(words)}", *words, environ=bad)
    (folder / "authsvc.toml").write_text('code_life_s = "5 min"\nmail_from = "no-reply@file.example"\n')
    by_file = {"AUTHSVC_CONFIG": str(folder / "authsvc.toml"), "AUTHSVC_MAIL_FROM": None}
    c.r.command("by file: check", "check", "--json", environ=by_file)
    c.both("check")
    c.both("redis-acl")
    c.both("redis-acl --user svc --cluster")
    c.both("openapi")


def before_the_first_start(c: Commands) -> None:
    for line in (
        "check --live",
        "keys list",
        "keys rotate",
        "keys export",
        "practices list",
        "clients list",
        "audit verify",
        "audit tail @site",
        "practices preview maple",
        "patients show maple ann",
        "links list maple --patient ann",
        "mail log maple --patient ann",
        "mail test maple a@example.org",
        "audit export maple",
        "clients add desk --practice maple --allow codes:issue",
    ):
        c.refused(line)


def practices(c: Commands) -> None:
    folder = c.r.deployment.folder
    (folder / "logo.png").write_bytes(picture())
    (folder / "not-a-logo.png").write_bytes(b"GIF89a")
    whole = "--name 'Maple Clinic' --phone '+1 480 555 0100' --support-email help@maple.example "
    whole += "--sender-name 'The Desk' --portal-url https://portal.wire.test/ --locale es "
    whole += "--link-url https://portal.wire.test/l/{token} "
    whole += "--time-zone America/Phoenix --colour #0b5c8a --reason 'signed up'"
    c.say(f"practices add maple {whole}")
    c.say("practices add oak --name Oak --json")
    c.both("practices add oak --name Oak")
    for line in (
        "--portal-url http://portal.example",
        "--portal-url javascript:alert(1)",
        "--link-url https://x.example/open",
        "--link-url https://x.example/?t={token}",
        "--locale de",
        "--locale ??",
        "--time-zone Mars/Olympus",
        "--colour red",
        "--colour #abc",
        "--support-email nobody",
        "--support-email é@example.org",
        "--name '=?utf-8?q?x?='",
        "--name " + "x" * 101,
        f"--logo {folder}/not-a-logo.png",
        "--logo /nowhere.png",
        f"--logo {folder}/logo.png --no-logo",
    ):
        c.refused(f"practices set oak {line}")
    for line in (
        "--name 'Oak Street'",
        "--phone 123",
        "--portal-url http://localhost:5000/",
        "--portal-url ''",
        "--link-url ''",
        "--time-zone Europe/Madrid",
        "--colour #ffe600",
        f"--logo {folder}/logo.png",
        "--no-logo",
        "--colour '' --support-email ''",
    ):
        c.say(f"practices set oak {line} --json")
    c.say("practices set oak --sender-name Oaks --reason 'as they asked'")
    c.refused("practices set nobody --name x")
    c.both("practices list")
    c.both("practices preview oak --out preview")
    files = sorted(path for path in (folder / "preview").rglob("*") if path.is_file())
    c.r.note("files of the preview", [str(path.relative_to(folder)) for path in files])
    for path in files:
        if path.suffix == ".html" and path.stem in ("index", "en-sign-in", "es-sign-in", "en-code", "es-session"):
            c.r.note(str(path.relative_to(folder)), c.r.values.html(path.read_text()))


def clients(c: Commands) -> None:
    folder = c.r.deployment.folder
    signer = Signer("signer", c.r.deployment.public_url)
    (folder / "signer.json").write_text(signer.jwks())
    (folder / "not-keys.json").write_text('{"keys": [{"kty": "oct", "k": "AAAA"}]}')
    portal = "--redirect-uri https://portal.wire.test/back --post-logout-uri https://portal.wire.test/bye"
    c.say("clients add teller --practice maple --allow codes:issue --allow links:issue --reason 'for the desk'")
    made = c.say(f"clients add desk --practice * --json {' '.join(allow(*EVERYTHING))}")
    c.desk = ClientSecret("desk", made.document["client_secret"])
    c.say("clients add billing --practice maple --practice oak --allow links:issue --audience billing-service --json")
    c.say(f"clients add portal --practice maple {portal} --json")
    c.say("clients add app --practice maple --public --redirect-uri https://app.wire.test/back")
    c.say("clients add app2 --practice maple --public --redirect-uri https://app.wire.test/back --json")
    c.both(f"clients add signer --practice maple --redirect-uri https://s.wire.test/back --jwks {folder}/signer.json")
    for line in (
        "add desk --practice maple --allow codes:issue",
        "add x1 --practice nobody --allow codes:issue",
        "add x1 --practice maple --practice * --redirect-uri https://x.example/",
        "add x1 --practice maple --redirect-uri http://x.example/",
        "add x1 --practice maple --redirect-uri https://x.example/#here",
        "add x1 --practice maple --redirect-uri https://x.example/* --redirect-uri x",
        "add x1 --practice maple --post-logout-uri https://x.example/ --allow codes:issue",
        "add x1 --practice maple --public --allow codes:issue",
        f"add x1 --practice maple --public --redirect-uri https://x.example/ --jwks {folder}/signer.json",
        f"add x1 --practice maple --redirect-uri https://x.example/ --jwks {folder}/not-keys.json",
        "add x1 --practice maple --redirect-uri https://x.example/ --jwks /nowhere.json",
        "add practice-services --practice maple --allow codes:issue",
        "add x1 --practice maple --allow codes:issue --audience revocations",
        "add x1 --practice maple --allow codes:issue --audience 'a b'",
        "set nobody --redirect-uri https://x.example/",
        "set desk --post-logout-uri https://x.example/",
        "set portal --redirect-uri ''",
        "rotate-secret nobody",
        "rotate-secret app",
        "remove nobody",
    ):
        c.refused(f"clients {line}")
    told = "--redirect-uri https://portal.wire.test/back --backchannel-logout-uri http://127.0.0.1:9/x"
    c.both(f"clients set portal {told}")
    c.say("clients set portal --initiate-login-uri https://portal.wire.test/open --post-logout-uri '' --json")
    c.say("clients rotate-secret teller --reason 'once a year'")
    c.say("clients rotate-secret teller --json")
    c.both("clients list")


def first_start(c: Commands) -> None:
    c.say("practices add maple --name 'Maple Clinic' --time-zone America/Phoenix --json")
    c.say("practices add oak --name Oak --locale es --json")
    made = c.say(f"clients add desk --practice * --json {' '.join(allow(*EVERYTHING))}")
    c.desk = ClientSecret("desk", made.document["client_secret"])
    c.say("clients add billing --practice maple --allow links:issue --json")
    c.say("clients add app --practice maple --public --redirect-uri https://app.wire.test/back --json")
    c.r.deployment.start_serve()
    c.r.deployment.start_worker()
    c.r.learn_keys()
    c.both("keys list")
    c.both("check --live")
    taken = f"127.0.0.1:{c.r.deployment.port}"
    c.say(f"serve --bind {taken}")
    c.say(f"serve --bind {taken} --json")


def patients(c: Commands) -> None:
    c.say("patients grant maple ann --email ann@example.org --label 'Ann Ortiz'")
    c.say("patients grant maple bob --email Bob@Example.ORG --json --reason 'at the desk'")
    c.both("patients grant maple ann --email ann@example.org")
    c.say("patients grant maple cyd --email cyd@example.org --json")
    for line in (
        "grant nobody ann --email a@example.org",
        "grant maple dan --email nobody",
        "grant maple dan --email ﬁ@example.org",
        "show maple nobody",
        "withdraw maple nobody",
        "sign-out maple nobody",
        "unlock maple nobody",
        "merge maple nobody ann",
        "merge maple ann nobody",
        "show nobody ann",
    ):
        c.refused(f"patients {line}")
    c.both("patients show maple ann")


def traffic(c: Commands) -> None:
    """What patients do, so that commands have something to show."""
    r, ip = c.r, "198.51.100.50"
    for patient in ("ann", "bob", "cyd"):
        begun = r.call("a code", c.desk, "POST", "maple/codes", {"patient": patient, "client_ip": ip}).json
        code = code_in(r.mail(f"{patient}@example.org"))
        members = {"challenge": begun["challenge"], "code": code, "client_ip": ip}
        c.tokens[patient] = r.call("verified", c.desk, "POST", "maple/codes/verify", members).json
    begun = r.call("a code, missed", c.desk, "POST", "maple/codes", {"patient": "bob", "client_ip": ip}).json
    code = code_in(r.mail("bob@example.org"))
    members = {"challenge": begun["challenge"], "code": f"{(int(code) + 1) % 10**6:06d}", "client_ip": ip}
    r.call("missed", c.desk, "POST", "maple/codes/verify", members)
    for number in range(3):
        told = {"patient": "ann", "workflow": "pay-invoice", "resource": f"invoice:inv_{number}"}
        c.tokens[f"link {number}"] = r.call("a link", c.desk, "POST", "maple/links", told).json
    told = {"patient": "bob", "workflow": "portal", "delivery": "email"}
    c.tokens["link of bob"] = r.call("a link by mail", c.desk, "POST", "maple/links", told).json
    r.mail("bob@example.org")
    token = c.tokens["link 0"]["url"].rpartition("/")[2]
    c.tokens["exchanged"] = r.call("exchanged", c.desk, "POST", "maple/links/exchange", {"token": token}).json
    for patient in ("ann", "bob", "cyd"):
        r.delivered(c.desk, f"maple/patients/{patient}")


def patients_again(c: Commands) -> None:
    c.both("patients show maple bob")
    c.say("patients unlock maple bob --reason 'called us'")
    c.say("patients unlock maple bob --json")
    c.both("patients show maple bob")
    c.say("patients sign-out maple ann")
    c.say("patients sign-out maple ann --json")
    c.say("patients withdraw maple cyd --yes")
    c.say("patients withdraw maple cyd --json --reason 'moved away'")
    c.both("patients show maple cyd")
    c.say("patients grant maple eve --email ann@example.org --json")
    c.both("patients merge maple eve ann")
    c.both("patients show maple eve")
    c.r.call("read the merged", c.desk, "GET", "maple/patients/eve")


def links(c: Commands) -> None:
    c.both("links list maple --patient ann")
    c.refused("links list maple --patient nobody")
    link = c.tokens["link 1"]["id"]
    c.both(f"links revoke maple --id {link}")
    c.refused("links revoke maple --id AAAAAAAAAAAAAAAA")
    c.both("links revoke maple --resource invoice:inv_2 --reason paid")
    c.both("links revoke maple --patient bob")
    c.both("links list maple --patient ann")


def mail(c: Commands) -> None:
    c.both("mail log maple --patient bob")
    c.refused("mail log maple --patient nobody")
    c.both("mail test maple test@example.org")
    c.refused("mail test maple nobody")
    c.r.mail("test@example.org")
    c.say("mail test oak spanish@example.org --json", environ={"AUTHSVC_MAIL_URL": "console:"})
    c.say("mail test oak spanish@example.org --json", environ={"AUTHSVC_MAIL_URL": "inbox:"})
    refused = {"AUTHSVC_MAIL_URL": f"smtp://127.0.0.1:{free_port()}"}
    c.both("mail test maple test@example.org", environ=refused)
    c.both("check --live", environ=refused)


def tokens(c: Commands) -> None:
    session, linked = c.tokens["bob"]["access_token"], c.tokens["exchanged"]["access_token"]
    folder = c.r.deployment.folder
    (folder / "keys.json").write_text(c.r.command("", "keys", "export", kept=False).out)
    for name, token in {"a session's": session, "a link's": linked}.items():
        for json in ((), ("--json",)):
            c.r.command(f"{name} {json}", "token", "inspect", *json, stdin=f"{token}\n")
    c.r.command("as an argument", "token", "inspect", session, "--json")
    c.r.command("as a header", "token", "inspect", "--json", stdin=f"Bearer {session}\n")
    for words in (
        ("--audience", "other"),
        ("--practice", "oak"),
        ("--practice", "maple"),
        ("--issuer", "https://elsewhere.example"),
        ("--jwks", str(folder / "keys.json")),
        ("--jwks", "/nowhere.json"),
        ("--jwks", "http://elsewhere.example/jwks"),
        ("--jwks", f"http://127.0.0.1:{c.r.deployment.port}/.well-known/jwks.json"),
    ):
        c.r.command("", "token", "inspect", *words, "--json", stdin=session)
    head, claims, signature = session.split(".")
    for label, text in {
        "forged": f"{head}.{claims}.{signature[:-4]}AAAA",
        "cut": f"{head}.{claims}",
        "junk": "junk",
        "nothing": "",
        "a refresh token": c.tokens["bob"]["refresh_token"],
        "a client's secret": c.desk.secret,
        "a link": c.tokens["link 0"]["url"].rpartition("/")[2],
    }.items():
        c.r.command(label, "token", "inspect", "--json", stdin=f"{text}\n")
    gone = {"AUTHSVC_REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
    c.r.command("without a store", "token", "inspect", "--json", stdin=session, environ=gone)
    nothing = {name: None for name in c.r.deployment.environ if name.startswith("AUTHSVC_")}
    c.r.command("without settings", "token", "inspect", stdin=session, environ=nothing)


def keys(c: Commands) -> None:
    folder = c.r.deployment.folder
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    small = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for form in ("jwks", "pem", "haproxy"):
        c.both(f"keys export --format {form}")
    c.both("keys rotate")
    c.both("keys rotate --if-older-than 30d")
    c.say("keys rotate --if-older-than 1s")
    c.say("keys rotate --force --reason 'a test' --json")
    c.say("keys rotate --force")
    c.both("keys list")
    c.r.command("import, not a key", "keys", "import", "-", stdin="junk")
    c.r.command("import, not a key", "keys", "import", "-", "--json", stdin="junk")
    c.r.command("import, another curve", "keys", "import", "-", "--json", stdin=small.decode())
    c.say("keys import key.pem --reason 'from the vault'")
    c.say("keys import key.pem --json")
    listed = c.say("keys list --json").document["keys"]
    retiring = [each["kid"] for each in listed if each["state"] == "retiring"]
    c.say(f"keys revoke {retiring[0]} --yes")
    c.say("keys revoke AAAA --json")
    current = next(each["kid"] for each in listed if each["state"] == "current")
    c.say(f"keys revoke {current} --json --reason stolen")
    c.both("keys list")
    other = "YW5vdGhlci1tYXN0ZXItc2VjcmV0LW9mLTMyLWJ5dGVzLW9yLW1vcmUtdGhhbi10aGF0"
    newer = {"AUTHSVC_SECRET_KEYS": f"{other},{c.r.deployment.environ['AUTHSVC_SECRET_KEYS']}"}
    alone = {"AUTHSVC_SECRET_KEYS": other}
    c.both("keys list", environ=alone)
    c.both("check --live", environ=alone)
    c.both("keys rewrap")
    c.say("keys rewrap --reason 'a new master'", environ=newer)
    c.say("keys rewrap --json", environ=newer)
    c.say("keys list --json", environ=alone)


def audit(c: Commands) -> None:
    other = "YW5vdGhlci1tYXN0ZXItc2VjcmV0LW9mLTMyLWJ5dGVzLW9yLW1vcmUtdGhhbi10aGF0"
    newer = {"AUTHSVC_SECRET_KEYS": f"{other},{c.r.deployment.environ['AUTHSVC_SECRET_KEYS']}"}

    def sealed() -> bool:
        ran = c.r.command("", "audit", "verify", "--json", environ=newer, kept=False)
        return bool(ran.code == 0 and not any(each["unsealed"] for each in ran.document["trails"]))

    until(sealed, "every trail to be sealed")
    c.both("audit verify", environ=newer)
    c.both("audit verify maple", environ=newer)
    c.refused("audit verify nobody", environ=newer)
    for name in ("maple", "@site", "@keys", "@clients", "nobody"):
        c.both(f"audit tail {name} --lines 5", environ=newer)
    c.both("audit export @site", environ=newer)
    c.say("audit export oak --trim --yes", environ=newer)
    c.say("audit export maple --trim --reason exported --json", environ=newer)
    c.both("audit export maple", environ=newer)
    c.both("audit verify maple", environ=newer)
    c.both("audit tail maple", environ=newer)


def removals(c: Commands) -> None:
    other = "YW5vdGhlci1tYXN0ZXItc2VjcmV0LW9mLTMyLWJ5dGVzLW9yLW1vcmUtdGhhbi10aGF0"
    newer = {"AUTHSVC_SECRET_KEYS": f"{other},{c.r.deployment.environ['AUTHSVC_SECRET_KEYS']}"}
    c.say("clients remove billing --yes --reason 'no longer'", environ=newer)
    c.say("clients remove app --json", environ=newer)
    c.refused("practices remove nobody", environ=newer)
    c.say("practices remove oak --yes", environ=newer)
    c.say("practices remove maple --json --reason closed", environ=newer)
    c.both("practices list", environ=newer)
    c.both("clients list", environ=newer)
    c.both("patients show maple ann", environ=newer)
    time.sleep(5.5)
    c.r.call("of a removed practice", c.desk, "GET", "maple/patients/ann")
    c.r.ask("its page", "GET", "/p/maple/sign-in")


def processes(c: Commands) -> None:
    """`serve` and `worker` end at SIGTERM."""
    c.r.logs("serve")
    c.r.logs("worker")
    c.r.stop("serve")
    c.r.stop("worker")
