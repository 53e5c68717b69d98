"""The OpenID Provider's endpoints that a browser or a bearer token comes to."""
