"""A process or machine without a file descriptor left (EMFILE, ENFILE) is 503 on every path, and no fault of ours."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any

import pytest

from tests.web.conftest import Web

NUMBERS = [errno.EMFILE, errno.ENFILE]
BROWSER = {"Accept": "text/html"}


def lacking(number: int) -> Any:
    """A function that opens something, and can't."""

    def act(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return act


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "patients/p1"),
        ("POST", "links"),
        ("POST", "/oauth2/introspect"),
        ("GET", "/readyz"),
        ("GET", "/p/maple/sign-in"),
        ("GET", "/p/maple/code/AAAAAAAA"),
    ],
)
def test_fault_serve_few_descriptors_is_503_with_retry_after(
    web: Web, monkeypatch: pytest.MonkeyPatch, method: str, path: str, number: int
) -> None:
    monkeypatch.setattr(web.service.practices, "get", lacking(number))
    monkeypatch.setattr(web.service.signing_keys, "refresh", lacking(number))
    monkeypatch.setattr(web.service.clients, "authenticate", lacking(number))
    answer = web.call(method, path, data={} if method == "POST" else None)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("number", NUMBERS)
def test_fault_serve_few_descriptors_is_counted_and_logged_by_its_name(
    web: Web, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    monkeypatch.setattr(web.service.practices, "get", lacking(number))
    web.call("GET", "patients/p1")
    assert [vars(record)["reason"] for record in caplog.records if record.levelno >= logging.WARNING] == [
        "descriptors_exhausted"
    ]
    assert b'authsvc_store_failures_total{reason="descriptors_exhausted"} 1.0' in web.service.metrics.render()[0]


def test_fault_a_page_without_descriptors_is_a_page(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.service.practices, "get", lacking(errno.EMFILE))
    answer = web.bare("GET", "/p/maple/sign-in", headers=BROWSER)
    assert answer.status_code == 503
    assert answer.mimetype == "text/html"
    assert "Retry-After" in answer.headers


def test_fault_an_error_page_whose_template_can_not_be_opened_is_503_too(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.service.practices, "get", lacking(errno.EMFILE))
    monkeypatch.setattr("authsvc.web.browser.error_pages.render_message", lacking(errno.EMFILE))
    web.public.application.testing = False
    answer = web.bare("GET", "/p/maple/sign-in", headers=BROWSER)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers


def test_a_fault_of_ours_in_an_error_page_stays_a_500(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("an error page of ours fails")

    monkeypatch.setattr(web.service.practices, "get", lacking(errno.EMFILE))
    monkeypatch.setattr("authsvc.web.browser.error_pages.render_message", fail)
    assert web.bare("GET", "/p/maple/sign-in", headers=BROWSER).status_code == 500


def test_any_other_error_of_the_system_is_still_a_fault(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.service.practices, "get", lacking(errno.EIO))
    assert web.call("GET", "patients/p1").status_code == 500
