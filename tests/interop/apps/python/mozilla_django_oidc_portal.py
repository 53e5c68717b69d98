"""mozilla-django-oidc: addresses and the algorithm as it wants them, by name, and PKCE switched on."""

from __future__ import annotations

from urllib.parse import urlencode

from portal import CLIENT_ID, CLIENT_SECRET, ISSUER, URL, django, serve

app = django(
    "mozilla_django_oidc",
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

from django.http import HttpRequest, JsonResponse  # noqa: E402 - what Django has is there once it is set up
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


urlpatterns = [path("oidc/", include("mozilla_django_oidc.urls")), path("me", me), path("bye", bye)]

if __name__ == "__main__":
    serve(app)
