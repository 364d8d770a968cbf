"""Simulated visitors, each with its own cookie jar: they act like a browser with the injected script."""

from __future__ import annotations

import re
from hashlib import sha256
from html.parser import HTMLParser
from http.cookiejar import Cookie
from random import Random
from time import time
from urllib.parse import urljoin

from attrs import frozen
from treq.client import HTTPClient
from treq.content import content
from treq.cookies import IndexableCookieJar
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from lbcompanion.demo.application import VISIT_HEADER
from lbcompanion.errors import CompanionError
from lbcompanion.model import WallClock, to_rfc3339

_TIMEOUT_SECONDS = 20.0
_TAG = re.compile(rb"<script\b[^>]*\bdata-lbc-token=[^>]*></script>")


class VisitFailed(CompanionError):
    """A visitor got an unexpected response."""


@frozen
class Step:
    """The request of one page view.

    :ivar form: the fields of a POST; None for a GET.
    """

    path: str
    form: tuple[tuple[str, str], ...] | None = None


@frozen
class Visit:
    """One page view and its response.

    :ivar token: from the injected tag; empty where the page bore none.
    :ivar path: where it ended, redirects followed.
    :ivar sha256: of the page as the visitor saw it, less the injected tag, in hexadecimal.
    :ivar notice_status: the status with which the notice was answered; 0 where none was sent.
    """

    id: str
    visitor: str
    method: str
    path: str
    status: int
    token: str
    sha256: str
    notice_status: int


LOGIN = Step("/login", (("name", "visitor"), ("password", "demo")))


def next_step(random: Random) -> Step:
    """Choose the next page of a visitor who has logged in."""
    number = random.randrange(10**6)
    return random.choice(
        (
            Step("/"),
            Step("/orders"),
            Step(f"/order/{number}"),
            Step("/catalogue"),
            Step(f"/article/{number % 12}"),
            Step(f"/article/{number}?colour=blue"),
            Step("/report"),
            Step("/ticker"),
            Step("/search"),
            Step("/search", (("q", f"lamp {number}"),)),
            Step("/order", (("article", f"lamp {number}"),)),
        )
    )


class _Tags(HTMLParser):
    """Finds the injected tag and the assets that a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.token = ""
        self.assets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        address = (
            attributes.get("href") if tag == "link" else attributes.get("src") if tag in {"script", "img"} else None
        )
        if address:
            self.assets.append(address)
        if tag == "script" and attributes.get("data-lbc-token"):
            self.token = attributes["data-lbc-token"] or ""


class Visitor:
    """One visitor with its own browser.

    :param name: its name in the demo's story.
    :param site: the site's origin.
    :param cookie_names: the cookies that the recorder script is configured to record.
    :param now: the time, in seconds since the epoch.
    """

    def __init__(
        self,
        name: str,
        site: str,
        cookie_names: tuple[str, ...],
        random: Random,
        reactor: object,
        now: WallClock = time,
    ) -> None:
        self.name = name
        self._site = site
        self._cookie_names = cookie_names
        self._random = random
        self._now = now
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._jar = IndexableCookieJar()
        self._client = HTTPClient(Agent(reactor, pool=self._pool), self._jar)
        self._loaded: set[str] = set()
        # Some look at the form first, some come with the password manager's hand; all send a form soon.
        self._steps: list[Step] = [Step("/login")] if random.random() < 0.3 else []
        self._steps += [LOGIN, Step("/search", (("q", "lamp"),))]

    async def view_next(self, visit: str) -> Visit:
        """View the next page: log in first, then choose pages at random.

        :param visit: the id of this page view.
        :raises VisitFailed: if the response has no tag, or the notice is refused.
        """
        step = self._steps.pop(0) if self._steps else next_step(self._random)
        viewed = await self.view(step, visit)
        if viewed.path == "/login" and step.path != "/login":
            # The session was on a node that has stopped.
            self._steps = [LOGIN]
        return viewed

    async def view(self, step: Step, visit: str) -> Visit:
        """View one page, load its assets and send the notice as the script does."""
        response = await self._request_page(step, visit)
        page = await content(response)
        url = response.request.absoluteURI.decode() if response.request.absoluteURI else self._site + step.path
        tags = _Tags()
        tags.feed(page.decode("utf-8", "replace"))
        if not tags.token:
            raise VisitFailed(f"{step.path} was answered with status {response.code} and bears no tag")
        for address in tags.assets:
            await self._load_asset(urljoin(url, address))
        notice_status = await self._send_notice(tags.token, url)
        page_digest = sha256(_TAG.sub(b"", page, count=1)).hexdigest()
        path = "/" + url.partition("://")[2].partition("/")[2]
        method = response.request.method.decode()
        return Visit(visit, self.name, method, path, response.code, tags.token, page_digest, notice_status)

    def readable_cookies(self) -> dict[str, str]:
        """Return the cookies to record that a script may read, i.e. not HttpOnly ones (RFC 6265 section 5.3)."""
        return {one.name: one.value or "" for one in self._jar if one.name in self._cookie_names and _readable(one)}

    async def close(self) -> None:
        """Close the browser's connections."""
        await self._pool.closeCachedConnections()

    async def _request_page(self, step: Step, visit: str) -> IResponse:
        headers = Headers({VISIT_HEADER: [visit], "Accept": ["text/html,*/*;q=0.8"]})
        form = None if step.form is None else list(step.form)
        method = "GET" if form is None else "POST"
        return await self._client.request(
            method,
            self._site + step.path,
            headers=headers,
            data=form,
            reactor=self._reactor,  # type: ignore[arg-type]
            timeout=_TIMEOUT_SECONDS,
        )

    async def _load_asset(self, url: str) -> None:
        if url in self._loaded:
            return
        response = await self._client.get(url, reactor=self._reactor, timeout=_TIMEOUT_SECONDS)  # type: ignore[arg-type]
        await content(response)
        if response.code != 200:
            raise VisitFailed(f"{url.partition('?')[0]} was answered with status {response.code}")
        self._loaded.add(url)

    async def _send_notice(self, token: str, url: str) -> int:
        body = {"token": token, "url": url, "cookies": self.readable_cookies(), "viewed_at": to_rfc3339(self._now())}
        response = await self._client.post(
            self._site + "/_lbc/notice",
            json=body,
            reactor=self._reactor,  # type: ignore[arg-type]
            timeout=_TIMEOUT_SECONDS,
        )
        await content(response)
        status: int = response.code
        if status != 204:
            raise VisitFailed(f"the notice was answered with status {status}")
        return status


def _readable(cookie: Cookie) -> bool:
    # http.cookiejar knows no HttpOnly: it keeps the attribute's name as the server spelt it.
    return not any(cookie.has_nonstandard_attr(name) for name in ("HttpOnly", "httponly", "Httponly", "HTTPOnly"))
