"""A clinic by https, as browsers meet it: authsvc with its store, worker and mail, and on other origins its portal, a
webmail and somebody with bad intentions.

    https://auth.localhost:PORT        authsvc, behind nginx
    https://portal.localhost:PORT      the portal (relying_site.py)
    https://mail.localhost:PORT        shows mails as they arrived: /{address}/{number}
    https://elsewhere.localhost:PORT   somebody with bad intentions; /{name} is `evil[name]`
    https://evil.auth.localhost:PORT   the same on a sub-domain, which shares authsvc's cookie domain

To Chromium each is this machine, and each but the last is a site of its own.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterable
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.browser.relying_site import BACK, BYE, OPEN, RelyingSite
from tests.harness.deployment import EVERYTHING, Client
from tests.harness.https_deployment import HttpsDeployment
from tests.harness.processes import ask, until

AUTH, PORTAL, MAIL = "auth.localhost", "portal.localhost", "mail.localhost"
ELSEWHERE, BELOW = "elsewhere.localhost", "evil.auth.localhost"
AWKWARD = "#ffe600"  # white words on it could not be read, nor it on white
PHONE, HELP = "+1 480 555 0100", "help@maple.example"

LIMITS = """[policies]
issue-network = "5,000 per 15 min"
verify-network = "5,000 per 15 min"
exchange-network = "5,000 per min"
"""
"""Every browser of these tests has the same address."""

_NUMBERS = itertools.count(1)


class Clinic(HttpsDeployment):
    """Use as a context manager; `open` makes the practices: `maple` with its portal, and `oak`, which has no portal, a
    logo and an awkward colour."""

    def __init__(self, folder: Path, **settings: str) -> None:
        limits = folder / "limits.toml"
        limits.write_text(LIMITS)
        self.evil: dict[str, Callable[[], Response]] = {}
        self._server = make_server("127.0.0.1", 0, self._beside_us, threaded=True, request_handler=_Quiet)
        beside = dict.fromkeys((PORTAL, MAIL, ELSEWHERE, BELOW), self._server.server_port)
        settings = {"AUTHSVC_LIMITS_FILE": str(limits), "AUTHSVC_RESEND_AFTER_S": "10", **settings}
        super().__init__(folder, (AUTH,), beside, **settings)

    def __enter__(self) -> Clinic:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            super().__enter__()
        except BaseException:
            self._stop_beside(thread)
            raise
        self._stack.callback(self._stop_beside, thread)
        return self

    def open(self) -> None:
        self.store.start()
        helped = ("--phone", PHONE, "--support-email", HELP, "--time-zone", "America/Phoenix")
        self.cli("practices", "add", "maple", "--name", "Maple Clinic", "--portal-url", f"{self.portal_url}/", *helped)
        self.add_branded("oak", "Oak Street Dental", *helped)
        words = [word for permission in EVERYTHING for word in ("--allow", permission)]
        made = self.cli("clients", "add", "desk", "--practice", "*", *words).document
        self.desks = {
            name: Client(self.url, name, made["client_id"], made["client_secret"]) for name in ("maple", "oak")
        }
        registered = self.add_relying_party(
            "portal",
            f"{self.portal_url}{BACK}",
            *("--post-logout-uri", f"{self.portal_url}{BYE}", "--initiate-login-uri", f"{self.portal_url}{OPEN}"),
        )
        self.portal = RelyingSite(
            self.portal_url,
            self.issuer,
            self.front.url_of("localhost"),
            self.front.ca,
            registered["client_id"],
            registered["client_secret"],
        )
        self.work()
        self.serve()

    def add_branded(self, practice: str, name: str, *words: str) -> None:
        logo = self.folder / f"{practice}.png"
        draw_logo(logo)
        self.cli("practices", "add", practice, "--name", name, *words, "--colour", AWKWARD)
        self.cli("practices", "set", practice, "--logo", str(logo))

    def recover(self) -> None:
        """Wait until every process can act again: whichever is asked."""
        until(lambda: {ask("GET", f"{self.url}/readyz").status for _ in range(20)} == {200})

    def lure(self, html: str, site: str = ELSEWHERE, headers: Iterable[tuple[str, str]] = ()) -> str:
        """The address of a page that an attacker has made."""
        name = f"lure-{next(_NUMBERS)}"
        given = list(headers)
        self.evil[name] = lambda: Response(html, headers=given, content_type="text/html; charset=utf-8")
        return f"https://{site}:{self._tls_port}/{name}"

    # --- addresses ----------------------------------------------------------------------------------------------------

    @property
    def portal_url(self) -> str:
        return f"https://{PORTAL}:{self._tls_port}"

    def page(self, path: str, practice: str = "maple") -> str:
        return f"{self.issuer}/p/{practice}/{path}"

    # --- people and their mails ---------------------------------------------------------------------------------------

    def newcomer(self, label: str = "Ann Ortiz", *, practice: str = "maple", shared: str = "", **more: Any) -> Mailbox:
        """A new patient with portal access, at the address `shared` or at one of their own."""
        number = next(_NUMBERS)
        name, first = f"p{number}", re.sub(r"[^a-z]", "", label.partition(" ")[0].lower())
        members = {"email": shared or f"{first}{number}@example.org", "label": label, "portal_access": True, **more}
        answer = self.desks[practice].call("PUT", f"patients/{name}", **members)
        assert answer.status == 201, answer
        return Mailbox(self, practice, name, members["email"])

    def mails_to(self, email: str) -> int:
        """How many have come so far."""
        return len(self._come(email))

    def _come(self, email: str) -> list[bytes]:
        mine = [each.content for each in self.mail.envelopes if each.rcpt_tos == [email]]
        return [content for content in mine if isinstance(content, bytes)]

    def html(self, email: str, number: int) -> str:
        """What the mail with this number to this address looks like, once it is there."""
        until(lambda: self.mails_to(email) >= number, why=lambda: f"{self.mails_to(email)} mails to {email}")
        part = message_from_bytes(self._come(email)[number - 1], policy=default).get_body(("html",))
        assert part is not None
        return str(part.get_content())

    # --- the other origins --------------------------------------------------------------------------------------------

    def _beside_us(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        name = request.host.partition(":")[0]
        if name == PORTAL:
            return self.portal.app(environ, start_response)
        if name == MAIL and request.path != "/favicon.ico":
            _, email, number = request.path.split("/")
            answer = Response(self.html(email, int(number)), content_type="text/html; charset=utf-8")
        else:
            make = self.evil.get(request.path.strip("/"))
            answer = make() if make else Response("", 404)
        return answer(environ, start_response)

    def _stop_beside(self, thread: threading.Thread) -> None:
        self._server.shutdown()
        thread.join()
        self._server.server_close()


class Mailbox:
    """A patient, and the mails that come."""

    def __init__(self, clinic: Clinic, practice: str, patient: str, email: str) -> None:
        self.clinic, self.practice, self.patient, self.email = clinic, practice, patient, email
        self._read = 0

    @property
    def _desk(self) -> Client:
        return self.clinic.desks[self.practice]

    def link(self, workflow: str, **more: Any) -> str:
        """The address of a new link, without a mail."""
        answer = self._desk.post("links", workflow=workflow, patient=self.patient, **more)
        assert answer.status == 201, answer
        return str(answer.json["url"])

    def mailed_link(self, workflow: str, **more: Any) -> str:
        """The address of the webmail's page with a new link."""
        answer = self._desk.post("links", workflow=workflow, patient=self.patient, delivery="email", **more)
        assert answer.status in (201, 202), answer
        self._read += 1
        return f"https://{MAIL}:{self.clinic.front.port}/{self.email}/{self._read}"

    def revoke_links(self) -> None:
        answer = self._desk.call("DELETE", f"links?patient={self.patient}")
        assert answer.status in (200, 204), answer

    def move(self, email: str) -> None:
        """The practice writes down another address."""
        members = {"email": email, "label": "Ann Ortiz", "portal_access": True}
        assert self._desk.call("PUT", f"patients/{self.patient}", **members).status == 200

    def code(self) -> str:
        """The code in the next mail."""
        self._read += 1
        html = self.clinic.html(self.email, self._read)
        found = re.search(r">(\d{6})</p>", html)
        assert found, html
        return found[1]


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Nothing: the tests look at answers."""


def draw_logo(file: Path) -> None:
    """A round sign and two bars, dark on transparent, as practices bring them."""
    image = Image.new("RGBA", (420, 120), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    pen.ellipse((4, 4, 116, 116), fill="#2d3b2e")
    pen.ellipse((34, 28, 86, 92), fill=AWKWARD)
    pen.rounded_rectangle((140, 26, 400, 56), 8, fill="#2d3b2e")
    pen.rounded_rectangle((140, 70, 330, 94), 8, fill="#7b8a7c")
    image.save(file)
