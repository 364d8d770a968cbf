"""Fetching one site's pages: the URL is built here, from the configured origin and a token, never from a notice.

An answer counts only with the proof of the node that gave it (``Lbc-Proof``) and, for pages and for their
misses, with the body that the proof's digest names.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from attrs import field, frozen

from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply
from lbcompanion.model import MissReason, RoutingCookie, WallClock
from lbcompanion.protocol.headers import NONCE, REPR_DIGEST, Identity, answering_node, read_copy_head
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import digest_of, is_digest_of
from lbcompanion.settings import SiteSettings
from lbcompanion.sticky.cookies import render, safe_to_send

#: More than any page that a companion keeps by default (4 MiB); a guard, not a limit to be met.
PAGE_BYTES = 64 * 1024 * 1024
_SMALL_BYTES = 65536
_WHOAMI_SECONDS = 5.0

_MISSES = frozenset(reason.value for reason in MissReason)


@frozen
class Copy:
    """A copy as it was fetched, proven and whole.

    :ivar via: ``own``, ``peer`` or ``store``.
    :ivar set_cookies: the ``Set-Cookie`` lines of the answer, raw: a balancer's, since a companion sets none.
    """

    node: str
    url: str
    method: str
    status: int
    content_type: str
    captured_at: float
    via: str
    sha256: bytes = field(repr=False)
    body: bytes = field(repr=False)
    set_cookies: tuple[str, ...] = field(repr=False, eq=False, default=())


@frozen
class NoCopy:
    """An answer without a copy.

    :ivar node: who gave it; empty where nothing was proven.
    :ivar result: a miss's reason, or the short word for what went wrong.
    :ivar set_cookies: as of :class:`Copy`; those of an unproven answer count for nothing.
    """

    node: str
    result: str
    set_cookies: tuple[str, ...] = field(repr=False, eq=False, default=())


@frozen
class Seen:
    """A proven answer of ``whoami``.

    :ivar set_cookies: the ``Set-Cookie`` lines of the answer, raw.
    """

    node: str
    set_cookies: tuple[str, ...] = field(repr=False, default=())


@frozen
class Way:
    """How a request travels: with which cookies, and to which origin (empty: the site's own)."""

    cookies: tuple[RoutingCookie, ...] = ()
    direct: str = ""


def cookie_header(cookies: tuple[RoutingCookie, ...]) -> str:
    """The one ``Cookie`` header; values are sent raw.

    :raises FetchFailed: ``bad cookie`` where they would change the request's meaning, or are too long together; what
        nodes record and what we keep is safe to send, so that is the word for what was tampered with.
    """
    if not safe_to_send(cookies):
        raise FetchFailed("bad cookie")
    return render(cookies)


class SiteFetcher:
    """Asks the nodes of one site.

    :param nonce: gives a new unguessable text for each request.
    :param now: the time, seconds since the epoch.
    """

    def __init__(
        self,
        *,
        site: SiteSettings,
        secret: bytes,
        through: Client,
        direct: Client,
        nonce: Callable[[], str],
        now: WallClock,
    ) -> None:
        self.site = site
        self._secret = secret
        self._signer = Signer(secret)
        self._through = through
        self._direct = direct
        self._nonce = nonce
        self._now = now

    def _url(self, way: Way, path: str) -> str:
        return f"{(way.direct or self.site.origin).rstrip('/')}{self.site.prefix}{path}"

    def _client(self, way: Way) -> Client:
        return self._direct if way.direct else self._through

    def _cookies(self, way: Way) -> list[tuple[str, str]]:
        return [("Cookie", cookie_header(way.cookies))] if way.cookies else []

    async def page(self, token: str, way: Way) -> Copy | NoCopy:
        """Ask for a copy; never raises for what the network or a peer does."""
        nonce = self._nonce()
        try:
            reply = await self._signed("GET", token, nonce, way, PAGE_BYTES)
        except FetchFailed as failure:
            return NoCopy("", failure.word)
        if reply.status == 200:
            return self._copy(reply, token, nonce)
        if reply.status == 404:
            return self._miss(reply, token, nonce)
        return NoCopy("", f"status {reply.status}")

    async def confirm(self, token: str, way: Way) -> bool:
        """Say by ``DELETE`` that the copy is safe; best effort, one retry."""
        for _ in range(2):
            try:
                reply = await self._signed("DELETE", token, self._nonce(), way, _SMALL_BYTES)
            except FetchFailed:
                continue
            if reply.status < 500:
                return reply.status in {204, 404}
        return False

    async def _signed(self, method: str, token: str, nonce: str, way: Way, cap: int) -> Reply:
        url = self._url(way, f"/page/{token}")
        headers = [*self._signer.sign(method, url, nonce, self._now()), *self._cookies(way)]
        return await self._client(way).ask(method, url, headers, cap)

    async def whoami(self, way: Way) -> Seen:
        """Ask which node a way leads to.

        :raises FetchFailed: where no proven answer came.
        """
        nonce = self._nonce()
        headers = [(NONCE.text, nonce), ("Cache-Control", "no-cache"), *self._cookies(way)]
        reply = await self._client(way).ask(
            "GET", self._url(way, "/whoami"), headers, _SMALL_BYTES, timeout_seconds=_WHOAMI_SECONDS
        )
        if reply.status != 200:
            raise FetchFailed(f"status {reply.status}")
        node = answering_node(reply.header)
        if not self._identity_of(node).is_proven(reply.header, "", nonce):
            raise FetchFailed("unproven")
        return Seen(node, reply.all("set-cookie"))

    async def post(self) -> tuple[str, ...]:
        """POST to ``whoami``, which refuses it and changes nothing: what the balancers hand out all the same.

        :raises FetchFailed: where no answer came.
        """
        headers = [("Cache-Control", "no-cache")]
        url = self._url(Way(), "/whoami")
        return (await self._through.ask("POST", url, headers, _SMALL_BYTES, _WHOAMI_SECONDS)).all("set-cookie")

    async def open_session(self) -> tuple[str, ...]:
        """Begin a session of our own at the application, without a cookie: what it, and the balancers, hand out.

        By ``HEAD`` of the origin's first page: companions keep no copy of that.

        :raises FetchFailed: where no answer came.
        """
        url = f"{self.site.origin.rstrip('/')}/"
        reply = await self._through.ask("HEAD", url, [("Accept", "*/*")], _SMALL_BYTES, _WHOAMI_SECONDS)
        return reply.all("set-cookie")

    async def asset(self, url: str, way: Way, cap: int, timeout_seconds: float) -> Reply:
        """Get a public file of the page's origin over the page's way; the caller checked the URL.

        :raises FetchFailed: where no whole answer came.
        """
        headers = [("Accept", "*/*"), *self._cookies(way)]
        return await self._client(way).ask("GET", url, headers, cap, timeout_seconds)

    def _identity_of(self, node: str) -> Identity:
        return Identity(node, self._secret)

    def _judge(self, reply: Reply, token: str, nonce: str) -> NoCopy | None:
        """What is wrong with an answer's proof or digest; None: nothing."""
        node, digest = answering_node(reply.header), reply.header(REPR_DIGEST.lower)
        if not digest or not self._identity_of(node).is_proven(reply.header, token, nonce, digest):
            return NoCopy("", "unproven")
        if not is_digest_of(digest, reply.body):
            return NoCopy(node, "digest")
        return None

    def _copy(self, reply: Reply, token: str, nonce: str) -> Copy | NoCopy:
        wrong = self._judge(reply, token, nonce)
        if wrong is not None:
            return wrong
        head = read_copy_head(reply.header)
        return Copy(
            node=head.node,
            url=head.url or f"{self.site.origin.rstrip('/')}/",
            method=head.method,
            status=head.status,
            content_type=head.content_type,
            captured_at=self._now() if head.captured_at is None else head.captured_at,
            via=head.via,
            sha256=digest_of(reply.body),
            body=reply.body,
            set_cookies=reply.all("set-cookie"),
        )

    def _miss(self, reply: Reply, token: str, nonce: str) -> NoCopy:
        wrong = self._judge(reply, token, nonce)
        if wrong is not None:
            return wrong
        try:
            told = json.loads(reply.body)
        except ValueError:
            told = None
        reason = told.get("reason") if isinstance(told, dict) else None
        known = isinstance(reason, str) and reason in _MISSES
        word = str(reason) if known else "status 404"
        return NoCopy(answering_node(reply.header), word, reply.all("set-cookie"))
