"""Mail by SMTP: to real servers, with real certificates, or not at all."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from authsvc.delivery import lookup
from authsvc.delivery.compose import Composer
from authsvc.delivery.mail_host import Host
from authsvc.delivery.smtp import IDLE_MS, MAILS_PER_CONNECTION, PAUSE_MS, EmailSender
from authsvc.errors import DeliveryDeferred, DeliveryRefused
from tests.delivery.mail_hosts import PASSWORD, USER, Authority, MailHost, authenticator, scripted, serving
from tests.delivery.messages import message
from tests.fakes import FakeClock

Make = Callable[..., EmailSender]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def sender_to(clock: FakeClock) -> Iterator[Make]:
    """Makes senders for a URL, and hangs up for them at the end."""
    made: list[EmailSender] = []

    def make(url: str, **options: object) -> EmailSender:
        composer = Composer("no-reply@mail.example")
        made.append(EmailSender(Host.of_url(url), composer, clock, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for sender in made:
        sender.close()


@pytest.fixture
def starttls(authority: Authority) -> Iterator[MailHost]:
    with serving(tls_context=authority.context(), require_starttls=True) as host:
        yield host


def name_leads_to(host: MailHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is looked up as this host's address."""
    found = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", host.port))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [found])
    monkeypatch.setattr(lookup, "RESOLVER", lookup.Resolver())


def url_of(
    host: MailHost, authority: Authority, *, scheme: str = "smtp", login: str = "", name: str = "127.0.0.1"
) -> str:
    return f"{scheme}://{login}{name}:{host.port}?ca={authority.ca}"


# --- on the way ---------------------------------------------------------------------------------------------------


def test_mail_goes_out_by_starttls(sender_to: Make, starttls: MailHost, authority: Authority) -> None:
    assert sender_to(url_of(starttls, authority)).send(message()) == "250"
    (envelope,) = starttls.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@mail.example", ["anna@example.org"])
    assert starttls.sessions[0].ssl is not None
    assert starttls.sessions[0].host_name == "mail.example", "EHLO tells nothing of this machine"
    assert "042917" in starttls.envelopes[0].content.decode().splitlines()  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # the server doesn't count implicit TLS
def test_mail_goes_out_by_implicit_tls_with_a_log_in(sender_to: Make, authority: Authority) -> None:
    with serving(
        ssl_context=authority.context(), authenticator=authenticator, auth_required=True, auth_require_tls=False
    ) as host:
        login = f"{USER}:{quote(PASSWORD, safe='')}@"
        sender_to(url_of(host, authority, scheme="smtps", login=login, name="localhost")).send(message())
        assert host.mails[0]["To"] == "anna@example.org"


def test_a_wrong_password_defers_and_is_not_repeated_in_the_record(sender_to: Make, authority: Authority) -> None:
    with serving(tls_context=authority.context(), authenticator=authenticator, auth_required=True) as host:
        with pytest.raises(DeliveryDeferred, match=r"^log-in: 535 5\.7\.8$"):
            sender_to(url_of(host, authority, login="clinic:wrong-password@")).send(message())
        assert host.envelopes == []


def test_one_connection_carries_many_mails(sender_to: Make, starttls: MailHost, authority: Authority) -> None:
    sender = sender_to(url_of(starttls, authority))
    for _ in range(3):
        sender.send(message())
    assert (len(starttls.envelopes), len(starttls.sessions)) == (3, 1)


def test_a_connection_that_idled_or_carried_enough_is_opened_anew(
    sender_to: Make, starttls: MailHost, authority: Authority, clock: FakeClock
) -> None:
    sender = sender_to(url_of(starttls, authority))
    sender.send(message())
    clock.advance_ms(IDLE_MS)
    sender.send(message())
    assert len(starttls.sessions) == 2
    for _ in range(MAILS_PER_CONNECTION):
        sender.send(message())
    assert len(starttls.sessions) == 3


def test_a_connection_that_the_host_has_closed_is_opened_anew(
    sender_to: Make, starttls: MailHost, authority: Authority
) -> None:
    sender = sender_to(url_of(starttls, authority))
    sender.send(message())
    starttls.hang_up()
    sender.send(message())
    assert (len(starttls.envelopes), len(starttls.sessions)) == (2, 2)


def test_an_international_mailbox_needs_a_host_that_takes_it(sender_to: Make, authority: Authority) -> None:
    to = "josé@straße.example"
    with serving(tls_context=authority.context(), enable_SMTPUTF8=True) as host:
        sender_to(url_of(host, authority)).send(message(to=to))
        assert host.envelopes[0].rcpt_tos == ["josé@xn--strae-oqa.example"]
    with serving(tls_context=authority.context(), enable_SMTPUTF8=False) as host:
        with pytest.raises(DeliveryRefused, match=r"^the mail host has no SMTPUTF8$"):
            sender_to(url_of(host, authority)).send(message(to=to))
        assert host.envelopes == []


