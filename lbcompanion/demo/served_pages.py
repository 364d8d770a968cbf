"""What the demo's application really made: the other side of the comparison, and independent of the companion."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from attrs import frozen


@frozen
class ServedPage:
    """One HTML page, as the application wrote it.

    :ivar visit: the page view it answered; empty where the visitor named none (a person's browser).
    :ivar node: the application node that made it.
    :ivar path: the path asked for.
    :ivar status: the status it was sent with.
    :ivar sha256: of its bytes before any content coding, in hexadecimal.
    :ivar size_bytes: their number.
    """

    visit: str
    node: str
    method: str
    path: str
    status: int
    sha256: str
    size_bytes: int


class ServedPages:
    """Keeps an entry for every HTML page, the last ``limit`` visits of them."""

    def __init__(self, limit: int = 10000, on_page: Callable[[ServedPage], None] | None = None) -> None:
        self._limit = limit
        self._on_page = on_page
        self._by_visit: dict[str, list[ServedPage]] = {}

    def add(self, visit: str, node: str, method: str, path: str, status: int, body: bytes) -> None:
        """Write down one page."""
        served = ServedPage(visit, node, method, path, status, sha256(body).hexdigest(), len(body))
        if self._on_page is not None:
            self._on_page(served)
        if not visit:
            return
        self._by_visit.setdefault(visit, []).append(served)
        while len(self._by_visit) > self._limit:
            del self._by_visit[next(iter(self._by_visit))]

    def served(self, visit: str) -> tuple[ServedPage, ...]:
        """All pages of a visit, oldest first: more than one where a balancer asked a second node."""
        return tuple(self._by_visit.get(visit, ()))

    def page_of(self, visit: str, node: str) -> ServedPage | None:
        """The last page that this node made for this visit."""
        return next((one for one in reversed(self.served(visit)) if one.node == node), None)
