"""A record of the pages that the demo's application made, to compare the archive with."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from attrs import frozen


@frozen
class ServedPage:
    """One HTML page, as the application made it.

    :ivar visit: the page view's id; empty if the visitor sent none (a person's browser).
    :ivar node: the application node that made it.
    :ivar path: the requested path.
    :ivar status: the status it was sent with.
    :ivar sha256: the SHA-256 of its bytes before any content coding, in hexadecimal.
    :ivar size_bytes: the number of these bytes.
    """

    visit: str
    node: str
    method: str
    path: str
    status: int
    sha256: str
    size_bytes: int


class ServedPages:
    """Records every HTML page of the last ``limit`` visits.

    :param on_page: called for each page.
    """

    def __init__(self, limit: int = 10000, on_page: Callable[[ServedPage], None] | None = None) -> None:
        self._limit = limit
        self._on_page = on_page
        self._by_visit: dict[str, list[ServedPage]] = {}

    def add(self, visit: str, node: str, method: str, path: str, status: int, body: bytes) -> None:
        """Record one page."""
        served = ServedPage(visit, node, method, path, status, sha256(body).hexdigest(), len(body))
        if self._on_page is not None:
            self._on_page(served)
        if not visit:
            return
        self._by_visit.setdefault(visit, []).append(served)
        while len(self._by_visit) > self._limit:
            del self._by_visit[next(iter(self._by_visit))]

    def served(self, visit: str) -> tuple[ServedPage, ...]:
        """Return all pages of a visit, oldest first; several if the balancer tried a second node."""
        return tuple(self._by_visit.get(visit, ()))

    def page_of(self, visit: str, node: str) -> ServedPage | None:
        """Return the last page that this node made for this visit."""
        return next((one for one in reversed(self.served(visit)) if one.node == node), None)
