"""The asking part: one request after another, bounded in number and time; what to ask is decided elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

from attrs import evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply
from lbcompanion.doctor.observations import Observations, ProbeResponse, Replay, RequestKind, parse_set_cookie
from lbcompanion.doctor.plan import ProbeSeries, next_series
from lbcompanion.model import RoutingCookie
from lbcompanion.protocol.headers import NONCE, PROOF, Identity, answering_node
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.sticky.cookies import render

MAX_REQUESTS = 80
MAX_SECONDS = 60.0
_BODY_BYTES = 8 * 1024 * 1024
_USER_AGENT = "lbcompanion-doctor"
_INVENTED_COUNT = 3
_PAUSE_SECONDS = 0.03


@frozen
class TargetSite:
    """What to look at.

    :ivar url: the page's address; checked already.
    :ivar secret: the farm's; None where it is not known.
    :ivar configured: names of the sticky cookies as the configuration has them.
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


#: ``on_progress(series, answer)`` after each answer; ``answer`` None: the series begins.
ProgressCallback = Callable[[ProbeSeries, ProbeResponse | None], object]


class Prober:
    """Looks at one site.

    :param nonce: gives a new unguessable text.
    :param on_progress: is told of the progress.
    :param reactor: for the deadline, and for the pauses: a site is looked at, not loaded.
    """

    def __init__(
        self,
        *,
        site: TargetSite,
        client: Client,
        nonce: Callable[[], str],
        reactor: IReactorTime,
        on_progress: ProgressCallback,
    ) -> None:
        self._site = site
        self._client = client
        self._nonce = nonce
        self._reactor = reactor
        self._monotonic = reactor.seconds
        self._on_progress = on_progress
        self._started_at = self._monotonic()
        self._observations = Observations(
            site.origin, site.path, site.prefix, site.secret is not None, known_nodes=site.known_nodes
        )

    async def probe(self) -> Observations:
        """Ask until enough was seen; never raises for what the site does."""
        invented = [f"lbc{self._nonce()}"[:24] for _ in range(_INVENTED_COUNT)]
        while (series := next_series(self._observations, self._site.configured, invented)) is not None:
            if not await self._run_series(series):
                self._observations = evolve(self._observations, finished=False)
                break
        return evolve(self._observations, seconds=self._monotonic() - self._started_at)

    async def _run_series(self, series: ProbeSeries) -> bool:
        """One series; whether all of it was asked."""
        self._on_progress(series, None)
        responses: list[ProbeResponse] = []
        while len(responses) < series.count and self._may_continue():
            response = await self._request(series)
            await deferLater(self._reactor, _PAUSE_SECONDS)
            self._on_progress(series, response)
            responses.append(response)
            self._observations = evolve(self._observations, request_count=self._observations.request_count + 1)
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

    async def _request(self, series: ProbeSeries) -> ProbeResponse:
        nonce = self._nonce()
        headers = [("User-Agent", _USER_AGENT), ("Accept", "text/html,*/*")]
        if series.kind in (RequestKind.WHOAMI, RequestKind.POST):
            headers = [("User-Agent", _USER_AGENT), (NONCE.text, nonce), ("Cache-Control", "no-cache")]
        if series.cookies:
            headers.append(("Cookie", render(RoutingCookie(*one) for one in series.cookies.items())))
        method = "POST" if series.kind is RequestKind.POST else "GET"
        remaining = max(1.0, MAX_SECONDS - (self._monotonic() - self._started_at))
        try:
            reply = await self._client.ask(method, self._url(series.kind), headers, _BODY_BYTES, min(10.0, remaining))
        except FetchFailed as failure:
            return ProbeResponse(series.kind, failure=failure.word)
        return self._response_from(series.kind, reply, nonce)

    def _url(self, kind: RequestKind) -> str:
        if kind is RequestKind.PAGE:
            return self._site.url
        return self._site.origin + ("/" if kind is RequestKind.ROOT else f"{self._site.prefix}/whoami")

    def _response_from(self, kind: RequestKind, reply: Reply, nonce: str) -> ProbeResponse:
        path = urlsplit(self._url(kind)).path or "/"
        lines = [parse_set_cookie(line, path, reply.header("date")) for line in reply.all("set-cookie")]
        node = _node_of(reply) if kind is RequestKind.WHOAMI and reply.status == 200 else ""
        secret = self._site.secret
        return ProbeResponse(
            kind=kind,
            status=reply.status,
            node=node,
            proven=bool(secret and Identity(node, secret).is_proven(reply.header, "", nonce)),
            proof=reply.header(PROOF.lower),
            set_cookies=tuple(one for one in lines if one is not None),
            headers=tuple((name, value) for name, value in reply.headers if name != "set-cookie"),
            body=digest_of(reply.body).hex(),
        )


def _node_of(reply: Reply) -> str:
    """The node that a companion names: in the header and in the body alike."""
    node = answering_node(reply.header)
    try:
        on_progress = json.loads(reply.body)
    except ValueError:
        return ""
    return node if isinstance(on_progress, dict) and on_progress.get("node") == node else ""
