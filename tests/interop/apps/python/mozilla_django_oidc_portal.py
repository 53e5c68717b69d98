"""mozilla-django-oidc: addresses and the algorithm as it wants them, by name, and PKCE switched on.

It has no refresh tokens: from time to time it asks for a new ID token by `prompt=none`.
"""

from __future__ import annotations

from urllib.parse import urlencode

from portal import CLIENT_ID, CLIENT_SECRET, ISSUER, URL, django, serve

app = django(
    "mozilla_django_oidc",
    middleware=("mozilla_django_oidc.middleware.SessionRefresh",),
    AUTHENTICATION_BACKENDS=["mozilla_django_oidc.auth.OIDCAuthenticationBackend"],
    OIDC_RP_CLIENT_ID=CLIENT_ID,
    OIDC_RP_CLIENT_SECRET=CLIENT_SECRET,
    OIDC_RP_SIGN_ALGO="RS256",
    OIDC_OP_JWKS_ENDPOINT=f"{ISSUER}/.well-known/jwks.json",
    OIDC_OP_AUTHORIZATION_ENDPOINT=f"{ISSUER}/oauth2/authorize",
    OIDC_OP_TOKEN_ENDPOINT=f"{ISSUER}/oauth2/token",
    OIDC_OP_USER_ENDPOINT=f"{ISSUER}/oauth2/userinfo",
    OIDC_USE_PKCE=True,
    OIDC_STORE_ID_TOKEN=True,
    OIDC_OP_LOGOUT_URL_METHOD="__main__.end_session",
    ALLOW_LOGOUT_GET_METHOD=True,
)

from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402 - what Django has is there once it is set up
from django.shortcuts import redirect  # noqa: E402
from django.urls import include, path  # noqa: E402


def end_session(request: HttpRequest) -> str:
    hint = request.session["oidc_id_token"]
    return f"{ISSUER}/oauth2/logout?{urlencode({'id_token_hint': hint, 'post_logout_redirect_uri': f'{URL}/bye'})}"


def me(request: HttpRequest) -> JsonResponse:
    if not request.user.is_authenticated:
        return JsonResponse({}, status=401)
    return JsonResponse({"userinfo": {"email": request.user.email}})  # it finds people by address, and keeps no `sub`


def bye(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"bye": not request.user.is_authenticated})


def refresh(request: HttpRequest) -> HttpResponse:
    """The next page finds that the ID token is old."""
    request.session["before"] = request.session["oidc_id_token"]
    request.session["oidc_id_token_expiration"] = 0
    return redirect("/refreshed")


def refreshed(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"refreshed": request.session["oidc_id_token"] != request.session["before"]})


urlpatterns = [
    path("oidc/", include("mozilla_django_oidc.urls")),
    path("me", me),
    path("refresh", refresh),
    path("refreshed", refreshed),
    path("bye", bye),
]

if __name__ == "__main__":
    serve(app)