@pytest.mark.parametrize("provider", ["smtp.mailgun.org", "smtp.postmarkapp.com", "smtp.sendgrid.net", "sendgrid.net"])
def test_hosts_that_count_clicks_are_asked_not_to(
    sender_to: Make, tmp_path: Path, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path, provider)
    with serving(tls_context=authority.context()) as host:
        name_leads_to(host, monkeypatch)
        sender_to(f"smtp://{provider}?ca={authority.ca}").send(message("link"))
    fields = {name.lower() for name in host.mails[0]}
    assert len(fields & {"x-mailgun-track", "x-pm-tracklinks", "x-smtpapi"}) == 1


def test_no_other_host_gets_such_a_field(sender_to: Make, starttls: MailHost, authority: Authority) -> None:
    sender_to(url_of(starttls, authority)).send(message("link"))
    fields = {name.lower() for name in starttls.mails[0]}
    assert not fields & {"x-mailgun-track", "x-pm-tracklinks", "x-smtpapi"}


# --- never without a checked certificate --------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_is_not_trusted_stops_the_mail(sender_to: Make, authority: Authority, scheme: str) -> None:
    option = "ssl_context" if scheme == "smtps" else "tls_context"
    with serving(None, **{option: authority.context()}) as host:
        # In development and on loopback too: only a host that offers no TLS may go without.
        with pytest.raises(DeliveryDeferred, match="certificate not trusted"):
            sender_to(f"{scheme}://127.0.0.1:{host.port}", development=True).send(message())
        assert host.envelopes == []


