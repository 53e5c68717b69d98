"""Sign-ins and sign-outs in a window beside the portal's own page, which waits for it as its opener.

Browsers part the two for good at the first answer on the way that says `Cross-Origin-Opener-Policy: same-origin`, as
all of ours do (HTML §7.1.3): the portal then takes the window for closed. So what a sign-in or a sign-out leads through
says nothing of the kind. It takes nothing from an opener either: no script of it may look into a page of another
origin, and no page of ours can be framed.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request


def allow(blueprint: Blueprint, *views: Callable[..., Response]) -> None:
    """Keep an opener with these views of the blueprint, or with all of it; with what goes wrong in them too."""
    names = {f"{blueprint.name}.{view.__name__}" for view in views}

    @blueprint.after_request
    def keep_opener(response: Response) -> Response:
        if not names or request.endpoint in names:
            response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
        return response
