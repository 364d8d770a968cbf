"""The journey of one page: it is viewed, its script is loaded, its notice is posted, its copy is fetched and confirmed.

The doctor does what a visitor's browser and the crawler do, with the same code as the crawler, and notes what came
back. The copy is of the doctor's own view. The notice has a token that no farm minted, so no companion accepts it and
nothing is archived; that a companion refuses it shows that notices get through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import unescape
from urllib.parse import urljoin, urlsplit

from attrs import evolve, frozen

from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply
from lbcompanion.doctor.observations import DONE, Journey, UpstreamUse
from lbcompanion.html.csp import evaluate
from lbcompanion.html.snippets import MARKER
from lbcompanion.model import RoutingCookie
from lbcompanion.protocol import shapes
from lbcompanion.sticky.cookies import render, safe_to_send, set_cookie_pairs

_MAX_BYTES = 8 * 1024 * 1024
_SECONDS = 10.0
_TAG = re.compile(rb"<script\b[^>]*\b" + MARKER + rb"=[^>]*>", re.IGNORECASE)
_ATTRIBUTE = rb"""\b%b\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))"""
_NOTICE = json.dumps(
    {"token": "doctor", "url": "URL", "cookies": {}, "viewed_at": "2026-01-01T00:00:00Z"}, separators=(",", ":")
)


@frozen
class Tag:
    """The built-in tag of a page.

    :ivar script: the address of the script as written.
    :ivar copy: the address of the copy.
    :ivar nonce: whether it has a nonce.
    """

    token: str
    script: str
    copy: str
    nonce: bool


def read_tag(page: bytes) -> Tag | None:
    """Read the tag of a page; None without one."""
    found = _TAG.search(page)
    if found is None:
        return None
    token = _attribute(found[0], MARKER)
    if not shapes.TOKEN.fullmatch(token):
        return None
    copy = _attribute(found[0], b"data-lbc-fetch-from")
    return Tag(token, _attribute(found[0], b"src"), copy, bool(_attribute(found[0], b"nonce")))


def _attribute(tag: bytes, name: bytes) -> str:
    found = re.search(_ATTRIBUTE % re.escape(name), tag, re.IGNORECASE)
    value = b"" if found is None else next((each for each in found.groups() if each is not None), b"")
    return unescape(value.decode("latin-1"))


class JourneyProber:
    """Makes the journey once.

    :param fetcher: signs as the crawler does; None without the farm's secret.
    :param mint: returns a token of a copy that does not exist, for a page without a tag; empty if that is impossible.
    :param on_request: called before each request; False ends the journey.
    """

    def __init__(
        self,
        *,
        url: str,
        user_agent: str,
        client: Client,
        fetcher: SiteFetcher | None,
        mint: Callable[[], str],
        on_request: Callable[[], bool],
    ) -> None:
        self._url = url
        self._user_agent = ("User-Agent", user_agent)
        self._client = client
        self._fetcher = fetcher
        self._mint = mint
        self._on_request = on_request
        self._cookies: tuple[RoutingCookie, ...] = ()
        self.journey = Journey()

    async def run(self) -> Journey:
        """Make all steps that can be made."""
        tag = await self._view()
        if tag is not None and tag.script:
            await self._load_script()
            await self._post_notice()
        if self._fetcher is not None:
            await self._fetch(self._fetcher, tag.token if tag is not None else self._mint())
            await self._ask_about_upstream(self._fetcher)
        return self.journey

    async def _ask(self, method: str, url: str, headers: list[tuple[str, str]], body: bytes = b"") -> Reply | str:
        """Send one request; return the word for the failure if there is no response."""
        if not self._on_request():
            return "not asked"
        fields = [self._user_agent, *headers]
        if self._cookies:
            fields.append(("Cookie", render(self._cookies)))
        try:
            return await self._client.ask(method, url, fields, _MAX_BYTES, _SECONDS, body)
        except FetchFailed as failure:
            return failure.word

    async def _view(self) -> Tag | None:
        reply = await self._ask("GET", self._url, [("Accept", "text/html,*/*")])
        if isinstance(reply, str):
            self.journey = evolve(self.journey, page=reply)
            return None
        tag = read_tag(reply.body)
        handed = tuple(RoutingCookie(*pair) for pair in set_cookie_pairs(reply.all("set-cookie")).items())
        self._cookies = handed if safe_to_send(handed) else ()
        if tag is None:
            html = reply.header("content-type").lower().startswith(("text/html", "application/xhtml"))
            words = f"status {reply.status}" if reply.status != 200 else "no tag" if html else "not HTML"
            self.journey = evolve(self.journey, page=words)
            return None
        script_url = urljoin(self._url, tag.script)
        verdict = evaluate(reply.all("content-security-policy"), script_url)
        needs_nonce = verdict.allowed and verdict.nonce is not None and not tag.nonce
        copy = urlsplit(tag.copy)
        self.journey = evolve(
            self.journey,
            page=DONE,
            forbidden=verdict.directive if not verdict.allowed else "script-src" if needs_nonce else "",
            page_origin=f"{copy.scheme}://{copy.netloc}" if copy.netloc else "",
            script_url=script_url,
        )
        return tag

    async def _load_script(self) -> None:
        reply = await self._ask("GET", self.journey.script_url, [("Accept", "*/*")])
        self.journey = evolve(self.journey, script=_script_result(reply))

    async def _post_notice(self) -> None:
        parts = urlsplit(self._url)
        headers = [
            ("Content-Type", "text/plain;charset=UTF-8"),
            ("Accept", "*/*"),
            ("Origin", f"{parts.scheme}://{parts.netloc}"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-Mode", "no-cors"),
        ]
        body = _NOTICE.replace("URL", self._url.replace('"', "%22")).encode()
        reply = await self._ask("POST", urljoin(self.journey.script_url, "notice"), headers, body)
        self.journey = evolve(self.journey, notice=_notice_result(reply))

    async def _fetch(self, fetcher: SiteFetcher, token: str) -> None:
        if not token or not self._on_request():
            return
        path = FetchPath(self._cookies)
        answer = await fetcher.page(token, path)
        result = "fetched" if isinstance(answer, FetchedCopy) else answer.result
        self.journey = evolve(self.journey, fetch=result, fetch_proven=bool(answer.node))
        if answer.node and self._on_request():
            self.journey = evolve(self.journey, confirmed=await fetcher.confirm(token, path))

    async def _ask_about_upstream(self, fetcher: SiteFetcher) -> None:
        """Ask a node's debug page; many sites let nobody see it from outside."""
        if self.journey.fetch_proven and self._on_request():
            try:
                reply = await fetcher.debug(FetchPath(self._cookies))
            except FetchFailed:
                return
            self.journey = evolve(self.journey, upstream=read_upstream_use(reply))


def read_upstream_use(reply: Reply) -> UpstreamUse | None:
    """Read what a node's debug page says about connections to the application; None if that is not there."""
    if reply.status != 200:
        return None
    try:
        report = json.loads(reply.body)
        upstream = report["upstream"]
        numbers = [upstream[key] for key in ("limit", "workers", "waited", "requests")]
        numbers.insert(0, report["settings"]["limits"]["upstream_connections"])
        return UpstreamUse(str(report["node"]), *map(int, numbers))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _script_result(reply: Reply | str) -> str:
    if isinstance(reply, str):
        return reply
    if reply.status != 200:
        return f"status {reply.status}"
    kind = reply.header("content-type").partition(";")[0].strip().lower()
    return DONE if "javascript" in kind and reply.body else f"{kind or 'no type'} instead of a script"


def _notice_result(reply: Reply | str) -> str:
    """A companion refuses the doctor's token with 400, and mentions the token."""
    if isinstance(reply, str):
        return reply
    return DONE if reply.status == 400 and b"token" in reply.body else f"status {reply.status}"
