"""Flask-OIDC. It keeps the tokens in Flask's session, and refreshes them by itself once they have expired."""

from __future__ import annotations

from typing import Any

from flask import Flask, session
from flask_oidc import OpenIDConnect
from portal import CLIENT_ID, CLIENT_SECRET, ISSUER, SCOPE, serve

app = Flask(__name__)
app.config.update(
    SECRET_KEY="only for this process",
    OIDC_CLIENT_SECRETS={"web": {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "issuer": ISSUER}},
    OIDC_SCOPES=SCOPE,
    OIDC_USER_INFO_ENABLED=True,
)
oidc = OpenIDConnect(app)


@app.get("/me")
@oidc.require_login
def me() -> Any:
    profile = session["oidc_auth_profile"]
    return {"sub": profile["sub"], "userinfo": profile}


serve(app)
