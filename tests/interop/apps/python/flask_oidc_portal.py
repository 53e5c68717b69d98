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


@app.get("/refresh")
@oidc.require_login
def refresh() -> Any:
    before = session["oidc_auth_token"]
    session["oidc_auth_token"] = {**before, "expires_at": 1}  # what it looks at before every request
    failed = oidc.check_token_expiry()
    return {"refreshed": failed is None and session["oidc_auth_token"]["access_token"] != before["access_token"]}


serve(app)
