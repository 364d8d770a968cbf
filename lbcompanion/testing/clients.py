"""Clients of a farm in memory: visitors with browsers, foreign crawlers, forgers."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from typing import Any

import treq
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchMiss, FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, IdentityCodingAgent
from lbcompanion.crawler.sites import nonce
from lbcompanion.model import to_rfc3339
from lbcompanion.protocol.signatures import Signer
from lbcompanion.settings import SiteSettings
from lbcompanion.sticky.cookies import names_match
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.testing.application import VISIT
from lbcompanion.testing.farm import INTAKE, ORIGIN, SECRET, InMemoryFarm
from lbcompanion.testing.network import Host

_TAG = re.compile(rb'<script async src="[^"]*" data-lbc-token="([^"]*)" data-lbc-fetch-from="([^"]*)"[^>]*></script>')


@implementer(IBodyProducer)
class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


@frozen
class ClientResponse:
    """An answer, read whole; status 0 where none came."""

    status: int
    body: bytes = field(repr=False, default=b"")
    headers: Any = field(repr=False, default=None)


def send_request(
    farm: InMemoryFarm, host: Host, method: str, url: str, headers: Mapping[str, str] = {}, body: bytes | None = None
) -> ClientResponse:
    """Send one request from a host, and run the network until the response arrives."""

    async def go() -> ClientResponse:
        fields = Headers({name: [value] for name, value in headers.items()})
        producer = None if body is None else _Body(body)
        try:
            response: Any = await Agent(host).request(method.encode(), url.encode(), fields, producer)
            parts: list[bytes] = []
            await treq.collect(response, parts.append)
            return ClientResponse(response.code, b"".join(parts), response.headers)
        except Exception as failure:
            if isinstance(failure, AssertionError):
                raise
            return ClientResponse(0)

    return farm.network.result_of(Deferred.fromCoroutine(go()))


@frozen
class View:
    """A page view of a visitor.

    :ivar served_by: the node that the token names, from the application's log, as a visitor cannot know it.
    """

    token: str
    visit: str
    url: str
    served_by: str
    viewed_at: float


@define
class Visitor:
    """A person with a browser.

    :ivar jar: the browser's cookies.
    :ivar hidden: the names of those that scripts cannot read.
    """

    farm: InMemoryFarm
    name: str
    jar: dict[str, str] = field(factory=dict)
    hidden: set[str] = field(factory=set)
    visits: int = 0

    def visit(self, kind: str = "plain", method: str = "GET") -> View | None:
        """Look at a page; None where the site did not answer with one.

        :param kind: ``plain``, ``chunked``, ``coded`` or ``styled``.
        :raises AssertionError: where the page is not the application's but for the tag.
        """
        self.visits += 1
        visit = f"{self.name}-{self.visits}"
        url = f"{ORIGIN}/{kind}/{visit}"
        headers = {VISIT: visit, "Accept-Encoding": "gzip", **self._cookie_header()}
        response = send_request(
            self.farm, self.farm.visitors, method, url, headers, b"a=1" if method == "POST" else None
        )
        if response.status != 200:
            return None
        self._store_cookies(response.headers)
        body = response.body
        if response.headers.hasHeader("content-encoding"):
            body = gzip.decompress(body)
        tags = _TAG.findall(body)
        served = self.farm.application_log.pages[visit]
        if served.node in self.farm.bypassed_nodes:
            assert body == served.body
            return None
        assert len(tags) == 1, "the page has not one tag"
        assert _TAG.sub(b"", body) == served.body, "the page differs by more than the tag"
        token = tags[0][0].decode()
        assert tags[0][1].decode() == f"{ORIGIN}/_lbc/page/{token}"
        return View(token, visit, url, served.node, self.farm.network.now())

    def _cookie_header(self, jar: Mapping[str, str] | None = None) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in (self.jar if jar is None else jar).items())
        return {"Cookie": cookies} if cookies else {}

    def _store_cookies(self, headers: Any) -> None:
        for line in headers.getRawHeaders("set-cookie", []):
            pair, _, attributes = line.partition(";")
            name, _, value = pair.partition("=")
            self.jar[name] = value
            (self.hidden.add if "httponly" in attributes.lower() else self.hidden.discard)(name)

    def readable_cookies(self) -> dict[str, str]:
        """Return the cookies that the recorder script can read."""
        names = CookieReader(self.farm.kind.sticky).names_for_script()
        return {name: value for name, value in self.jar.items() if name not in self.hidden and names_match(names, name)}

    def notice(self, view: View, cookies: Mapping[str, str] | None = None, token: str = "") -> int:
        """Post a notice, as the recorder script does; the answer's status.

        :param cookies: the cookies in the notice; None for all that the script can read.
        :param token: another one than the view's.
        """
        payload = {
            "token": token or view.token,
            "url": view.url,
            "cookies": dict(self.readable_cookies() if cookies is None else cookies),
            "viewed_at": to_rfc3339(self.farm.network.now()),
        }
        headers = {"Content-Type": "text/plain", **self._cookie_header()}
        response = send_request(
            self.farm, self.farm.visitors, "POST", f"{ORIGIN}/_lbc/notice", headers, json.dumps(payload).encode()
        )
        if response.status == 204:
            self._store_cookies(response.headers)
        return response.status


@define
class UntrustedClient:
    """A client with any secret: another trusted crawler, or one that only pretends."""

    farm: InMemoryFarm

    def _fetcher(self, secret: bytes) -> SiteFetcher:
        client = Client(IdentityCodingAgent(Agent(self.farm.untrusted_clients)), self.farm.untrusted_clients, 20.0)
        site = SiteSettings("main", ORIGIN)
        return SiteFetcher(
            site=site, secret=secret, balancer=client, direct=client, nonce=nonce, now=self.farm.network.now
        )

    def pull(self, token: str, node: str, secret: bytes = SECRET) -> FetchedCopy | FetchMiss:
        """Fetch a copy directly from a node."""
        page = self._fetcher(secret).page(token, FetchPath(direct=f"http://{node}:8080"))
        return self.farm.network.result_of(Deferred.fromCoroutine(page))

    def confirm(self, token: str, node: str, secret: bytes = SECRET) -> bool:
        """Confirm to a node that the copy is archived."""
        done = self._fetcher(secret).confirm(token, FetchPath(direct=f"http://{node}:8080"))
        return self.farm.network.result_of(Deferred.fromCoroutine(done))

    def post(self, body: bytes, secret: bytes | None = SECRET, age_seconds: float = 0.0, sent: bytes = b"") -> int:
        """Post to the crawler's intake; the answer's status, 0 where it does not run.

        :param secret: the secret to sign with; None sends no signature.
        :param age_seconds: the age of the signature.
        :param sent: the body to send instead of the signed one.
        """
        headers = {"Content-Type": "application/json"}
        url = f"{INTAKE}/notices"
        if secret is not None:
            headers |= dict(Signer(secret).sign("POST", url, nonce(), self.farm.network.now() - age_seconds, body))
        return send_request(self.farm, self.farm.untrusted_clients, "POST", url, headers, sent or body).status
