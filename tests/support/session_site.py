"""The small application with all the cookies that balancers hang on to; its nodes share sessions but for Tomcat's.

Scripts may read all but the shared session's.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterable
from typing import Any

from tests.support import plain_site
from tests.support.served_pages import from_environment

#: A session's credential that all nodes know.
SESSION = plain_site.SESSION
#: A session as Tomcat writes it: 32 hexadecimal digits, a dot, the node's route; other nodes do not know it.
TOMCAT = "JSESSIONID"
#: Tells visitors apart, and opens nothing.
SHOPPER = "shopper"
#: For a balancer that writes its own value in place of the application's.
WHERE = "where"


class Application:
    """:param node: its route."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._sessions: set[str] = set()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        pairs = [pair.strip().partition("=") for pair in environ.get("HTTP_COOKIE", "").split(";")]
        sent = {name: value for name, _, value in reversed(pairs)}

        def start(status: str, headers: list[tuple[str, str]]) -> Any:
            more = self._cookies(sent) if ("Content-Type", "text/css") not in headers else {}
            lines = [("Set-Cookie", f"{name}={value}; Path=/") for name, value in more.items()]
            return start_response(status, [*headers, *lines])

        return plain_site.application(environ, start)

    def _cookies(self, sent: dict[str, str]) -> dict[str, str]:
        given = {name: secrets.token_hex(8) for name in (SHOPPER, WHERE) if name not in sent}
        if sent.get(TOMCAT, "").partition(".")[0] not in self._sessions:
            session = secrets.token_hex(16).upper()
            self._sessions.add(session)
            given[TOMCAT] = f"{session}.{self._node}"
        return given


if __name__ == "__main__":
    plain_site.serve(int(sys.argv[1]), from_environment(Application(os.environ["LBC_TEST_NODE"])))
