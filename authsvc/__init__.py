"""authsvc: passwordless sign-in and emailed links for patients of medical practices."""

__version__ = "0.1.0"
