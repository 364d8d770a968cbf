"""The asking part: one request after another, bounded in number and time; what to ask is decided elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

from attrs import evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply
from lbcompanion.doctor.observed import Answer, Observed, Replay, Spot, given_by
from lbcompanion.doctor.plan import Series, next_series
from lbcompanion.model import RoutingCookie
from lbcompanion.protocol.headers import NONCE, PROOF, Identity, answering_node
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.sticky.cookies import render

MOST_REQUESTS = 80
MOST_SECONDS = 60.0
_BODY_BYTES = 8 * 1024 * 1024
_AGENT = "lbcompanion-doctor"
_INVENTED = 3
_PAUSE_SECONDS = 0.03


@frozen
class Site:
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


#: ``told(series, answer)`` after each answer; ``answer`` None: the series begins.
Told = Callable[[Series, Answer | None], object]


class Examiner:
    """Looks at one site.

    :param nonce: gives a new unguessable text.
    :param told: is told of the progress.
    :param reactor: for the deadline, and for the pauses: a site is looked at, not loaded.
    """

    def __init__(
        self, *, site: Site, client: Client, nonce: Callable[[], str], reactor: IReactorTime, told: Told
    ) -> None:
        self._site = site
        self._client = client
        self._nonce = nonce
        self._reactor = reactor
        self._monotonic = reactor.seconds
        self._told = told
        self._began = self._monotonic()
        self._seen = Observed(
            site.origin, site.path, site.prefix, site.secret is not None, known_nodes=site.known_nodes
        )

    async def examine(self) -> Observed:
        """Ask until enough was seen; never raises for what the site does."""
        invented = [f"lbc{self._nonce()}"[:24] for _ in range(_INVENTED)]
        while (series := next_series(self._seen, self._site.configured, invented)) is not None:
            if not await self._run(series):
                self._seen = evolve(self._seen, finished=False)
                break
        return evolve(self._seen, seconds=self._monotonic() - self._began)

    async def _run(self, series: Series) -> bool:
        """One series; whether all of it was asked."""
        self._told(series, None)
        answers: list[Answer] = []
        while len(answers) < series.times and self._may_ask():
            answer = await self._ask(series)
            await deferLater(self._reactor, _PAUSE_SECONDS)
            self._told(series, answer)
            answers.append(answer)
            self._seen = evolve(self._seen, requests=self._seen.requests + 1)
        if series.how is None:
            self._seen = evolve(self._seen, bare=(*self._seen.bare, *answers))
        elif answers:
            replay = Replay(series.source, tuple(series.cookies), series.how, tuple(answers))
            self._seen = evolve(self._seen, replays=(*self._seen.replays, replay))
        return len(answers) == series.times

    def _may_ask(self) -> bool:
        return self._seen.requests < MOST_REQUESTS and self._monotonic() - self._began < MOST_SECONDS

    async def _ask(self, series: Series) -> Answer:
        nonce = self._nonce()
        headers = [("User-Agent", _AGENT), ("Accept", "text/html,*/*")]
        if series.spot in (Spot.WHOAMI, Spot.POST):
            headers = [("User-Agent", _AGENT), (NONCE.text, nonce), ("Cache-Control", "no-cache")]
        if series.cookies:
            headers.append(("Cookie", render(RoutingCookie(*one) for one in series.cookies.items())))
        method = "POST" if series.spot is Spot.POST else "GET"
        left = max(1.0, MOST_SECONDS - (self._monotonic() - self._began))
        try:
            reply = await self._client.ask(method, self._url(series.spot), headers, _BODY_BYTES, min(10.0, left))
        except FetchFailed as failure:
            return Answer(series.spot, failure=failure.word)
        return self._read(series.spot, reply, nonce)

    def _url(self, spot: Spot) -> str:
        if spot is Spot.PAGE:
            return self._site.url
        return self._site.origin + ("/" if spot is Spot.ROOT else f"{self._site.prefix}/whoami")

    def _read(self, spot: Spot, reply: Reply, nonce: str) -> Answer:
        path = urlsplit(self._url(spot)).path or "/"
        lines = [given_by(line, path, reply.header("date")) for line in reply.all("set-cookie")]
        node = _named(reply) if spot is Spot.WHOAMI and reply.status == 200 else ""
        secret = self._site.secret
        return Answer(
            spot=spot,
            status=reply.status,
            node=node,
            proven=bool(secret and Identity(node, secret).is_proven(reply.header, "", nonce)),
            proof=reply.header(PROOF.lower),
            given=tuple(one for one in lines if one is not None),
            headers=tuple((name, value) for name, value in reply.headers if name != "set-cookie"),
            body=digest_of(reply.body).hex(),
        )


def _named(reply: Reply) -> str:
    """The node that a companion names: in the header and in the body alike."""
    node = answering_node(reply.header)
    try:
        told = json.loads(reply.body)
    except ValueError:
        return ""
    return node if isinstance(told, dict) and told.get("node") == node else ""
