"""The health of all parts in words: ``/api/health``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import asdict

from lbcompanion.crawler.admin import health_parts
from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.admin.endpoint import Call, Endpoint, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import ONE_LINE, TEXT, Doc, array, obj, one_of
from lbcompanion.crawler.admin.health_parts import Part, State
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.webhooks.senders import Webhooks
from lbcompanion.sticky.routes import Routes

_HOUR_SECONDS = 3600
_STATE = one_of(*State)
_PART = obj(kind=TEXT, name=TEXT, state=_STATE, what=ONE_LINE, advice=ONE_LINE)
_DOC = Doc("The state of each part, what is wrong, and what to do.", answer=obj(state=_STATE, parts=array(_PART)))


class HealthApi:
    """Shows the health.

    :param defer: runs calls on the thread of the database.
    :param sites: returns the names of the sites.
    :param activity: the counts over time; None: no part is a node.
    :param webhooks: the webhooks; None if there are none.
    """

    def __init__(
        self,
        *,
        health: Health,
        backlog: Backlog,
        routes: Routes,
        defer: Defer,
        sites: Callable[[], Iterable[str]],
        activity: ActivityApi | None = None,
        webhooks: Webhooks | None = None,
    ) -> None:
        self._health = health
        self._backlog = backlog
        self._routes = routes
        self._defer = defer
        self._sites = sites
        self._activity = activity
        self._webhooks = webhooks

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [Endpoint("/api/health", self._answer, doc=_DOC)]

    async def parts(self) -> list[Part]:
        """Return all parts, the worst first."""
        nodes: list[Part] = []
        webhooks: list[Part] = []
        try:
            await self._defer(self._backlog.check)
            if self._activity is not None:
                nodes = health_parts.of_nodes((await self._activity.read(_HOUR_SECONDS)).nodes)
            if self._webhooks is not None:
                webhooks = health_parts.of_webhooks(await self._webhooks.reports())
        except BacklogError:
            pass  # the database has reported it to health
        found = health_parts.of_problems(self._health.problems(), self._sites())
        found += [*nodes, *health_parts.of_routes(self._routes), *webhooks]
        return sorted(found, key=lambda part: -list(State).index(part.state))

    async def _answer(self, _call: Call) -> Response:
        parts = await self.parts()
        found: list[dict[str, Any]] = [asdict(part) for part in parts]
        return json_response({"state": health_parts.worst(parts), "parts": found})
