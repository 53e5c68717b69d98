"""The command line, for operators: one module a noun.

`authsvc --help` must be instant, so this module and those of the nouns import click alone; whatever needs the service
is imported inside the command that needs it.
"""

from __future__ import annotations

import sys

try:
    from authsvc.cli.base import RootGroup
except ModuleNotFoundError as missing:  # installed for the verifier alone
    sys.exit(f"authsvc: {missing.name} is missing; the command line needs `pip install 'authsvc[server]'`.")

main = RootGroup(
    name="authsvc",
    help="Passwordless sign-in and emailed links for patients of medical practices.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused as unsafe. Every command takes --json.",
    nouns={
        "demo": "authsvc.cli.demo:demo",
        "serve": "authsvc.cli.serve:serve",
        "worker": "authsvc.cli.worker:worker",
        "check": "authsvc.cli.check:check",
        "keys": "authsvc.cli.keys:keys",
        "clients": "authsvc.cli.clients:clients",
        "practices": "authsvc.cli.practices:practices",
        "patients": "authsvc.cli.patients:patients",
        "links": "authsvc.cli.links:links",
        "mail": "authsvc.cli.mail:mail",
        "audit": "authsvc.cli.audit:audit",
        "token": "authsvc.cli.tokens:token",
        "redis-acl": "authsvc.cli.redis_acl:redis_acl",
        "openapi": "authsvc.cli.openapi:openapi",
    },
)
