"""The dashboard's page that erases one recording, or all recordings of its visitor, after a question."""

from __future__ import annotations

from typing import Any

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.dashboard.rendering import render
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, html_response
from lbcompanion.crawler.admin.guard import require_same_origin
from lbcompanion.crawler.admin.recordings_api import Recordings
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.erasure.erasure_service import ErasureService
from lbcompanion.crawler.queue.erasures import Selection


class ErasePages:
    """Erases from the dashboard.

    :param defer: runs calls on the thread of the database.
    """

    def __init__(self, *, recordings: Recordings, erasure: ErasureService, defer: Defer) -> None:
        self._recordings = recordings
        self._erasure = erasure
        self._defer = defer

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints: each question is asked at the address to which its answer is sent."""
        made = []
        for what in ("erase", "erase-visitor"):
            path = f"/recording/{{token}}/{what}"
            made += [
                Endpoint(path, self._ask, role=Role.OPERATOR),
                Endpoint(path, self._erase, ("POST",), role=Role.OPERATOR, action="erase"),
            ]
        return made

    async def _selection(self, call: Call) -> tuple[dict[str, Any], Selection]:
        each = await self._recordings.recording(call.params["token"])
        if not call.request.path.endswith(b"/erase-visitor"):
            return each, Selection(tokens=(each["token"],))
        if not each["visitor"]:
            raise HttpError(404, "the visitor of that recording is not known")
        return each, Selection(visitors=(each["visitor"],))

    async def _ask(self, call: Call) -> Response:
        each, selection = await self._selection(call)
        matches = await self._defer(self._erasure.erasures.count, selection)
        return html_response(render("erase.html", here="", user=call.user, each=each, matches=matches, done=None))

    async def _erase(self, call: Call) -> Response:
        require_same_origin(call.request)
        each, selection = await self._selection(call)
        await call.describe(f"by {selection.criteria}")
        done = await self._erasure.eraser.erase(selection, "api")
        return html_response(render("erase.html", here="", user=call.user, each=each, matches=None, done=done))
