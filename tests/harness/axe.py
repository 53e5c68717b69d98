"""axe, which looks for what keeps people out of a page (WCAG 2.2 AA).

`Axe.violations` loads axe into a page once, asks for violations only, and returns them as text. Everything but the
contrast of colours is the same in the light and the dark scheme: `contrast_only` looks at that alone.
"""

from __future__ import annotations

from typing import Any

import pytest

WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
LOADED = "() => typeof axe !== 'undefined'"
RUN = """
    async options => (await axe.run(document, options)).violations.map(
        found => [found.id, found.help, ...found.nodes.map(node => node.html + '\\n' + node.failureSummary)].join('\\n')
    )
"""


class Axe:
    """Skips the test where axe is missing."""

    def __init__(self) -> None:
        base = pytest.importorskip("axe_playwright_python.base", reason="NOT TESTED, there is no axe here: make test")
        self._source: str = base.AXE_FILE_PATH.read_text(encoding="utf-8")

    def violations(self, page: Any, *more_tags: str, contrast_only: bool = False) -> list[str]:
        """What breaks a rule of WCAG 2.2 A or AA, or of axe's `more_tags`."""
        rules = {"type": "rule", "values": ["color-contrast"]}
        if not contrast_only:
            rules = {"type": "tag", "values": [*WCAG, *more_tags]}
        if not page.evaluate(LOADED):
            page.evaluate(self._source)
        found: list[str] = page.evaluate(RUN, {"runOnly": rules, "resultTypes": ["violations"]})
        return found
