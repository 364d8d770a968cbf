"""The dashboard's pages of versions: those of one address, and two recordings side by side."""

from __future__ import annotations

from typing import Any

from lbcompanion.crawler.admin.dashboard.rendering import render
from lbcompanion.crawler.admin.dashboard.walks import page_link
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, HttpError, Response, html_response
from lbcompanion.crawler.admin.versions_api import VersionsApi


class VersionPages:
    """Serves the pages of versions."""

    def __init__(self, versions: VersionsApi) -> None:
        self._versions = versions

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/versions", self._listing),
            Endpoint("/compare", self._compare, action="compare pages"),
        ]

    async def _listing(self, call: Call) -> Response:
        url = call.argument("url")
        found: dict[str, Any] = {"url": "", "versions": [], "recordings": [], "next": None, "previous": None}
        if url:
            found = await self._versions.versions(call)
        tokens = [each["token"] for each in found["recordings"]]
        page = render(
            "versions.html",
            here="Versions",
            user=call.user,
            found=found,
            # The newest recording of the last version, and the newest one of the version before.
            chosen=[each["last_token"] for each in found["versions"][:2][::-1]] or tokens[:2],
            next=page_link("/versions", {"url": url}, "after", found["next"]),
            previous=page_link("/versions", {"url": url}, "before", found["previous"]),
        )
        return html_response(page)

    async def _compare(self, call: Call) -> Response:
        a, b = call.argument("a"), call.argument("b")
        if not a or not b:
            raise HttpError(400, "a, b: the tokens of two recordings are needed")
        found = await self._versions.compare(a, b)
        return html_response(render("compare.html", here="Versions", user=call.user, found=found))
