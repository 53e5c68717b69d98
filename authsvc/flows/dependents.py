"""Who may act for whom: the practice says so, and takes it back."""

from __future__ import annotations

import builtins
from collections.abc import Sequence

from authsvc.errors import Fault, InvalidInput, NotFound
from authsvc.flows.dependencies import Dependencies
from authsvc.model import Bucket, Dependent, RequestContext
from authsvc.store.dependents import DependentStore


class Dependents:
    """The use cases around a guardian's dependents. Each may raise PatientNotFound and RateLimited."""

    def __init__(self, deps: Dependencies, store: DependentStore) -> None:
        self._deps = deps
        self._store = store

    def put(
        self,
        context: RequestContext,
        guardian: str,
        dependent: str,
        *,
        until_ms: int | None = None,
        workflows: Sequence[str] | None = None,
    ) -> tuple[Dependent, bool]:
        """Let `guardian` act for `dependent`; the second value says whether that is new. Both must be on file.

        `workflows` names extra workflows; None: all. Raises InvalidInput, DependentChain, StorageFull.
        """
        faults = [
            Fault(f"/workflows/{at}", "is no workflow that needs a code")
            for at, name in enumerate(workflows or ())
            if (workflow := self._deps.catalogue.get(name)) is None or workflow.security != "extra"
        ]
        if until_ms is not None and until_ms <= self._deps.clock.now_ms():
            faults.append(Fault("/until", "has passed already"))
        if faults:
            raise InvalidInput(*faults)
        until_ms = until_ms and until_ms // 1000 * 1000  # as it is shown
        names = None if workflows is None else tuple(dict.fromkeys(workflows))
        return self._store.put(context, Dependent(guardian, dependent, until_ms, names), self._buckets(context))

    def list(self, context: RequestContext, guardian: str) -> builtins.list[Dependent]:
        """Those for whom the patient may act now."""
        return self._store.list(context, guardian, self._buckets(context))

    def remove(self, context: RequestContext, guardian: str, dependent: str) -> None:
        """The guardian acts no more: its sessions for this dependent end at once. Raises NotFound where there was
        nothing to remove."""
        if not self._store.remove(context, guardian, dependent, self._buckets(context)):
            raise NotFound

    def _buckets(self, context: RequestContext) -> builtins.list[Bucket]:
        return self._deps.rate_limits.of_caller(context)
