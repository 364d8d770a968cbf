"""The endpoints of the dashboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin import health_parts
from lbcompanion.crawler.admin.activity_api import ActivityApi, read_span
from lbcompanion.crawler.admin.dashboard.charts import delay_chart, pages_chart
from lbcompanion.crawler.admin.dashboard.rendering import removed_parts, render, size, static, when
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, Response, html_response
from lbcompanion.crawler.admin.health_api import HealthApi
from lbcompanion.crawler.admin.health_parts import State
from lbcompanion.crawler.admin.monitoring import Monitoring
from lbcompanion.crawler.admin.recordings_api import Query, Recordings, read_query
from lbcompanion.crawler.queue.filter_texts import FILTER_NAMES
from lbcompanion.crawler.queue.filters import OPEN
from lbcompanion.model import DEFAULT_LADDER

#: How many recordings the overview shows.
_NEWEST = 20
_SPANS = (("Hour", 1), ("6 hours", 6), ("Day", 24), ("Week", 168), ("30 days", 720))
_FILES = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class DashboardPages:
    """Serves the dashboard.

    :param health: returns the health of all parts in words.
    :param sites: returns the origins of the crawler's sites.
    :param activity: the counts over time; None: no pictures of them.
    :param runs_scripts: whether there is a listener where recorded pages run their scripts.
    """

    def __init__(
        self,
        *,
        recordings: Recordings,
        monitoring: Monitoring,
        health: HealthApi,
        sites: Callable[[], list[str]],
        activity: ActivityApi | None = None,
        runs_scripts: bool = False,
    ) -> None:
        self._activity = activity
        self._runs_scripts = runs_scripts
        self._recordings = recordings
        self._monitoring = monitoring
        self._health = health
        self._sites = sites

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/", self._overview),
            Endpoint("/live", self._live),
            Endpoint("/recordings", self._listing),
            Endpoint("/recording/{token}", self._recording),
            *(Endpoint(f"/{name}", self._file, role=Role.ANYBODY) for name in _FILES),
        ]

    async def _overview(self, call: Call) -> Response:
        values = await self._overview_values(call)
        return html_response(render("overview.html", here="Overview", user=call.user, sites=self._sites(), **values))

    async def _live(self, call: Call) -> Response:
        return html_response(render("overview_live.html", **await self._overview_values(call)))

    async def _overview_values(self, call: Call) -> dict[str, Any]:
        listing = await self._recordings.listing(Query(_NEWEST))
        parts = await self._health.parts()
        return {
            "health": health_parts.worst(parts),
            "wanting": [part for part in parts if part.state is not State.OK],
            "working": [part for part in parts if part.state is State.OK],
            "numbers": await self._monitoring.numbers(),
            "routes": self._recordings.routes(),
            "recordings": listing["recordings"],
            **await self._pictures(call),
        }

    async def _pictures(self, call: Call) -> dict[str, Any]:
        if self._activity is None:
            return {"pages_chart": None}
        span = read_span(call)
        found = await self._activity.read(span)
        return {
            "found": found,
            "pages_chart": pages_chart(found),
            "delay_chart": delay_chart(found),
            "spans": _SPANS,
            "chosen": span // 3600,
            "daily": span > 2 * 86400,
        }

    async def _listing(self, call: Call) -> Response:
        query = read_query(call)
        listing = await self._recordings.listing(query)

        def link(name: str, cursor: str | None) -> str:
            return "/recordings?" + urlencode({**query.texts, name: cursor}) if cursor else ""

        page = render(
            "recordings.html",
            here="Recordings",
            user=call.user,
            recordings=listing["recordings"],
            filters={name: query.texts.get(name, "") for name in FILTER_NAMES},
            ladder=DEFAULT_LADDER,
            next=link("after", listing["next"]),
            previous=link("before", listing["previous"]),
            stream=_stream_of(query),
            first="/recordings?" + urlencode(query.texts),
            searched_to=listing["searched_to"],
        )
        return html_response(page)

    async def _recording(self, call: Call) -> Response:
        each = await self._recordings.recording(call.params["token"])
        shown = {"each": each, "facts": list(_facts(each)), "runs_scripts": self._runs_scripts}
        return html_response(render("recording.html", here="", user=call.user, **shown))

    async def _file(self, call: Call) -> Response:
        name = call.request.path.decode("ascii").removeprefix("/")
        return Response(static(name), _FILES[name])


def _stream_of(query: Query) -> str:
    """Return the address of the outcomes that a listing would show first; empty if there are none."""
    if query.after or query.before or query.filters.outcome == OPEN:
        return ""
    return "/api/recordings/stream" + ("?" + urlencode(query.texts) if query.texts else "")


def _facts(each: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the facts about a recording, in words."""
    yield "Outcome", each["outcome"] or "open: not fetched yet"
    if each["reason"]:
        yield "Reason", each["reason"]
    yield "Made by node", each["origin_node"]
    if each["answered_by"]:
        yield "Fetched from node", f"{each['answered_by']} (route: {each['route']})"
    for name, key in (
        ("Viewed", "viewed_at"),
        ("Noticed", "noticed_at"),
        ("Copy made", "captured_at"),
        ("Finished", "finished_at"),
    ):
        if each[key]:
            yield name, when(each[key])
    if each["visitor"]:
        yield "Visitor", each["visitor"]
    yield "Reported by", each["by"]
    if each["bytes"] is not None:
        yield "Page", f"{size(each['bytes'])}, {each['content_type'] or 'without a type'}"
        yield "SHA-256", each["sha256"]
        if each["removed"] is None:
            yield "Removed from the copy", "not known: its node did not say it"
        else:
            yield "Removed from the copy", removed_parts(each["removed"]) or "nothing: the copy has all of the page"
    if each["warc"]:
        yield "Record", f"{each['warc']['file']} at {each['warc']['offset']}"
    yield "Token", each["token"]
