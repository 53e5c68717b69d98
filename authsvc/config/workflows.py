"""The catalogue: which workflows exist, how sure each must be of the patient, and which scopes it grants.

`instant` workflows are opened by a link alone, `extra` ones by a code that was typed, and `access` links lead to a
code. A scope belongs to one security only: were `invoices:view` granted by an instant link somewhere, a forwarded mail
would open what a code protects. `load` refuses such a catalogue, with every other fault, before it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from authsvc.config.units import hint, read_toml, say_span, span_s
from authsvc.errors import Fault, SettingsInvalid
from authsvc.text import RESOURCE_TYPE, WORKFLOW

DEFAULT = Path(__file__).parent / "defaults" / "workflows.toml"

Security = Literal["instant", "extra", "access"]

LIFE_CEILING_S = {"instant": 30 * 86_400, "access": 7 * 86_400}
"""A mail stays in a mailbox for years; a link in it should not stay good for longer than a bill is open."""

MIN_LIFE_S = 60
MAX_USES_CEILING = 1_000

_KEYS = ("security", "resource", "scopes", "link_life", "max_uses")
_NAME = re.compile(WORKFLOW)
_RESOURCE = re.compile(RESOURCE_TYPE)
_SCOPE = re.compile(rf"{RESOURCE_TYPE}:{RESOURCE_TYPE}")  # well within a scope-token of RFC 6749 §3.3


@dataclass(frozen=True)
class Workflow:
    """One thing that a patient does. `link_life_s` is default and ceiling of its links; None: it has no links.

    `max_uses` is how often a link may be exchanged unless less is asked for; None: any number of times.
    """

    name: str
    security: Security
    resource: str | None
    scopes: tuple[str, ...]
    link_life_s: int | None
    max_uses: int | None


class Catalogue:
    """All workflows, in the order of the file."""

    def __init__(self, workflows: tuple[Workflow, ...]) -> None:
        self._by_name = {workflow.name: workflow for workflow in workflows}
        self.instant_scopes = self._scopes("instant")
        self.extra_scopes = self._scopes("extra")
        self.code_scopes = self._scopes("instant", "extra")  # whoever typed a code may also do what a link could

    def get(self, name: str) -> Workflow | None:
        return self._by_name.get(name)

    def all(self) -> tuple[Workflow, ...]:
        return tuple(self._by_name.values())

    def _scopes(self, *securities: Security) -> tuple[str, ...]:
        """Each once, in catalogue order."""
        found = [scope for workflow in self.all() if workflow.security in securities for scope in workflow.scopes]
        return tuple(dict.fromkeys(found))


def load(path: str | None = None) -> Catalogue:
    """The catalogue of this file; None or "": the packaged one. Raises SettingsInvalid with every fault there is."""
    table = read_toml(path or str(DEFAULT), "AUTHSVC_WORKFLOWS_FILE")
    if isinstance(table, Fault):
        raise SettingsInvalid(table)
    faults: list[Fault] = []
    workflows = tuple(_workflow(name, entry, faults) for name, entry in table.items())
    faults += _contradictions(workflows)
    if faults:
        raise SettingsInvalid(*faults)
    return Catalogue(workflows)


def _workflow(name: str, entry: object, faults: list[Fault]) -> Workflow:
    """One table of the file. What is at fault is noted and left empty, so that the others are still compared."""
    of = f"workflows: {name!r}"
    if not _NAME.fullmatch(name):
        faults.append(Fault(of, "a workflow's name is lower-case letters, digits and hyphens, at most 40"))
    if not isinstance(entry, dict):
        faults.append(Fault(of, "must be a table of its own: [name]"))
        return Workflow(name, "extra", None, (), None, None)
    for key in entry.keys() - set(_KEYS):
        faults.append(Fault(f"{of} {key}", f"is not known here{hint(key, _KEYS)}"))

    security: Security = entry.get("security", "")
    if security not in get_args(Security):
        faults.append(Fault(f"{of} security", "must be instant, extra or access"))
        return Workflow(name, "extra", None, (), None, None)

    def noted(key: str, parse: Callable[[Any, Security], Any]) -> Any:
        try:
            return parse(entry.get(key), security)
        except ValueError as problem:
            faults.append(Fault(f"{of} {key}", str(problem)))
            return None

    resource, scopes = noted("resource", _resource), noted("scopes", _scopes) or ()
    if resource and any(not scope.startswith(f"{resource}:") for scope in scopes):
        # authorization_details say type and actions (RFC 9396 §2.2), which are taken from the scopes.
        faults.append(Fault(f"{of} scopes", f"must all begin with {resource}:, the resource that the link is about"))
    return Workflow(name, security, resource, scopes, noted("link_life", _link_life), noted("max_uses", _max_uses))


def _resource(raw: Any, security: Security) -> str | None:
    if raw is None:
        return None
    if security != "instant":
        raise ValueError("is for instant workflows: a code is good for all of the patient's resources")
    if not isinstance(raw, str) or not _RESOURCE.fullmatch(raw):
        raise ValueError("must be lower-case letters, digits and underscores, at most 32")
    return raw


def _scopes(raw: Any, security: Security) -> tuple[str, ...]:
    if security == "access":
        if raw is not None:
            raise ValueError("must be left out: an access link grants nothing, the code that follows does")
        return ()
    if not isinstance(raw, list) or not raw:
        raise ValueError('must be a list of scopes, such as ["invoice:view"]')
    if not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in raw):
        raise ValueError("must each be thing:action in lower-case letters, digits and underscores")
    if len(set(raw)) < len(raw):
        raise ValueError("names a scope twice")
    return tuple(raw)


def _link_life(raw: Any, security: Security) -> int | None:
    if security == "extra":
        if raw is not None:
            raise ValueError("must be left out: an extra workflow has no link")
        return None
    ceiling_s = LIFE_CEILING_S[security]
    life_s = 0 if raw is None else span_s(raw)
    if not MIN_LIFE_S <= life_s <= ceiling_s:
        raise ValueError(f"is required, from {say_span(MIN_LIFE_S)} to {say_span(ceiling_s)}")
    return life_s


def _max_uses(raw: Any, security: Security) -> int | None:
    if raw is None:
        return None
    if security == "extra":
        raise ValueError("must be left out: an extra workflow has no link")
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= MAX_USES_CEILING:
        raise ValueError(f"must be a whole number from 1 to {MAX_USES_CEILING}")
    return raw


def _contradictions(workflows: tuple[Workflow, ...]) -> Iterator[Fault]:
    """What is wrong between workflows that are fine alone."""
    if not any(workflow.security == "access" for workflow in workflows):
        yield Fault("workflows", "no access workflow is there, but sign-in mails may have to carry an access link")
    protected = {s: workflow.name for workflow in workflows if workflow.security == "extra" for s in workflow.scopes}
    for workflow in workflows:
        for scope in workflow.scopes:
            if workflow.security == "instant" and scope in protected:
                detail = f"would grant {scope} by a mere link, but {protected[scope]!r} asks for a code"
                yield Fault(f"workflows: {workflow.name!r} scopes", detail)
