"""Who is at the other end: forwarded addresses are believed from listed proxies only, from the right."""

from __future__ import annotations

import logging
from ipaddress import ip_network

import pytest

from authsvc.web.client_ip import ClientIpResolver

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def peer(remote: str, forwarded: str | None, *, trusted: bool = True) -> str:
    environ = {"REMOTE_ADDR": remote}
    if forwarded is not None:
        environ["HTTP_X_FORWARDED_FOR"] = forwarded
    return ClientIpResolver(PROXIES if trusted else ()).of(environ)


@pytest.mark.parametrize(
    "remote,forwarded,found",
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # not a proxy of ours: what it says is a claim
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),  # the left is what a client made up
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, _hidden", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "fe80::1%eth0", "10.0.0.1"),
        ("10.0.0.1", ", ,", "10.0.0.1"),
        ("", "198.51.100.1", "198.51.100.1"),  # a unix socket: only the proxy can be there
        ("", "nonsense", "0.0.0.0"),
        ("", None, "0.0.0.0"),
        ("nonsense", "198.51.100.1", "0.0.0.0"),
    ],
)
def test_the_list_is_walked_from_the_right(remote: str, forwarded: str | None, found: str) -> None:
    assert peer(remote, forwarded) == found


def test_a_list_without_end_is_not_walked_to_its_end() -> None:
    assert peer("10.0.0.1", ",".join(["6.6.6.6"] + ["10.0.0.2"] * 1000)) == "10.0.0.2"


def test_without_listed_proxies_nobody_is_believed_and_a_warning_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    peers = ClientIpResolver(())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert peers.of({"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "6.6.6.6"}) == "10.0.0.1"
    assert len(caplog.records) == 1
    assert "6.6.6.6" not in caplog.text
