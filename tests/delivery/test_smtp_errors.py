"""What goes wrong with mail is blamed on the right thing: only an answer about the address costs a patient the mail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote

import pytest

from authsvc import wiring, worker
from authsvc.config import load as config
from authsvc.delivery.compose import Composer
from authsvc.delivery.mail_host import ADVICE, Host
from authsvc.delivery.oauth import AccessToken
from authsvc.delivery.smtp import FEWER_MS, EmailSender
from authsvc.errors import DeliveryDeferred, DeliveryRefused, SettingsInvalid
from tests.delivery.messages import message
from tests.delivery.smtp_script import SmtpScript, serving
from tests.fakes import FakeClock, environ

Make = Callable[..., EmailSender]


@pytest.fixture
def sender_to(clock: FakeClock) -> Iterator[Make]:
    made: list[EmailSender] = []

    def make(url: str, **options: Any) -> EmailSender:
        composer = Composer("no-reply@mail.example")
        made.append(EmailSender(Host.of_url(url), composer, clock, development=True, **options))
        return made[-1]

    yield make
    for sender in made:
        sender.close()


def with_login(host: SmtpScript, user: str, password: str = "") -> str:
    return f"smtp://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{host.port}"


# --- refusals of us -----------------------------------------------------------------------------------------------

OF_US = [
    ("MAIL", "550 5.7.60 no permission to send as this sender", "sender"),
    ("MAIL", "550 go away", "sender"),
    ("MAIL", "552 5.3.4 too big", "sender"),
    ("MAIL", "530 5.7.0 authentication required", "login"),
    ("RCPT", "530 5.7.0 authentication required", "login"),
    ("RCPT", "535 5.7.8 bad credentials", "login"),
    ("RCPT", "550 5.7.1 relaying denied", "sender"),
    ("RCPT", "554 5.7.1 relay access denied", "sender"),
    ("RCPT", "550 5.7.26 unauthenticated", "sender"),
    ("RCPT", "550 5.1.8 bad sender", "sender"),
    ("RCPT", "550 5.4.5 daily quota exceeded", "sender"),
    ("RCPT", "503 5.5.1 bad sequence", "sender"),
    ("RCPT", "554 5.3.2 not accepting messages", "sender"),
    ("end", "550 5.7.1 looks like spam", "sender"),
    ("end", "452 4.4.5 congested", "sender"),
    ("RCPT", "550 relay not permitted", "sender"),
    ("RCPT", "550 Relaying denied", "sender"),
    ("RCPT", "550 Authentication is required for relay", "sender"),
    ("RCPT", "550-Verification failed for you\r\n550 Sender verify failed", "sender"),
    ("RCPT", "554 too many messages from you", "sender"),
    ("RCPT", "550 5.6.2 conversion required", "sender"),
    ("DATA", "554 no valid recipients, they say", "sender"),
    ("end", "554 transaction failed", "sender"),
    ("end", "552 message size exceeds the maximum", "sender"),
    ("end", "550 5.6.0 lone CR or LF in your message", "sender"),
]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("stage, reply, cause", OF_US)
def test_a_refusal_of_us_is_never_called_the_recipients_fault(
    sender_to: Make, stage: str, reply: str, cause: str, pipelining: bool
) -> None:
    host = SmtpScript(features=("PIPELINING",) if pipelining else ())
    if stage == "end":
        host.end = lambda: reply
    else:
        host.replies[stage] = [reply]
    with serving(host):
        with pytest.raises(DeliveryDeferred) as deferral:
            sender_to(host.url).send(message())
    assert deferral.value.cause == cause
    numbers = " ".join(reply.split()[: 2 if "." in reply else 1])[: None if "." in reply else 3]
    assert deferral.value.detail.endswith(numbers)
    assert deferral.value.detail != numbers or reply.startswith("4"), "and it says whose trouble it is"


@pytest.mark.parametrize(
    "reply",
    [
        "550 5.1.1 no such user",
        "550 no such user",
        "553 5.1.3 bad address",
        "550 5.2.1 disabled",
        "551 5.7.17 moved",
        "550 5.6.7 no address beyond ASCII here",
        "552 5.2.2 mailbox full",
    ],
)
def test_a_refusal_of_the_address_ends_the_mail(sender_to: Make, reply: str) -> None:
    with serving(SmtpScript(replies={"RCPT": [reply]})) as host:
        sender = sender_to(host.url)
        with pytest.raises(DeliveryRefused):
            sender.send(message())
        assert sender.send(message()) == "250"
    assert host.connections == 1, "and the connection goes on"


@pytest.mark.parametrize("code", ["200", "250", "251", "252", "259"])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "end"])
def test_every_answer_that_begins_with_2_is_a_yes_and_nobody_gets_the_mail_twice(
    sender_to: Make, stage: str, code: str
) -> None:
    """RFC 5321 §4.3.2: what isn't known is judged by its first digit."""
    host = SmtpScript(replies={stage: [f"{code} fine"]}, end=lambda: f"{code} fine" if stage == "end" else "250 fine")
    with serving(host):
        assert sender_to(host.url).send(message()) == "250"
    assert len(host.mails) == 1


