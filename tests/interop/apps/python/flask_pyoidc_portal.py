"""Flask-pyoidc, which has no PKCE."""

from __future__ import annotations

from typing import Any

from flask import Flask, session
from flask_pyoidc import OIDCAuthentication
from flask_pyoidc.provider_configuration import ClientMetadata, ProviderConfiguration
from flask_pyoidc.user_session import UserSession
from portal import CLIENT_ID, CLIENT_SECRET, ISSUER, SCOPE, URL, serve

app = Flask(__name__)
app.config.update(SECRET_KEY="only for this process", OIDC_REDIRECT_URI=f"{URL}/callback")
authsvc = ProviderConfiguration(
    issuer=ISSUER,
    client_metadata=ClientMetadata(CLIENT_ID, CLIENT_SECRET),
    auth_request_params={"scope": SCOPE.split()},
)
auth = OIDCAuthentication({"authsvc": authsvc}, app)


@app.get("/me")
@auth.oidc_auth("authsvc")
def me() -> Any:
    person = UserSession(session)
    return {"sub": person.id_token["sub"], "userinfo": person.userinfo}


@app.get("/refresh")
def refresh() -> Any:
    before = UserSession(session).access_token
    return {"refreshed": auth.valid_access_token(force_refresh=True) not in (None, before)}


@app.get("/logout")
@auth.oidc_logout
def logout() -> Any:
    return {"bye": True}


serve(app)
