"""The small application with things on its pages that are nobody else's business."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from tests.support import plain_site
from tests.support.served_pages import from_environment

#: Below ``/private`` they stand on every page.
SECRETS = (b"tiger-in-the-tank", b"balance 4711.00")
_MARKUP = (
    b'<form><input type=password name=p value="tiger-in-the-tank"></form>\n'
    b"<!-- lbc:exclude --><p>balance 4711.00<!-- /lbc:exclude -->\n"
)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer."""
    private = environ["PATH_INFO"].startswith("/private")

    def start(status: str, headers: list[tuple[str, str]]) -> Any:
        sized = dict(headers)
        if private:
            sized["Content-Length"] = str(int(sized["Content-Length"]) + len(_MARKUP))
        return start_response(status, list(sized.items()))

    answered = b"".join(plain_site.application(environ, start))
    return [answered + _MARKUP * private]


if __name__ == "__main__":
    plain_site.serve(int(sys.argv[1]), from_environment(application))
