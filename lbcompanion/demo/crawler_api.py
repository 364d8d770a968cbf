"""What the crawler says and holds of the demo's visits, asked through its JSON API as anybody could."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any

from attrs import frozen
from treq.client import HTTPClient
from treq.content import content
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed

from lbcompanion.demo.served_pages import ServedPage
from lbcompanion.demo.visitors import Visit
from lbcompanion.errors import CompanionError

Recording = Mapping[str, Any]
_TIMEOUT_SECONDS = 20.0
_PAGE_SIZE = 200
_MAX_PAGES = 5


class APIFailed(CompanionError):
    """The crawler's API did not answer as it should."""


@frozen
class VisitCheck:
    """A visit with everything that is known of it, from all three sides.

    :ivar served: what the application wrote down; None where it did not.
    :ivar recording: what the crawler says; empty where it knows nothing.
    :ivar archived_sha256: of the bytes that its archive gives, in hexadecimal; empty where it gives none.
    :ivar problem: what else went wrong.
    """

    visit: Visit
    served: ServedPage | None
    recording: Recording
    archived_sha256: str = ""
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether the archive holds the page as served, and had it from the node that made it."""
        return not self.verdict

    @property
    def verdict(self) -> str:
        """What is wrong; empty where nothing is."""
        if self.problem:
            return self.problem
        if self.served is None:
            return "the application made no such page"
        if self.recording.get("outcome") != "archived":
            return str(self.recording.get("reason") or "no outcome yet")
        return self._difference(self.served, self.recording)

    def _difference(self, served: ServedPage, recording: Recording) -> str:
        if not recording.get("origin_node") == recording.get("answered_by") == served.node:
            return "another node than the one that made the page"
        if self.archived_sha256 != served.sha256:
            return "the archived bytes differ from the page as served"
        if self.visit.sha256 != served.sha256:
            return "the visitor's page differs by more than the tag"
        return ""


class CrawlerAPI:
    """A client of the crawler's API.

    :param base_url: its origin.
    """

    def __init__(self, base_url: str, reactor: object) -> None:
        self._base_url = base_url
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._client = HTTPClient(Agent(reactor, pool=self._pool))

    async def finished(self, tokens: Collection[str]) -> dict[str, Recording]:
        """Those of these tokens' recordings that have an outcome."""
        recordings: dict[str, Recording] = {}
        missing, after = set(tokens), ""
        for _ in range(_MAX_PAGES):
            page = json.loads(await self._get(f"/api/recordings?limit={_PAGE_SIZE}{after}"))
            for recording in page["recordings"]:
                missing.discard(recording["token"])
                if recording["token"] in tokens and recording["outcome"] is not None:
                    recordings[recording["token"]] = recording
            if not missing or not page.get("next"):
                break
            after = f"&after={page['next']}"
        return recordings

    async def archived_sha256(self, token: str) -> str:
        """The digest of the bytes that the archive gives, in hexadecimal."""
        return sha256(await self._get(f"/api/recordings/{token}/page")).hexdigest()

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.closeCachedConnections()

    async def _get(self, path: str) -> bytes:
        try:
            response = await self._client.get(
                self._base_url + path,
                reactor=self._reactor,  # type: ignore[arg-type]
                timeout=_TIMEOUT_SECONDS,
            )
            body: bytes = await content(response)
        except (OSError, ConnectError, ConnectionClosed, ResponseFailed, CancelledError) as failure:
            raise APIFailed(f"the crawler's API did not answer: {type(failure).__name__}") from failure
        if response.code != 200:
            raise APIFailed(f"the crawler's API answered with status {response.code}")
        return body