def test_a_host_that_would_take_a_mail_to_nobody_gets_none(sender_to: Make) -> None:
    """RFC 2920 §3.1: after a pipelined RCPT was refused, DATA may still be answered with 354."""
    host = SmtpScript(replies={"RCPT": ["550 5.1.1 no such user"], "DATA": ["354 go on"], "RSET": [""]})
    with serving(host):
        with pytest.raises(DeliveryRefused):
            sender_to(host.url).send(message())
        assert host.mails == []


def test_the_probe_finds_a_sender_that_is_not_allowed_and_says_what_to_do() -> None:
    with serving(SmtpScript(replies={"MAIL": ["550 5.7.60 no permission to send as this sender"]})) as host:
        service = wiring.bootstrap(config.load(environ(AUTHSVC_MAIL_URL=host.url)))
        with pytest.raises(DeliveryDeferred) as deferral:
            worker.probe(service)
        assert deferral.value.detail == f"our sender: 550 5.7.60 ({ADVICE['sender']})"
        assert host.mails == []
        assert "takes our log-in" in worker.probe(service)


# --- credentials --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mechanisms, challenges, answers",
    [("PLAIN LOGIN", [], ["\0klinik\0pässwörd€"]), ("LOGIN", ["334 UGFzc3dvcmQ6"], ["klinik", "pässwörd€"])],
)
def test_a_password_beyond_ascii_is_sent_as_utf_8(
    sender_to: Make, mechanisms: str, challenges: list[str], answers: list[str]
) -> None:
    with serving(SmtpScript(features=(f"AUTH {mechanisms}",), replies={"AUTH": challenges})) as host:
        sender_to(with_login(host, "klinik", "pässwörd€")).send(message())
    assert host.answers_to_auth == answers


def test_a_log_in_that_the_host_does_not_offer_is_called_so(sender_to: Make) -> None:
    with serving(SmtpScript(features=("AUTH GSSAPI",))) as host:
        with pytest.raises(DeliveryDeferred, match=r"^log-in: the host offers none that we know$") as deferral:
            sender_to(with_login(host, "clinic", "word")).send(message())
    assert deferral.value.cause == "login"


# --- XOAUTH2 ------------------------------------------------------------------------------------------------------


class TokenEndpoint:
    """An OAuth token endpoint for client credentials. `answers` are (status, body), one a call, then the last again."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = [(200, json.dumps({"access_token": "t1", "expires_in": 3600}).encode())]
        self.calls: list[tuple[str, dict[str, list[str]]]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return (
            f"http://cl%2Fient:s%3Acret@127.0.0.1:{self.port}/oauth2/token?scope=https%3A%2F%2Fmail.example%2F.default"
        )


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    found = TokenEndpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found.calls.append((self.headers["Authorization"], parse_qs(body)))
            status, answer = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            """Nothing on the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        found.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def test_a_token_by_client_credentials_takes_the_place_of_the_password(
    sender_to: Make, endpoint: TokenEndpoint, clock: FakeClock
) -> None:
    with serving(SmtpScript(features=("AUTH LOGIN XOAUTH2",))) as host:
        sender = sender_to(with_login(host, "no-reply@clinic.example"), token=AccessToken(endpoint.url, clock))
        sender.send(message())
        sender.close()
        sender.send(message())
    assert host.answers_to_auth == ["user=no-reply@clinic.example\x01auth=Bearer t1\x01\x01"] * 2
    ((basic, form),) = endpoint.calls
    assert basic == "Basic Y2wlMkZpZW50OnMlM0FjcmV0", "RFC 6749 §2.3.1: both form-encoded, then Basic"
    assert form == {"grant_type": ["client_credentials"], "scope": ["https://mail.example/.default"]}


