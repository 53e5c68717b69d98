"""social-auth-core (python-social-auth) in Django, with its own generic backend for OpenID Connect."""

from __future__ import annotations

from portal import CLIENT_ID, CLIENT_SECRET, ISSUER, django, serve

app = django(
    "social_django",
    AUTHENTICATION_BACKENDS=["social_core.backends.open_id_connect.OpenIdConnectAuth"],
    SOCIAL_AUTH_OIDC_OIDC_ENDPOINT=ISSUER,
    SOCIAL_AUTH_OIDC_KEY=CLIENT_ID,
    SOCIAL_AUTH_OIDC_SECRET=CLIENT_SECRET,
    SOCIAL_AUTH_OIDC_USE_PKCE=True,
    SOCIAL_AUTH_OIDC_TOKEN_ENDPOINT_AUTH_METHOD="client_secret_post",  # it refreshes so, whatever it did before
    SOCIAL_AUTH_REDIRECT_IS_HTTPS=True,
)

from django.http import HttpRequest, HttpResponse, JsonResponse  # noqa: E402 - what Django has is there once it is set up
from django.middleware.csrf import get_token  # noqa: E402
from django.urls import include, path  # noqa: E402
from social_django.utils import load_strategy  # noqa: E402


def login(request: HttpRequest) -> HttpResponse:
    """It takes a POST only, so that nobody is signed in by a link on another site."""
    token = f"<input type='hidden' name='csrfmiddlewaretoken' value='{get_token(request)}'>"
    return HttpResponse(f"<form method='post' action='/login/oidc/'>{token}<button>Sign in</button></form>")


def me(request: HttpRequest) -> JsonResponse:
    if not request.user.is_authenticated:
        return JsonResponse({}, status=401)
    found = request.user.social_auth.get(provider="oidc")
    return JsonResponse({"sub": found.uid, "userinfo": {"email": request.user.email}})


def refresh(request: HttpRequest) -> JsonResponse:
    found = request.user.social_auth.get(provider="oidc")
    before = found.access_token
    found.refresh_token(load_strategy(request))
    return JsonResponse({"refreshed": found.access_token != before})


urlpatterns = [
    path("login", login),
    path("", include("social_django.urls")),
    path("me", me),
    path("refresh", refresh),
]

if __name__ == "__main__":
    serve(app)