def test_a_certificate_of_another_host_stops_the_mail(sender_to: Make, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other.example")
    with serving(tls_context=other.context()) as host:
        with pytest.raises(DeliveryDeferred, match="certificate not trusted"):
            sender_to(url_of(host, other)).send(message())
        assert host.envelopes == []


@pytest.mark.parametrize("name, development", [("127.0.0.1", False), ("mail.example", True)])
def test_without_starttls_nothing_is_sent(
    sender_to: Make, name: str, development: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as host:
        name_leads_to(host, monkeypatch)
        with pytest.raises(DeliveryDeferred, match="no STARTTLS offered"):
            sender_to(f"smtp://{name}:{host.port}", development=development).send(message())
        assert host.envelopes == []


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_developers_own_mail_catcher_may_go_without(sender_to: Make, name: str) -> None:
    with serving() as host:
        sender_to(f"smtp://{name}:{host.port}", development=True).send(message())
        assert len(host.envelopes) == 1


# --- what the host says -------------------------------------------------------------------------------------------


def test_a_4xx_defers_and_the_next_try_is_the_same_mail(
    sender_to: Make, starttls: MailHost, authority: Authority
) -> None:
    sender = sender_to(url_of(starttls, authority))
    starttls.answers = ["451 4.7.1 <anna@example.org> greylisted, come back"]
    with pytest.raises(DeliveryDeferred) as deferral:
        sender.send(message())
    assert deferral.value.detail == "451 4.7.1", "without the host's words, which quote the address"
    sender.send(message())
    assert starttls.mails[0]["Message-ID"] == f"<{message().id}@mail.example>"


def test_a_duplicate_is_the_same_mail_to_the_byte(sender_to: Make, starttls: MailHost, authority: Authority) -> None:
    sender_to(url_of(starttls, authority)).send(message())
    sender_to(url_of(starttls, authority)).send(message())
    first, second = (envelope.content for envelope in starttls.envelopes)
    assert first == second


@pytest.mark.parametrize(
    "answers, at_data, detail",
    [
        (["550 5.1.1 <anna@example.org>: no such user"], [], "550 5.1.1"),
        (["553 not here"], [], "553"),
        ([], ["550 5.1.1 no such user, as the next host says"], "550 5.1.1"),
    ],
)
def test_a_5xx_refuses(
    sender_to: Make,
    starttls: MailHost,
    authority: Authority,
    answers: list[str],
    at_data: list[str],
    detail: str,
) -> None:
    starttls.answers, starttls.at_data = answers, at_data
    with pytest.raises(DeliveryRefused) as refusal:
        sender_to(url_of(starttls, authority)).send(message())
    assert refusal.value.detail == detail
    assert starttls.envelopes == []


def test_one_refused_address_does_not_spoil_the_next_mail(
    sender_to: Make, starttls: MailHost, authority: Authority
) -> None:
    sender = sender_to(url_of(starttls, authority))
    starttls.answers = ["550 5.1.1 no such user"]
    with pytest.raises(DeliveryRefused):
        sender.send(message())
    sender.send(message(to="berta@example.org"))
    assert [envelope.rcpt_tos for envelope in starttls.envelopes] == [["berta@example.org"]]


def test_a_host_that_is_full_at_the_door_defers(sender_to: Make) -> None:
    with scripted(lambda peer: peer.sendall(b"421 4.3.2 too busy\r\n")) as port:
        with pytest.raises(DeliveryDeferred, match=r"^421 4\.3\.2$"):
            sender_to(f"smtp://127.0.0.1:{port}", development=True).send(message())


def test_a_host_that_hangs_up_in_the_middle_defers(sender_to: Make) -> None:
    def talk(peer: socket.socket) -> None:
        peer.sendall(b"220 here\r\n")
        peer.recv(512)
        peer.sendall(b"250 mail\r\n")
        peer.recv(512)  # MAIL FROM, and then nothing

    with scripted(talk) as port:
        with pytest.raises(DeliveryDeferred, match="connection lost: SMTPServerDisconnected"):
            sender_to(f"smtp://127.0.0.1:{port}", development=True).send(message())


def test_a_host_that_talks_nonsense_defers(sender_to: Make) -> None:
    with scripted(lambda peer: peer.sendall(b"HTTP/1.1 400 Bad Request\r\n")) as port:
        with pytest.raises(DeliveryDeferred):
            sender_to(f"smtp://127.0.0.1:{port}", development=True).send(message())


# --- slow and absent hosts ----------------------------------------------------------------------------------------


def test_a_silent_host_costs_one_time_out(sender_to: Make) -> None:
    done = threading.Event()

    def listen(peer: socket.socket) -> None:
        peer.recv(1)
        done.set()

    with scripted(listen) as port:
        with pytest.raises(DeliveryDeferred, match="not reachable"):
            sender_to(f"smtp://127.0.0.1:{port}", development=True, patience_s=0.05).send(message())
        assert done.wait(5), "and hangs up"


def test_a_host_that_drips_its_answers_is_cut_off(sender_to: Make) -> None:
    cut = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.settimeout(0.02)
        while not cut.is_set():
            try:
                peer.sendall(b"2")
                if peer.recv(512) == b"":
                    cut.set()
            except TimeoutError:
                continue
            except OSError:
                cut.set()

    with scripted(drip) as port:
        sender = sender_to(f"smtp://127.0.0.1:{port}", development=True, patience_s=0.2)
        with pytest.raises(DeliveryDeferred):
            sender.send(message())
        assert cut.wait(5)


def test_a_host_that_could_not_be_reached_is_left_alone_for_a_moment(sender_to: Make, clock: FakeClock) -> None:
    calls: list[int] = []
    with scripted(lambda peer: calls.append(1)) as port:
        sender = sender_to(f"smtp://127.0.0.1:{port}", development=True)
        with pytest.raises(DeliveryDeferred, match="not reachable: SMTPServerDisconnected"):
            sender.send(message())
        with pytest.raises(DeliveryDeferred, match="a moment ago") as deferral:
            sender.send(message())
        assert deferral.value.retry_after_s == PAUSE_MS // 1000
        assert len(calls) == 1
        clock.advance_ms(PAUSE_MS)
        with pytest.raises(DeliveryDeferred, match="not reachable"):
            sender.send(message())
        assert len(calls) == 2


def test_fault_few_descriptors_is_a_fault_of_ours_and_says_so(
    sender_to: Make, starttls: MailHost, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_descriptors(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(lookup, "connect", without_descriptors)
    with pytest.raises(DeliveryDeferred) as deferred:
        sender_to(url_of(starttls, authority)).send(message())
    assert deferred.value.cause == "ours"
    assert "file descriptor" in deferred.value.detail


def test_nobody_there_defers(sender_to: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(DeliveryDeferred, match="not reachable: ConnectionRefusedError"):
        sender_to(f"smtp://127.0.0.1:{port}").send(message())


def test_a_message_that_must_not_be_sent_never_reaches_the_host(
    sender_to: Make, starttls: MailHost, authority: Authority
) -> None:
    with pytest.raises(DeliveryRefused, match="unsafe"):
        sender_to(url_of(starttls, authority)).send(message(to="anna@example.org\r\nRCPT TO:<mallory@evil.example>"))
    assert starttls.envelopes == []


# --- the probe ----------------------------------------------------------------------------------------------------


def test_the_probe_logs_in_and_sends_nothing(sender_to: Make, authority: Authority) -> None:
    with serving(tls_context=authority.context(), authenticator=authenticator, auth_required=True) as host:
        sender_to(url_of(host, authority, login=f"{USER}:{quote(PASSWORD, safe='')}@")).probe()
        assert host.envelopes == []


def test_the_probe_says_what_is_wrong_and_asks_again_at_once(sender_to: Make) -> None:
    with serving() as host:
        sender = sender_to(f"smtp://127.0.0.1:{host.port}")
        for _ in range(2):
            with pytest.raises(DeliveryDeferred, match="no STARTTLS offered"):
                sender.probe()


# --- what is never said -------------------------------------------------------------------------------------------


def test_no_password_in_a_representation_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    host = Host.of_url(f"smtps://{USER}:{quote(PASSWORD, safe='')}@mail.example")
    assert (host.user, host.password, host.port) == (USER, PASSWORD, 465)
    assert PASSWORD not in repr(host)
    assert Host.of_url("smtp://mail.example").port == 587