def test_a_token_is_fetched_anew_shortly_before_it_ends(endpoint: TokenEndpoint, clock: FakeClock) -> None:
    token = AccessToken(endpoint.url, clock)
    assert (token(), token()) == ("t1", "t1")
    clock.advance_s(3_540)
    token()
    assert len(endpoint.calls) == 2


def test_a_token_that_the_host_refuses_is_fetched_anew_once(
    sender_to: Make, endpoint: TokenEndpoint, clock: FakeClock
) -> None:
    endpoint.answers.append((200, json.dumps({"access_token": "t2", "expires_in": 3600}).encode()))
    with serving(SmtpScript(features=("AUTH XOAUTH2",), replies={"AUTH": ["535 5.7.3 unsuccessful"]})) as host:
        sender_to(with_login(host, "clinic"), token=AccessToken(endpoint.url, clock)).send(message())
        assert [each.split("Bearer ")[1][:2] for each in host.answers_to_auth] == ["t1", "t2"]
        host.replies["AUTH"] = ["535 5.7.3 unsuccessful"] * 2
        with pytest.raises(DeliveryDeferred, match=r"^log-in: 535 5\.7\.3$") as deferral:
            sender_to(with_login(host, "clinic"), token=AccessToken(endpoint.url, clock)).send(message())
    assert deferral.value.cause == "login"


@pytest.mark.parametrize(
    "status, body", [(401, b"{}"), (200, b"no json"), (200, b"{}"), (200, b"[]"), (302, b""), (200, b"x" * 70_000)]
)
def test_a_token_endpoint_in_trouble_defers_the_mail_and_is_named(
    sender_to: Make, endpoint: TokenEndpoint, clock: FakeClock, status: int, body: bytes
) -> None:
    endpoint.answers = [(status, body)]
    with serving(SmtpScript(features=("AUTH XOAUTH2",))) as host:
        with pytest.raises(DeliveryDeferred, match=r"^token endpoint: ") as deferral:
            sender_to(with_login(host, "clinic"), token=AccessToken(endpoint.url, clock)).send(message())
    assert deferral.value.cause == "login"
    assert "cret" not in deferral.value.detail


def test_a_token_needs_a_mailbox() -> None:
    service = wiring.bootstrap(
        config.load(
            environ(AUTHSVC_MAIL_URL="smtp://127.0.0.1:25", AUTHSVC_MAIL_OAUTH_URL="http://a:b@127.0.0.1/token")
        )
    )
    with pytest.raises(SettingsInvalid, match="must name the mailbox"):
        worker.sender(service)


# --- connections --------------------------------------------------------------------------------------------------


def test_no_command_is_spent_on_whether_a_connection_is_alive(sender_to: Make) -> None:
    with serving() as host:
        sender = sender_to(host.url)
        for _ in range(3):
            sender.send(message())
    assert host.connections == 1
    assert (host.count("NOOP"), host.count("MAIL"), host.count("DATA")) == (0, 3, 3)


def test_a_host_that_takes_no_more_connections_is_served_over_those_it_took(sender_to: Make, clock: FakeClock) -> None:
    sent: list[str] = []
    with serving() as host:
        sender = sender_to(host.url)
        sender.send(message())
        taken, _ = sender._take()
        host.replies.update(EHLO=["421 4.7.0 too many connections"], HELO=["421 4.7.0 too many connections"])
        with pytest.raises(DeliveryDeferred):
            sender.send(message())
        waiting = Thread(target=lambda: sent.append(sender.send(message(to="berta@example.org"))))
        waiting.start()
        sender._give_back(taken)
        waiting.join(20)
        assert sent == ["250"], "it waits for one that becomes free"
        clock.advance_ms(FEWER_MS)
        host.replies.clear()
        taken, _ = sender._take()
        assert sender.send(message()) == "250"
        sender._give_back(taken)
        assert host.connections == 4


def test_a_421_on_a_kept_connection_costs_the_mail_nothing(sender_to: Make) -> None:
    with serving() as host:
        sender = sender_to(host.url)
        sender.send(message())
        host.replies["MAIL"] = ["421 4.4.2 idle for too long"]
        assert sender.send(message()) == "250"
    assert host.connections == 2
