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
MAX_PAGE_BYTES = 64 * 1024 * 1024
_MAX_SMALL_BYTES = 65536
_WHOAMI_TIMEOUT_SECONDS = 5.0

_MISSES = frozenset(reason.value for reason in MissReason)


@frozen
class FetchedCopy:
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
class FetchMiss:
    """An answer without a copy.

    :ivar node: who gave it; empty where nothing was proven.
    :ivar result: a miss's reason, or the short word for what went wrong.
    :ivar set_cookies: as of :class:`FetchedCopy`; those of an unproven answer count for nothing.
    """

    node: str
    result: str
    set_cookies: tuple[str, ...] = field(repr=False, eq=False, default=())


@frozen
class WhoamiReply:
    """A proven answer of ``whoami``.

    :ivar set_cookies: the ``Set-Cookie`` lines of the answer, raw.
    """

    node: str
    set_cookies: tuple[str, ...] = field(repr=False, default=())


@frozen
class FetchPath:
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
        balancer: Client,
        direct: Client,
        nonce: Callable[[], str],
        now: WallClock,
    ) -> None:
        self.site = site
        self._secret = secret
        self._signer = Signer(secret)
        self._balancer = balancer
        self._direct = direct
        self._nonce = nonce
        self._now = now

    def _url(self, fetch_path: FetchPath, path: str) -> str:
        return f"{(fetch_path.direct or self.site.origin).rstrip('/')}{self.site.prefix}{path}"

    def _client(self, fetch_path: FetchPath) -> Client:
        return self._direct if fetch_path.direct else self._balancer

    def _cookies(self, fetch_path: FetchPath) -> list[tuple[str, str]]:
        return [("Cookie", cookie_header(fetch_path.cookies))] if fetch_path.cookies else []

    async def page(self, token: str, fetch_path: FetchPath) -> FetchedCopy | FetchMiss:
        """Ask for a copy; never raises for what the network or a peer does."""
        nonce = self._nonce()
        try:
            reply = await self._send_signed("GET", token, nonce, fetch_path, MAX_PAGE_BYTES)
        except FetchFailed as failure:
            return FetchMiss("", failure.word)
        if reply.status == 200:
            return self._read_copy(reply, token, nonce)
        if reply.status == 404:
            return self._read_miss(reply, token, nonce)
        return FetchMiss("", f"status {reply.status}")

    async def confirm(self, token: str, fetch_path: FetchPath) -> bool:
        """Say by ``DELETE`` that the copy is safe; best effort, one retry."""
        for _ in range(2):
            try:
                reply = await self._send_signed("DELETE", token, self._nonce(), fetch_path, _MAX_SMALL_BYTES)
            except FetchFailed:
                continue
            if reply.status < 500:
                return reply.status in {204, 404}
        return False

    async def _send_signed(self, method: str, token: str, nonce: str, fetch_path: FetchPath, max_bytes: int) -> Reply:
        url = self._url(fetch_path, f"/page/{token}")
        headers = [*self._signer.sign(method, url, nonce, self._now()), *self._cookies(fetch_path)]
        return await self._client(fetch_path).ask(method, url, headers, max_bytes)

    async def whoami(self, fetch_path: FetchPath) -> WhoamiReply:
        """Ask which node a way leads to.

        :raises FetchFailed: where no proven answer came.
        """
        nonce = self._nonce()
        headers = [(NONCE.text, nonce), ("Cache-Control", "no-cache"), *self._cookies(fetch_path)]
        reply = await self._client(fetch_path).ask(
            "GET", self._url(fetch_path, "/whoami"), headers, _MAX_SMALL_BYTES, timeout_seconds=_WHOAMI_TIMEOUT_SECONDS
        )
        if reply.status != 200:
            raise FetchFailed(f"status {reply.status}")
        node = answering_node(reply.header)
        if not self._identity_of(node).is_proven(reply.header, "", nonce):
            raise FetchFailed("unproven")
        return WhoamiReply(node, reply.all("set-cookie"))

    async def post_whoami(self) -> tuple[str, ...]:
        """POST to ``whoami``, which refuses it and changes nothing: what the balancers hand out all the same.

        :raises FetchFailed: where no answer came.
        """
        headers = [("Cache-Control", "no-cache")]
        url = self._url(FetchPath(), "/whoami")
        return (await self._balancer.ask("POST", url, headers, _MAX_SMALL_BYTES, _WHOAMI_TIMEOUT_SECONDS)).all(
            "set-cookie"
        )

    async def open_session(self) -> tuple[str, ...]:
        """Begin a session of our own at the application, without a cookie: what it, and the balancers, hand out.

        By ``HEAD`` of the origin's first page: companions keep no copy of that.

        :raises FetchFailed: where no answer came.
        """
        url = f"{self.site.origin.rstrip('/')}/"
        reply = await self._balancer.ask("HEAD", url, [("Accept", "*/*")], _MAX_SMALL_BYTES, _WHOAMI_TIMEOUT_SECONDS)
        return reply.all("set-cookie")

    async def fetch_file(self, url: str, fetch_path: FetchPath, max_bytes: int, timeout_seconds: float) -> Reply:
        """Get a public file of the page's origin over the page's way; the caller checked the URL.

        :raises FetchFailed: where no whole answer came.
        """
        headers = [("Accept", "*/*"), *self._cookies(fetch_path)]
        return await self._client(fetch_path).ask("GET", url, headers, max_bytes, timeout_seconds)

    def _identity_of(self, node: str) -> Identity:
        return Identity(node, self._secret)

    def _check(self, reply: Reply, token: str, nonce: str) -> FetchMiss | None:
        """What is wrong with an answer's proof or digest; None: nothing."""
        node, digest = answering_node(reply.header), reply.header(REPR_DIGEST.lower)
        if not digest or not self._identity_of(node).is_proven(reply.header, token, nonce, digest):
            return FetchMiss("", "unproven")
        if not is_digest_of(digest, reply.body):
            return FetchMiss(node, "digest")
        return None

    def _read_copy(self, reply: Reply, token: str, nonce: str) -> FetchedCopy | FetchMiss:
        miss = self._check(reply, token, nonce)
        if miss is not None:
            return miss
        head = read_copy_head(reply.header)
        return FetchedCopy(
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

    def _read_miss(self, reply: Reply, token: str, nonce: str) -> FetchMiss:
        miss = self._check(reply, token, nonce)
        if miss is not None:
            return miss
        try:
            problem = json.loads(reply.body)
        except ValueError:
            problem = None
        reason = problem.get("reason") if isinstance(problem, dict) else None
        is_known = isinstance(reason, str) and reason in _MISSES
        word = str(reason) if is_known else "status 404"
        return FetchMiss(answering_node(reply.header), word, reply.all("set-cookie"))
