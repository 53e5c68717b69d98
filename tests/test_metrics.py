"""Figures that tell the truth, under several processes too, and of nobody."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from authsvc import audit, errors, metrics
from authsvc.config import limits
from authsvc.metrics import EVENTS, Metrics


def _text(counts: Metrics) -> str:
    body, content_type = counts.render()
    assert content_type.startswith("text/plain")
    return body.decode()


def test_a_count_shows_with_its_labels() -> None:
    counts = Metrics()
    counts.count("mails", kind="code", state="sent")
    counts.count("mails", kind="code", state="sent")
    counts.count("logs_lost")
    text = _text(counts)
    assert 'authsvc_mails_total{kind="code",state="sent"} 2.0' in text
    assert "authsvc_logs_lost_total 1.0" in text


@pytest.mark.parametrize("event", list(audit.Event))
def test_every_event_of_the_trail_has_its_figure(event: audit.Event) -> None:
    counts = Metrics()
    counts.count(event.value)
    assert f'authsvc_events_total{{event="{event.value}"}} 1.0' in _text(counts)


def test_two_instances_in_one_process_do_not_mix() -> None:
    one, two = Metrics(), Metrics()
    one.count("logs_lost")
    assert "authsvc_logs_lost_total 0.0" in _text(two)


def test_a_stranger_cannot_make_new_series_by_inventing_label_values() -> None:
    counts = Metrics()
    for number in range(50):
        counts.count("links_refused", reason=f"made-up-{number}")
        counts.request("/x", f"M{number}", 200, 0.001)
    counts.count("links_refused")
    text = _text(counts)
    assert 'authsvc_links_refused_total{reason="other"} 51.0' in text
    assert 'authsvc_requests_total{method="other",route="/x",status="200"} 50.0' in text


def test_an_event_that_was_never_declared_is_an_error() -> None:
    with pytest.raises(KeyError):
        Metrics().count("codes_guessed", reason="wrong")


def test_requests_are_counted_and_timed_by_route() -> None:
    counts = Metrics()
    counts.request("/v1/practices/<practice>/codes", "POST", 202, 0.004)
    counts.request("/v1/practices/<practice>/codes", "POST", 202, 9.0)
    text = _text(counts)
    assert 'authsvc_requests_total{method="POST",route="/v1/practices/<practice>/codes",status="202"} 2.0' in text
    assert 'authsvc_request_seconds_bucket{le="0.005",route="/v1/practices/<practice>/codes"} 1.0' in text
    assert 'authsvc_request_seconds_count{route="/v1/practices/<practice>/codes"} 2.0' in text


def test_what_the_store_takes_is_counted_from_half_a_millisecond_on() -> None:
    counts = Metrics()
    counts.store_time(0.0004)
    counts.store_time(3.0)
    text = _text(counts)
    assert 'authsvc_store_seconds_bucket{le="0.0005"} 1.0' in text
    assert "authsvc_store_seconds_count 2.0" in text


@pytest.mark.parametrize(
    "error, sample",
    [
        (errors.InvalidCode(3), 'codes_refused_total{reason="wrong"}'),
        (errors.InvalidCode(3, "link_mode"), 'codes_refused_total{reason="link_mode"}'),
        (errors.ChallengeGone("spent"), 'codes_refused_total{reason="gone_spent"}'),
        (errors.LinkGone("used_up"), 'links_refused_total{reason="used_up"}'),
        (errors.LinkUnknown(), 'links_refused_total{reason="unknown"}'),
        (errors.InvalidRefreshToken("reused"), 'refreshes_refused_total{reason="reused"}'),
        (errors.InvalidAuthorizationCode("pkce"), 'authorization_codes_refused_total{reason="pkce"}'),
        (errors.InvalidScope(), 'refreshes_refused_total{reason="scope"}'),
        (errors.TokenInvalid("forged"), 'bearers_refused_total{reason="invalid"}'),
        (errors.TokenMissing(), 'bearers_refused_total{reason="missing_token"}'),
        (errors.TokenInsufficient("acr"), 'bearers_refused_total{reason="acr"}'),
        (errors.Unauthenticated(), 'clients_refused_total{reason="credentials"}'),
        (errors.Forbidden("codes:issue"), 'clients_refused_total{reason="permission"}'),
        (errors.RateLimited(9, ("issue-address", "mails-all")), 'limiter_refusals_total{policy="mails-all"}'),
        (errors.RateLimited(9, ("issue-address", "mails-all")), 'limiter_refusals_total{policy="issue-address"}'),
        (errors.Unavailable("hash_queue_full"), 'store_failures_total{reason="hash_queue_full"}'),
        (errors.KeysetUnusable("empty"), 'store_failures_total{reason="key_ring"}'),
    ],
)
def test_every_refusal_is_counted_by_what_it_says_of_itself(error: errors.AuthsvcError, sample: str) -> None:
    counts = Metrics()
    counts.refused(error)
    assert f"authsvc_{sample} 1.0" in _text(counts)


def test_an_error_that_says_nothing_about_the_way_in_counts_nothing() -> None:
    counts = Metrics()
    counts.refused(errors.TooLarge(16_384))
    assert not [line for line in _text(counts).splitlines() if line.endswith(" 1.0")]


def test_no_label_can_name_a_person_a_practice_or_a_client() -> None:
    names = {name for event in EVENTS.values() for name in event.labels}
    assert names == {"event", "kind", "state", "reason", "policy", "cause"}


def test_processes_that_share_a_directory_are_summed(tmp_path: Path) -> None:
    script = "from authsvc.metrics import Metrics\nm = Metrics()\nm.count('logs_lost')\nprint(m.render()[0].decode())"
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for expected in (1, 2, 3):
        done = subprocess.run(
            [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True, timeout=30
        )
        assert f"authsvc_logs_lost_total {expected}.0" in done.stdout


def test_figures_that_cannot_be_written_fail_no_act() -> None:
    script = "from authsvc.metrics import Metrics\nm = Metrics()\nm.count('logs_lost')\nm.request('/', 'GET', 200, 0.1)"
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": "/nonexistent/figures"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_the_module_does_not_import_prometheus() -> None:
    script = "import sys, authsvc.metrics as m; m.Metrics(); sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 0


def test_every_policy_of_the_limits_has_its_figure() -> None:
    assert limits.load().policies.keys() <= metrics.EVENTS["limiter_refusals"].labels["policy"]


def test_every_reason_for_a_503_has_its_figure() -> None:
    given = set()
    for file in Path(metrics.__file__).parent.rglob("*.py"):
        given |= set(re.findall(r'Unavailable\("(\w+)"', file.read_text()))
    assert given
    assert given <= metrics.EVENTS["store_failures"].labels["reason"]
