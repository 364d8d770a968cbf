"""A visitor without a browser: keeps cookies, takes the tag out of a page, and posts the notice as the script does."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from attrs import frozen

from lbcompanion.sticky.cookies import names_match
from tests.support.served_pages import PAGE_ID

_TAG = re.compile(
    rb'<script async src="[^"]*/_lbc/fetch-from(?:\.js)?\?v=[0-9a-f]+" data-lbc-token="([A-Za-z0-9_-]+)"'
    rb' data-lbc-fetch-from="[^"]*"[^>]*></script>'
)


def without_tag(page: bytes) -> tuple[bytes, str]:
    """A page as received, less the one tag; and the token in it."""
    tags = _TAG.findall(page)
    assert len(tags) == 1, f"{len(tags)} tags in {page[:2000]!r}"
    return _TAG.sub(b"", page), tags[0].decode()


@frozen
class View:
    """One page as a visitor saw it.

    :ivar body: less the tag.
    :ivar page_id: of the ledger's entry.
    """

    url: str
    method: str
    status: int
    page_id: str
    token: str
    body: bytes


class Visitor:
    """One visitor, on a kept connection.

    :param told: the names, or patterns, of the cookies that the page's script is told to look for.
    :param address: where he comes from; empty: wherever.
    :param forgiving: whether he asks once more where a connection was closed, as browsers do with a kept one.
    """

    def __init__(self, port: int, told: tuple[str, ...] = (), address: str = "", forgiving: bool = False) -> None:
        self._origin = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=60, source_address=(address, 0) if address else None
        )
        self.cookies: dict[str, str] = {}
        self._on_notice = told
        self._forgiving = forgiving
        self._hidden: set[str] = set()

    def view(self, path: str) -> View:
        """Look at a page."""
        status, page_id, body = self._ask("GET", path)
        assert status == 200, f"{path}: status {status}"
        body, token = without_tag(body)
        return View(self._origin + path, "GET", status, page_id, token, body)

    def get(self, path: str) -> bytes:
        """Look at a page of a site without companions."""
        status, _, body = self._ask("GET", path)
        assert status == 200, f"{path}: status {status}"
        return body

    def notice(self, view: View) -> None:
        """Say that it was seen, with those of the cookies that a script may read."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        readable = self.cookies.keys() - self._hidden
        cookies = {name: self.cookies[name] for name in readable if names_match(self._on_notice, name)}
        said = json.dumps({"token": view.token, "url": view.url, "cookies": cookies, "viewed_at": now})
        status, _, _ = self._ask("POST", "/_lbc/notice", said.encode())
        assert status == 204, f"notice: status {status}"

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, str, bytes]:
        headers = {"Accept": "text/html,*/*"}
        if body is not None:
            headers["Content-Type"] = "text/plain;charset=UTF-8"
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer, received = self._exchange(method, path, body, headers, self._forgiving)
        for line in answer.headers.get_all("Set-Cookie", []):
            pair, _, attributes = line.partition(";")
            name, _, value = pair.partition("=")
            self.cookies[name.strip()] = value.strip()
            if "httponly" in attributes.lower():
                self._hidden.add(name.strip())
        return answer.status, answer.getheader(PAGE_ID, ""), received

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], again: bool
    ) -> tuple[http.client.HTTPResponse, bytes]:
        try:
            self._connection.request(method, path, body, dict(headers))
            answer = self._connection.getresponse()
            return answer, answer.read()
        except (OSError, http.client.HTTPException) as failure:
            self._connection.close()
            if not again or not isinstance(failure, ConnectionResetError | BrokenPipeError):
                raise
            return self._exchange(method, path, body, headers, again=False)
