"""Sends the planned requests one after another, within limits of number and time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lbcompanion.crawler.fetching.cookie_check import CookieCheckClient
from lbcompanion.crawler.fetching.fetcher import SiteFetcher
from lbcompanion.crawler.fetching.http_client import FetchFailed, Reply
from lbcompanion.doctor.journey import JourneyProber, read_tag
from lbcompanion.doctor.observations import (
    Journey,
    Observations,
    ProbeResponse,
    Replay,
    RequestKind,
    parse_set_cookie,
)
from lbcompanion.doctor.plan import ProbeSeries, next_series
from lbcompanion.model import RoutingCookie, WallClock
from lbcompanion.protocol.headers import ECHO, NONCE, PROOF, Identity, answering_node
from lbcompanion.protocol.tokens import Tokens, digest_of
from lbcompanion.settings import SiteSettings
from lbcompanion.sticky.cookies import render

MAX_REQUESTS = 80
MAX_SECONDS = 60.0
_BODY_BYTES = 8 * 1024 * 1024
_USER_AGENT = "lbcompanion-doctor"
_INVENTED_COUNT = 3
_PAUSE_SECONDS = 0.03
_TOO_MANY_REQUESTS = 429
_DELAY_SECONDS = 2.0
_MAX_DELAY_SECONDS = 10.0
_MAX_DELAYS = 5


@frozen
class TargetSite:
    """The site to examine.

    :ivar url: the page's URL, validated.
    :ivar secret: the farm's secret; None if unknown.
    :ivar configured: names of the sticky cookies in the configuration.
    """

    url: str
    prefix: str = "/_lbc"
    secret: bytes | None = field(default=None, repr=False)
    known_nodes: tuple[str, ...] = ()
    configured: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def path(self) -> str:
        """The page's path."""
        return urlsplit(self.url).path or "/"


#: ``on_progress(series, response)`` is called after each response, and with None when a series begins.
ProgressCallback = Callable[[ProbeSeries, ProbeResponse | None], object]


