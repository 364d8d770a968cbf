"""The model of a browser that heeds the path of cookies, and loads the script and posts the notice as the tag says."""

from __future__ import annotations

import http.client
import json
import re
from datetime import UTC, datetime
from urllib.parse import urljoin, urlsplit

_TAG = re.compile(rb'<script async src="([^"]+)" data-lbc-token="([^"]+)"')


class Browser:
    """The model of a browser: cookies have a path (RFC 6265 section 5), scripts are cached."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cached: set[str] = set()
        self.jar: dict[tuple[str, str], str] = {}

    def sticky(self) -> dict[str, str]:
        """The values of the sticky cookie, by path."""
        return {scope: value for (name, scope), value in self.jar.items() if name == "SRV"}

    def ask(self, method: str, url: str, body: bytes | None = None) -> tuple[int, bytes]:
        """One request, on a connection of its own."""
        path = urlsplit(url).path
        cookies = [f"{name}={value}" for (name, scope), value in self.jar.items() if _covers(scope, path)]
        line = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            target = url.partition(f":{self._port}")[2]
            line.request(method, target, body, {"Cookie": "; ".join(cookies)} if cookies else {})
            answer = line.getresponse()
            received = answer.read()
        finally:
            line.close()
        for given in answer.headers.get_all("Set-Cookie", []):
            pair, *attributes = given.split(";")
            name, _, value = pair.partition("=")
            scopes = [
                attribute.strip()[5:] for attribute in attributes if attribute.strip().lower().startswith("path=")
            ]
            self.jar[name, scopes[-1] if scopes else path[: path.rindex("/")] or "/"] = value
        return answer.status, received

    def view(self, path: str) -> tuple[str, dict[str, str]]:
        """Look at a page, with all that its tag does; its token, and the sticky cookie right behind the page."""
        url = f"http://127.0.0.1:{self._port}{path}"
        status, page = self.ask("GET", url)
        found = _TAG.search(page)
        assert status == 200
        assert found is not None
        sticky = self.sticky()
        script, token = urljoin(url, found[1].decode()), found[2].decode()
        if script not in self._cached:
            assert self.ask("GET", script)[0] == 200
            self._cached.add(script)
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        said = json.dumps({"token": token, "url": url, "cookies": {}, "viewed_at": now}).encode()
        assert self.ask("POST", urljoin(script, "notice"), said)[0] == 204
        return token, sticky


def _covers(scope: str, path: str) -> bool:
    return path == scope or path.startswith(scope if scope.endswith("/") else f"{scope}/")
