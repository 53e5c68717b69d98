"""The audit log as tests read it."""

from __future__ import annotations

from typing import Any

from authsvc.flows.audit_log import AuditLog


def tail(audit_log: AuditLog, name: str, most: int = 20) -> list[dict[str, Any]]:
    """The youngest entries, readable, the oldest of them first. Raises UnknownName."""
    return list(audit_log.export(name)[0])[-most:]
