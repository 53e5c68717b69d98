"""Who may act for whom, in the records of both patients."""

from __future__ import annotations

from collections.abc import Sequence

from authsvc.model import Bucket, Dependent, RequestContext
from authsvc.store.mailing import Mailing
from authsvc.store.scripts import ScriptRunner
from authsvc.store.storage import StorageStore


class DependentStore:
    """Every method may raise PatientNotFound, RateLimited and Unavailable."""

    def __init__(self, runner: ScriptRunner, mailing: Mailing, storage: StorageStore) -> None:
        self._runner = runner
        self._mailing = mailing
        self._storage = storage

    def put(self, context: RequestContext, dependent: Dependent, buckets: Sequence[Bucket]) -> tuple[Dependent, bool]:
        """Create or replace, and whether it is new. Another end or other workflows end the sessions that rest on the
        relation. Raises DependentChain, InvalidInput (too many), StorageFull."""
        ends = "" if dependent.until_ms is None else str(dependent.until_ms)
        workflows = " ".join(dependent.workflows or ())
        *_, reply = self._runner.run_in_parts(
            "dependent_put",
            context,
            durable=True,
            storage_max=self._storage.limit_bytes(),
            guardian=dependent.guardian,
            dependent=dependent.dependent,
            ends=ends,
            workflows=workflows,
            delivery_ms=self._mailing.delivery_ms,
            limits=buckets,
        )
        return _relation(reply["guardian"], reply["dependent"], ends, workflows), "created" in reply

    def list(self, context: RequestContext, guardian: str, buckets: Sequence[Bucket]) -> list[Dependent]:
        """Those for whom a patient may act now."""
        reply = self._runner.run("dependent_list", context, guardian=guardian, limits=buckets)
        flat = reply.get("found", ())
        return [_relation(reply["guardian"], *flat[at : at + 3]) for at in range(0, len(flat), 3)]

    def remove(self, context: RequestContext, guardian: str, dependent: str, buckets: Sequence[Bucket]) -> bool:
        """End a relation and the sessions that rest on it; False where there is none."""
        *_, reply = self._runner.run_in_parts(
            "dependent_remove",
            context,
            durable=True,
            guardian=guardian,
            dependent=dependent,
            delivery_ms=self._mailing.delivery_ms,
            limits=buckets,
        )
        return "removed" in reply


def _relation(guardian: str, dependent: str, ends: str, workflows: str) -> Dependent:
    return Dependent(guardian, dependent, int(ends) if ends else None, tuple(workflows.split()) or None)
