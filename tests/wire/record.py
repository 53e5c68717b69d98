"""Records what the service says: `python -m tests.wire.record --authsvc .venv/bin/authsvc --out FILE`.

The deployments are independent of each other and are recorded side by side.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.wire import cases_api, cases_cli, cases_demo, cases_oauth, cases_operation, cases_pages
from tests.wire.processes import Deployment, Receiver
from tests.wire.provision import RESEND_AFTER_S, Provisioned, provision
from tests.wire.recorder import Recorder

SLOW = """[policies]
issue-address = "5 per 2 h"
issue-patient = "10 per 4 h"
issue-network = "30 per 12 h"
verify-network = "60 per 24 h"
exchange-network = "120 per 48 h"
auth-failures = "60 per 24 h"
client-calls = "1000 per s"
[repeats]
replay_window_s = "30 s"
refresh_grace_s = "2 min"
"""
"""Budgets as large as the packaged ones that refill so slowly that what is left of them is the same in each run."""

DEPLOYMENTS = (
    *("brief", "api", "pages", "commands", "oauth", "tight"),
    *("registry", "usage", "settings", "demo", "storeless"),
)
"""The longest first."""

Cases = Iterable[tuple[str, Callable[[], Any]]]


class Run:
    """One recording of one program."""

    def __init__(self, authsvc: Path, folder: Path, only: str) -> None:
        self._authsvc = authsvc
        self._folder = folder
        self._only = only
        self._abandoned = False
        self.recorders: list[Recorder] = []

    def _recorder(self, name: str, **more: Any) -> tuple[Deployment, Recorder]:
        if self._abandoned:
            raise InterruptedError(name)
        deployment = Deployment(self._authsvc, self._folder / name, **more)
        recorder = Recorder(name, deployment)
        self.recorders.append(recorder)
        return deployment, recorder

    def _cases(self, r: Recorder, cases: Cases) -> None:
        for name, run in cases:
            if self._only in name or name == "provision":
                r.case(name, run)

    def _service(
        self, name: str, cases: Callable[[Provisioned, Receiver], Cases], last: Callable[[Provisioned], Cases]
    ) -> None:
        """A whole deployment: provisioned, served, asked; then what is left in it is read."""
        settings = {"AUTHSVC_RESEND_AFTER_S": str(RESEND_AFTER_S)}
        deployment, r = self._recorder(name, settings=settings, limits=SLOW)
        found: list[Provisioned] = []
        with deployment:
            deployment.start_store()
            receiver = deployment.receiver()
            r.case("provision", lambda: found.append(provision(r, receiver.url)))
            deployment.start_serve()
            deployment.start_worker()
            r.learn_keys()
            self._cases(r, cases(found[0], receiver))
            trails = ("maple", "oak", "elm", "@site", "@keys", "@clients")
            left = {
                "mails": r.record_mails,
                "metrics": lambda: r.metrics("serve", deployment.admin_port),
                "metrics of the worker": lambda: cases_operation.worker_figures(r),
                "trails": lambda: [r.audit_entries(trail) for trail in trails],
                "logs": lambda: [r.logs(program) for program in ("serve", "worker")],
            }
            self._cases(r, left.items())
            self._cases(r, last(found[0]))
            r.case("ends", lambda: [r.stop(program) for program in ("serve", "worker")])

    def api(self) -> None:
        self._service("api", lambda site, _: cases_api.cases(site), lambda _: ())

    def oauth(self) -> None:
        def last(site: Provisioned) -> Cases:
            yield "admin", lambda: cases_operation.admin(site.r)
            yield "store away", lambda: cases_operation.store_away(site)
            yield "store emptied", lambda: cases_operation.store_emptied(site)

        self._service("oauth", lambda site, _: cases_oauth.cases(site), last)

    def pages(self) -> None:
        self._service("pages", cases_pages.cases, lambda _: ())

    def _alone(self, name: str, cases: Callable[[Recorder], Cases], *, store: bool = True, **more: Any) -> None:
        """A deployment whose cases start what they need."""
        deployment, r = self._recorder(name, **more)
        with deployment:
            if store:
                deployment.start_store()
            self._cases(r, cases(r))

    def commands(self) -> None:
        never_safe = {"AUTHSVC_JWKS_MAX_AGE_S": "86400"}  # however long the cases before take
        self._alone("commands", cases_cli.cases, settings=never_safe)

    def registry(self) -> None:
        self._alone("registry", cases_cli.registry_cases)

    def settings(self) -> None:
        self._alone("settings", cases_cli.settings_cases)

    def usage(self) -> None:
        self._alone("usage", cases_cli.usage_cases, store=False)

    def storeless(self) -> None:
        self._alone("storeless", lambda r: [("serve", lambda: cases_operation.never_a_store(r))], store=False)

    def demo(self) -> None:
        self._alone("demo", lambda r: [("demo", lambda: cases_demo.demo(r))], store=False)

    def brief(self) -> None:
        more = {"public_url": "https://auth.wire.test/auth", "settings": cases_operation.BRIEF, "limits": SLOW}
        self._alone("brief", cases_operation.brief_cases, **more)

    def tight(self) -> None:
        more = {"settings": {"AUTHSVC_RESEND_AFTER_S": "1"}, "limits": cases_operation.TIGHT}
        self._alone("tight", cases_operation.tight_cases, **more)

    def everything(self, names: Iterable[str], jobs: int) -> None:
        """These deployments, so many of them at once."""
        broken: list[str] = []

        def one(name: str) -> None:
            try:
                getattr(self, name)()
            except BaseException as error:  # noqa: BLE001 - told when all have ended
                traceback.print_exc()
                broken.append(f"{name}: {type(error).__name__}: {error}")

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, names))
        if broken:
            raise SystemExit("\n".join(["not recorded:", *broken]))

    def abandon(self) -> None:
        """End every process at once, and start no more."""
        self._abandoned = True
        for recorder in self.recorders:
            recorder.deployment.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--authsvc", type=Path, required=True, help="the program to record")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--parts", default=",".join(DEPLOYMENTS), help="only these deployments, of %(default)s")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name contains this text")
    parser.add_argument("--jobs", type=int, default=4, help="so many deployments at once (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the folder with logs and mails")
    given = parser.parse_args()
    parts = given.parts.split(",")
    if unknown := set(parts) - set(DEPLOYMENTS):
        parser.error(f"no such deployment: {', '.join(sorted(unknown))}")
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="wire-"))
    try:
        run = Run(given.authsvc.absolute(), folder, given.only)

        def end(*_: object) -> None:
            run.abandon()
            shutil.rmtree(folder, ignore_errors=True)
            os._exit(1)

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, end)
        run.everything(parts, given.jobs)
    finally:
        if given.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    ordered = sorted(run.recorders, key=lambda recorder: DEPLOYMENTS.index(recorder.name))
    entries = {name: entry for recorder in ordered for name, entry in recorder.entries.items()}
    given.out.write_text(json.dumps(entries, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    failed = [each for recorder in run.recorders for each in recorder.failed]
    print(f"{len(entries)} exchanges in {time.monotonic() - began:.0f} s", *failed, sep="\n", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