class Prober:
    """Examines one site.

    :param nonce: returns a new random string.
    :param on_progress: called when a series begins and after each response.
    :param now: seconds since the epoch, for signatures.
    :param reactor: for the deadline, and for the pauses between requests, so that the site is not loaded.
    """

    def __init__(
        self,
        *,
        site: TargetSite,
        client: CookieCheckClient,
        nonce: Callable[[], str],
        reactor: IReactorTime,
        on_progress: ProgressCallback,
        now: WallClock = time.time,
    ) -> None:
        self._site = site
        self._client = client
        self._nonce = nonce
        self._reactor = reactor
        self._monotonic = reactor.seconds
        self._on_progress = on_progress
        self._now = now
        self._started_at = self._monotonic()
        self._observations = Observations(
            site.origin,
            site.path,
            site.prefix,
            site.secret is not None,
            known_nodes=site.known_nodes,
            user_agent=_USER_AGENT,
        )

    async def probe(self) -> Observations:
        """Send requests until the observations suffice; the site's behaviour never raises."""
        invented = [f"lbc{self._nonce()}"[:24] for _ in range(_INVENTED_COUNT)]
        while (series := next_series(self._observations, self._site.configured, invented)) is not None:
            if not await self._run_series(series):
                self._observations = evolve(self._observations, finished=False)
                break
        if self._observations.has_companions:
            self._observations = evolve(self._observations, journey=await self._make_journey())
        return evolve(self._observations, seconds=self._monotonic() - self._started_at)

    async def _run_series(self, series: ProbeSeries) -> bool:
        """Send one series; return whether all its requests were sent."""
        self._on_progress(series, None)
        responses: list[ProbeResponse] = []
        while len(responses) < series.count and self._may_continue():
            response = await self._request(series)
            self._count_request()
            if response.status == _TOO_MANY_REQUESTS and self._observations.delays < _MAX_DELAYS:
                self._observations = evolve(self._observations, delays=self._observations.delays + 1)
                await deferLater(self._reactor, _delay_of(response))
                continue
            await deferLater(self._reactor, _PAUSE_SECONDS)
            self._on_progress(series, response)
            responses.append(response)
        if series.mode is None:
            self._observations = evolve(
                self._observations, without_cookie=(*self._observations.without_cookie, *responses)
            )
        elif responses:
            replay = Replay(series.source, tuple(series.cookies), series.mode, tuple(responses))
            self._observations = evolve(self._observations, replays=(*self._observations.replays, replay))
        return len(responses) == series.count

    def _may_continue(self) -> bool:
        return self._observations.request_count < MAX_REQUESTS and self._monotonic() - self._started_at < MAX_SECONDS

    def _count_request(self) -> bool:
        """Count a request; whether it may be sent."""
        may_continue = self._may_continue()
        self._observations = evolve(self._observations, request_count=self._observations.request_count + 1)
        return may_continue

    async def _make_journey(self) -> Journey:
        site, observations = self._site, self._observations
        known = next((response.node for response in observations.without_cookie if response.node), "")
        fetcher = None
        if site.secret is not None:
            fetcher = SiteFetcher(
                site=SiteSettings("doctor", site.origin, prefix=site.prefix),
                secret=site.secret,
                balancer=self._client,
                direct=self._client,
                nonce=self._nonce,
                now=self._now,
            )
        prober = JourneyProber(
            url=site.url,
            user_agent=_USER_AGENT,
            client=self._client,
            fetcher=fetcher,
            mint=lambda: Tokens(site.secret or b"", known, os.urandom).mint() if known else "",
            on_request=self._count_request,
        )
        self._on_progress(ProbeSeries(RequestKind.PAGE, 1, "do page, script, notice and fetch get through?"), None)
        return await prober.run()

    async def _request(self, series: ProbeSeries) -> ProbeResponse:
        nonce = self._nonce()
        headers = [("User-Agent", _USER_AGENT), ("Accept", "text/html,*/*")]
        if series.kind in (RequestKind.WHOAMI, RequestKind.POST):
            headers = [
                ("User-Agent", _USER_AGENT),
                (NONCE.text, nonce),
                (ECHO.text, "1"),
                ("Cache-Control", "no-cache"),
            ]
        if series.cookies:
            headers.append(("Cookie", render(RoutingCookie(*one) for one in series.cookies.items())))
        method, before = "POST" if series.kind is RequestKind.POST else "GET", self._client.redirects
        remaining = max(1.0, MAX_SECONDS - (self._monotonic() - self._started_at))
        try:
            reply = await self._client.ask(method, self._url(series.kind), headers, _BODY_BYTES, min(10.0, remaining))
        except FetchFailed as failure:
            return ProbeResponse(series.kind, failure=failure.word)
        redirects = self._client.redirects - before
        return evolve(self._response_from(series.kind, reply, nonce), redirects=redirects)

    def _url(self, kind: RequestKind) -> str:
        if kind is RequestKind.PAGE:
            return self._site.url
        return self._site.origin + ("/" if kind is RequestKind.ROOT else f"{self._site.prefix}/whoami")

    def _response_from(self, kind: RequestKind, reply: Reply, nonce: str) -> ProbeResponse:
        path = urlsplit(self._url(kind)).path or "/"
        lines = [parse_set_cookie(line, path, reply.header("date")) for line in reply.all("set-cookie")]
        answer = _whoami_answer(reply) if kind is RequestKind.WHOAMI and reply.status == 200 else {}
        node = str(answer.get("node", ""))
        secret = self._site.secret
        return ProbeResponse(
            kind=kind,
            status=reply.status,
            node=node,
            proven=bool(secret and Identity(node, secret).is_proven(reply.header, "", nonce)),
            proof=reply.header(PROOF.lower),
            set_cookies=tuple(line for line in lines if line is not None),
            headers=tuple((name, value) for name, value in reply.headers if name != "set-cookie"),
            body=digest_of(reply.body).hex(),
            seen=tuple((name, str(answer[name])) for name in ("host", "user-agent") if name in answer),
            has_tag=kind is not RequestKind.WHOAMI and read_tag(reply.body) is not None,
        )


def _whoami_answer(reply: Reply) -> dict[str, Any]:
    """Return what a companion answered, if it names the same node in header and body; empty otherwise."""
    node = answering_node(reply.header)
    try:
        body = json.loads(reply.body)
    except ValueError:
        return {}
    return body if node and isinstance(body, dict) and body.get("node") == node else {}


def _delay_of(response: ProbeResponse) -> float:
    """Return how long to wait after ``429 Too Many Requests`` (RFC 6585 section 4)."""
    text = response.header("retry-after")
    seconds = float(text) if text.isascii() and text.isdigit() else _DELAY_SECONDS
    return min(max(seconds, _DELAY_SECONDS), _MAX_DELAY_SECONDS)
