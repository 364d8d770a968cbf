"""The dashboard's pages of visitors: a list of them, and the walk of one through the site."""

from __future__ import annotations

from urllib.parse import urlencode

from lbcompanion.crawler.admin.dashboard.rendering import render
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, Response, html_response
from lbcompanion.crawler.admin.sessions_api import SessionsApi

#: The filters of the list of visitors.
_FILTERS = ("from", "to", "site")


class WalkPages:
    """Serves the pages of visitors."""

    def __init__(self, sessions: SessionsApi) -> None:
        self._sessions = sessions

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/visitors", self._listing),
            Endpoint("/visitors/{visitor}", self._walk, action="view session"),
        ]

    async def _listing(self, call: Call) -> Response:
        found = await self._sessions.listing(call)
        filters = {name: text for name in _FILTERS if (text := call.argument(name))}
        page = render(
            "visitors.html",
            here="Visitors",
            user=call.user,
            sessions=found["sessions"],
            filters={name: filters.get(name, "") for name in _FILTERS},
            next=page_link("/visitors", filters, "after", found["next"]),
            previous=page_link("/visitors", filters, "before", found["previous"]),
        )
        return html_response(page)

    async def _walk(self, call: Call) -> Response:
        found = await self._sessions.walk(call)
        here = f"/visitors/{found['visitor']}"
        page = render(
            "walk.html",
            here="Visitors",
            user=call.user,
            walk=found,
            next=page_link(here, {}, "after", found["next"]),
            previous=page_link(here, {}, "before", found["previous"]),
        )
        return html_response(page)


def page_link(path: str, filters: dict[str, str], name: str, cursor: str | None) -> str:
    """Return the address of another page of a list; empty without a cursor."""
    return f"{path}?{urlencode({**filters, name: cursor})}" if cursor else ""
