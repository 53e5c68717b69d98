"""A portal of our own for these tests: a real site on another origin, with Authlib's client and a session of its own.

/sign-in  leads to authsvc; its query goes along (`acr_values`, `prompt`, `max_age`, `ui_locales`)
/open     a pressed link starts here (OpenID Connect Core §4)
/back     both come back here with a code
/more     the portal wants a typed code where there was only a link so far
/out      leads out of both, and ends at /bye

Every page says who it takes the visitor for, in `dl`. What came with each request is kept in `visits`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from authlib.integrations.flask_client import OAuth, OAuthError
from authlib.integrations.requests_client import OAuth2Session
from flask import Flask, redirect, render_template_string, request, session
from werkzeug.wrappers import Response

BACK, OPEN, BYE = "/back", "/open", "/bye"
SCOPES = (
    "openid invoice:view invoice:pay payment_info:update agreement:view agreement:accept invoices:view contact:view"
)

ASKED = ("acr_values", "prompt", "max_age", "ui_locales")

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title><h1>{{ title }}</h1>
<dl>{% for name, value in told.items() %}<dt>{{ name }}</dt><dd id="{{ name }}">{{ value }}</dd>{% endfor %}</dl>
<p><a href="/sign-in">Sign in</a> <a href="/more">See everything</a></p>
<form method="post" action="/out"><button>Sign out</button></form></html>
"""
TOLD = ("sub", "acr", "workflow", "resource", "scope")


class _Session(OAuth2Session):  # type: ignore[misc]  # the library has no types
    """Believes the test's authority, whatever the environment says."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.trust_env = False


class RelyingSite:
    """The site as a WSGI application. `issuer` is where browsers find authsvc, `inside` where this site does: the
    system's resolver knows no names below `.localhost`."""

    def __init__(self, url: str, issuer: str, inside: str, ca: Path, client_id: str, client_secret: str) -> None:
        self.url, self.issuer = url, issuer
        self.visits: list[dict[str, str]] = []
        self.careful = False  # wants a typed code of whoever comes by a link
        self.app = Flask(__name__)
        self.app.secret_key = "of these tests"
        self.app.config.update(
            SESSION_COOKIE_NAME="__Host-portal", SESSION_COOKIE_SECURE=True, SESSION_COOKIE_SAMESITE="Lax"
        )
        self._client = OAuth(self.app).register(
            "authsvc",
            client_id=client_id,
            client_secret=client_secret,
            authorize_url=f"{issuer}/oauth2/authorize",
            access_token_url=f"{inside}/oauth2/token",
            jwks_uri=f"{inside}/.well-known/jwks.json",
            issuer=issuer,
            client_kwargs={"scope": SCOPES, "code_challenge_method": "S256", "verify": str(ca)},
        )
        self._client.client_cls = _Session
        self.app.before_request(self._note)
        for path, page in {
            "/": self._home,
            "/sign-in": self._sign_in,
            OPEN: self._open,
            BACK: self._back,
            "/more": self._more,
            BYE: self._bye,
        }.items():
            self.app.add_url_rule(path, path, page)
        self.app.add_url_rule("/out", "/out", self._out, methods=["POST"])

    def referrers(self) -> set[str]:
        """From where browsers said they came, that isn't this site itself."""
        return {visit["referer"] for visit in self.visits} - {""}

    def _note(self) -> None:
        self.visits.append({"path": request.path, "referer": request.headers.get("Referer", "")})

    def _page(self, title: str, **told: Any) -> str:
        return render_template_string(PAGE, title=title, told=told)

    def _home(self) -> str:
        held = session.get("held", {})
        return self._page("The portal" if held else "Not signed in", **held)

    def _sign_in(self, **more: str) -> Response:
        asked = {name: request.args[name] for name in ASKED if name in request.args}
        answer: Response = self._client.authorize_redirect(self.url + BACK, **asked, **more)
        return answer

    def _open(self) -> Response:
        if request.args.get("iss") != self.issuer:
            return Response(self._page("Somebody else's link"), 400, content_type="text/html")
        hint = {"login_hint": request.args["login_hint"]}
        return self._more(**hint) if self.careful else self._sign_in(**hint)

    def _more(self, **more: str) -> Response:
        return self._sign_in(acr_values="extra", **more)

    def _back(self) -> Response:
        if request.args.get("iss") != self.issuer:
            return Response(self._page("Mixed up"), 400, content_type="text/html")
        try:
            token = self._client.authorize_access_token()
        except OAuthError as error:
            return Response(self._page("Not this time", error=error.error), 400, content_type="text/html")
        known = {**token, **token["userinfo"]}
        session["held"] = {name: str(known[name]) for name in TOLD if name in known}
        session["id_token"] = token["id_token"]
        return redirect("/", 303)

    def _out(self) -> Response:
        hint = session.get("id_token", "")
        session.clear()
        return redirect(
            f"{self.issuer}/oauth2/logout?id_token_hint={hint}&post_logout_redirect_uri={self.url}{BYE}", 303
        )

    def _bye(self) -> str:
        return self._page("Goodbye")
