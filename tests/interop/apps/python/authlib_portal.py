"""Authlib's client for Flask."""

from __future__ import annotations

from typing import Any

from authlib.integrations.flask_client import OAuth
from flask import Flask, redirect, session
from portal import CLIENT_ID, CLIENT_SECRET, ISSUER, SCOPE, URL, serve

app = Flask(__name__)
app.secret_key = "only for this process"
tokens: dict[str, Any] = {}  # by `sub`: three tokens are too much for a cookie

authsvc = OAuth(app).register(
    "authsvc",
    client_id=CLIENT_ID,
    client_secret=CLIENT_SECRET,
    server_metadata_url=f"{ISSUER}/.well-known/openid-configuration",
    client_kwargs={"scope": SCOPE, "code_challenge_method": "S256"},
)


@app.get("/login")
def login() -> Any:
    return authsvc.authorize_redirect(f"{URL}/callback")


@app.get("/callback")
def callback() -> Any:
    token = authsvc.authorize_access_token()
    tokens[token["userinfo"]["sub"]] = token
    session["sub"] = token["userinfo"]["sub"]
    return redirect("/me")


@app.get("/me")
def me() -> Any:
    if "sub" not in session:
        return {}, 401
    token = tokens[session["sub"]]
    return {"sub": token["userinfo"]["sub"], "userinfo": authsvc.userinfo(token=token)}


@app.get("/refresh")
def refresh() -> Any:
    before = tokens[session["sub"]]
    after = authsvc.fetch_access_token(grant_type="refresh_token", refresh_token=before["refresh_token"])
    tokens[session["sub"]] = before | after
    return {"refreshed": after["access_token"] != before["access_token"]}


@app.get("/logout")
def logout() -> Any:
    token = tokens.pop(session.pop("sub"))
    return authsvc.logout_redirect(post_logout_redirect_uri=f"{URL}/bye", id_token_hint=token["id_token"])


@app.get("/bye")
def bye() -> Any:
    authsvc.validate_logout_response()
    return {"bye": True}


serve(app)
