"""The endpoints of the dashboard."""

from __future__ import annotations

from collections.abc import Callable

from lbcompanion.crawler.admin import dashboard
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, Response, html_response
from lbcompanion.crawler.admin.monitoring import Monitoring
from lbcompanion.crawler.admin.recordings_api import Query, Recordings, read_query


class DashboardPages:
    """Serves the dashboard.

    :param sites: returns the origins of the crawler's sites.
    """

    def __init__(self, *, recordings: Recordings, monitoring: Monitoring, sites: Callable[[], list[str]]) -> None:
        self._recordings = recordings
        self._monitoring = monitoring
        self._sites = sites

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/", self._dashboard),
            Endpoint("/live", self._live),
            Endpoint("/recording/{token}", self._recording),
            Endpoint("/dashboard.css", self._css),
            Endpoint("/dashboard.js", self._js),
        ]

    async def _dashboard(self, call: Call) -> Response:
        query = read_query(call)
        return html_response(dashboard.page(await self._live_html(query), query.texts, self._sites()))

    async def _live(self, call: Call) -> Response:
        return html_response(await self._live_html(read_query(call)))

    async def _live_html(self, query: Query) -> str:
        listing = await self._recordings.listing(query)
        numbers = await self._monitoring.numbers()
        return dashboard.live(numbers, listing, self._recordings.routes(), query.texts)

    async def _recording(self, call: Call) -> Response:
        return html_response(dashboard.recording_page(await self._recordings.recording(call.params["token"])))

    async def _css(self, _call: Call) -> Response:
        return Response(dashboard.CSS.encode(), "text/css; charset=utf-8")

    async def _js(self, _call: Call) -> Response:
        return Response(dashboard.JS.encode(), "text/javascript; charset=utf-8")
