"""Requests to the companions of one site. URLs are built from the configured origin and a token, never from a notice.

A response counts only with a valid ``Lbc-Proof`` of the node that sent it; the response for a page, or for its miss,
also needs a body that matches the digest in the proof.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

from attrs import field, frozen

from lbcompanion.crawler.fetching.http_client import BAD_HEAD, CODED, CUT, TOO_LARGE, Client, FetchFailed, Reply
from lbcompanion.crawler.fetching.site_pause import PAUSED, SitePause
from lbcompanion.errors import ConfirmationError
from lbcompanion.html.urls import page_address, path_of
from lbcompanion.model import MissReason, RoutingCookie, WallClock
from lbcompanion.protocol.confirmations import read_results, write_confirmation
from lbcompanion.protocol.headers import (
    AUTHORITY,
    NONCE,
    PAGE_HEAD,
    REPR_DIGEST,
    Identity,
    answering_node,
    read_copy_head,
)
from lbcompanion.protocol.response_heads import PageHead
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import digest_of, digests_of, repr_digest
from lbcompanion.settings import SiteSettings
from lbcompanion.sticky.cookies import render, safe_to_send

#: A safety limit, far above the largest page that a companion stores by default (4 MiB).
MAX_PAGE_BYTES = 64 * 1024 * 1024
_MAX_SMALL_BYTES = 65536
_WHOAMI_TIMEOUT_SECONDS = 5.0

_WRONG_DIGEST = "digest"
#: Results of requests that were answered with something that is no copy. A repetition may well transfer it again.
UNUSABLE = frozenset({BAD_HEAD, CODED, CUT, TOO_LARGE, _WRONG_DIGEST})
#: Results that do not say that a node is down.
NOT_DOWN = UNUSABLE | {PAUSED}
#: Answers of firewalls and of earlier nodes to a method that they do not allow.
_METHOD_REFUSED = frozenset({403, 405, 501})
_MISSES = frozenset(reason.value for reason in MissReason)
#: Reasons with which a node says that the copy is at none of the places that it knows.
_GONE = _MISSES - {MissReason.MISROUTED.value}


@frozen
class FetchedCopy:
    """A copy as fetched: proven and complete.

    :ivar url: the page's URL as :func:`lbcompanion.html.urls.page_address` reads it; empty if the node sent none.
    :ivar via: ``own``, ``peer`` or ``store``.
    :ivar status: the page's status code; with :attr:`head`, that of its status line.
    :ivar set_cookies: the raw ``Set-Cookie`` values of the response; a companion sets none, so a balancer set them.
    :ivar head: the head of the application's response; None if the node has none, as a node of an earlier version.
    :ivar shared: whether the connection was opened for a request with other cookies: then it may be the connection
        that led to the node.
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
    head: PageHead | None = field(repr=False, default=None)
    shared: bool = field(repr=False, eq=False, default=False)


@frozen
class FetchMiss:
    """A failed request for a copy.

    :ivar node: the node that answered; empty if the response was not proven.
    :ivar result: the reason of the miss, or the short word for the error.
    :ivar set_cookies: the raw ``Set-Cookie`` values of the response; empty if it was not proven.
    :ivar shared: as in :class:`FetchedCopy`.
    """

    node: str
    result: str
    set_cookies: tuple[str, ...] = field(repr=False, eq=False, default=())
    shared: bool = field(repr=False, eq=False, default=False)


@frozen
class WhoamiReply:
    """A proven response of ``whoami``.

    :ivar set_cookies: the raw ``Set-Cookie`` values of the response.
    """

    node: str
    set_cookies: tuple[str, ...] = field(repr=False, default=())


@frozen
class FetchPath:
    """How a request reaches a node.

    :ivar cookies: the cookies to send.
    :ivar direct: the origin to send it to; empty means the site's own.
    :ivar route: the name of the route, whose connections are kept; empty: each request gets a new connection.
    """

    cookies: tuple[RoutingCookie, ...] = ()
    direct: str = ""
    route: str = ""


def cookie_header(cookies: tuple[RoutingCookie, ...]) -> str:
    """Return the value of the ``Cookie`` header; cookie values are sent raw.

    :raises FetchFailed: ``bad cookie`` if the cookies are unsafe in a header or too long. Recorded and stored cookies
        are always safe, so these were tampered with.
    """
    if not safe_to_send(cookies):
        raise FetchFailed("bad cookie")
    return render(cookies)


class SiteFetcher:
    """Sends requests to the nodes of one site.

    :param nonce: returns a new unguessable text for each request.
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
        #: Whether the site's edge asked for fewer requests.
        self.site_pause = SitePause(now)

    def _url(self, fetch_path: FetchPath, path: str) -> str:
        return f"{(fetch_path.direct or self.site.origin).rstrip('/')}{self.site.prefix}{path}"

    async def _ask(
        self,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        max_bytes: int,
        *,
        fetch_path: FetchPath,
        timeout_seconds: float = 0.0,
        body: bytes = b"",
        route: str = "",
    ) -> Reply:
        """Send one request; while the site is paused only at a node's own origin.

        :raises FetchFailed: if no complete response came.
        """
        if fetch_path.direct:
            return await self._direct.ask(method, url, headers, max_bytes, timeout_seconds, body, route)
        if self.site_pause.seconds_left():
            raise FetchFailed(PAUSED)
        reply = await self._balancer.ask(method, url, headers, max_bytes, timeout_seconds, body, route)
        if path_of(url).startswith(f"{self.site.prefix}/"):
            # The application refuses other paths too, such as an image of a page: that says nothing about the site.
            self.site_pause.note(reply)
        return reply

    def _cookies(self, fetch_path: FetchPath) -> list[tuple[str, str]]:
        return [("Cookie", cookie_header(fetch_path.cookies))] if fetch_path.cookies else []

    async def page(self, token: str, fetch_path: FetchPath) -> FetchedCopy | FetchMiss:
        """Request a copy; errors of network or peer are returned as a :class:`FetchMiss`, never raised."""
        nonce = self._nonce()
        try:
            reply = await self._send_signed(
                "GET", f"/page/{token}", nonce, fetch_path, MAX_PAGE_BYTES, fields=[(PAGE_HEAD.text, "1")]
            )
        except FetchFailed as failure:
            return FetchMiss("", failure.word)
        if reply.status == 200:
            return self._read_copy(reply, token, nonce)
        if reply.status == 404:
            return self._read_miss(reply, token, nonce)
        return FetchMiss("", f"status {reply.status}")

    async def debug(self, fetch_path: FetchPath) -> Reply:
        """Request the report of a node's debug page.

        :raises FetchFailed: if no complete response came.
        """
        return await self._send_signed("GET", "/debug", self._nonce(), fetch_path, MAX_PAGE_BYTES)

    async def confirm(self, token: str, fetch_path: FetchPath) -> bool:
        """Confirm that the copy is archived, and return whether its node accepted it. The answer ``misrouted`` of
        another node confirms nothing.

        ``POST .../done`` comes first, because firewalls often refuse ``DELETE``. Nodes of version 0.1 know only that.
        """
        for method, path in (("POST", f"/page/{token}/done"), ("DELETE", f"/page/{token}")):
            status = await self._confirm_by(method, path, token, fetch_path)
            if status not in _METHOD_REFUSED:
                return status in {204, 404}
        return False

    async def confirm_several(self, tokens: Sequence[str], fetch_path: FetchPath, owner: str) -> dict[str, int] | None:
        """Confirm that several copies of one node are archived, in one request.

        :param owner: the node that made the pages.
        :returns: the status of each token, as it would be alone, without those that the answering node may not know;
            None if the answer is not proven. Then the node may be one of an earlier version, which does not know this
            request.
        :raises FetchFailed: if no complete response came.
        """
        nonce = self._nonce()
        body = write_confirmation(tokens)
        reply = await self._send_signed("POST", "/done", nonce, fetch_path, _MAX_SMALL_BYTES, body)
        if reply.status != 200 or self._check(reply, "", nonce, digest_of(reply.body)) is not None:
            return None
        try:
            results = read_results(reply.body, tokens)
        except ConfirmationError:
            return None
        if answering_node(reply.header) == owner:
            return results
        # There is no reason beside the status: 404 of another node may mean ``misrouted``.
        return {token: status for token, status in results.items() if status != 404}

    async def _confirm_by(self, method: str, path: str, token: str, fetch_path: FetchPath) -> int:
        """Return the status of the answer; ask once more if none comes or the server fails. 0: no answer of a node that
        knows the copy."""
        status = 0
        for _ in range(2):
            nonce = self._nonce()
            try:
                reply = await self._send_signed(method, path, nonce, fetch_path, _MAX_SMALL_BYTES)
            except FetchFailed:
                continue
            if reply.status == 404 and self._read_miss(reply, token, nonce).result not in _GONE:
                return 0
            status = reply.status
            if status < 500 or status in _METHOD_REFUSED:
                break
        return status

    async def _send_signed(
        self,
        method: str,
        path: str,
        nonce: str,
        fetch_path: FetchPath,
        max_bytes: int,
        body: bytes = b"",
        fields: Sequence[tuple[str, str]] = (),
    ) -> Reply:
        url = self._url(fetch_path, path)
        # A balancer may replace Host, with which the node would verify the signature.
        authority = (AUTHORITY.text, urlsplit(url).netloc)
        signed = self._signer.sign(method, url, nonce, self._now(), body or None)
        headers = [*signed, authority, *fields, *self._cookies(fetch_path)]
        if body:
            headers.append(("Content-Type", "application/json"))
        return await self._ask(
            method, url, headers, max_bytes, fetch_path=fetch_path, body=body, route=fetch_path.route
        )

    def on_wrong_turn(self, fetch_path: FetchPath) -> None:
        """Close the kept connections of a path: an answer came from another node than the one it should lead to."""
        if fetch_path.route:
            (self._direct if fetch_path.direct else self._balancer).forget(fetch_path.route)

    def close(self) -> None:
        """Close the kept connections."""
        self._balancer.close()
        self._direct.close()

    async def whoami(self, fetch_path: FetchPath) -> WhoamiReply:
        """Ask which node a path leads to.

        :raises FetchFailed: if no proven response came.
        """
        nonce = self._nonce()
        headers = [(NONCE.text, nonce), ("Cache-Control", "no-cache"), *self._cookies(fetch_path)]
        reply = await self._ask(
            "GET",
            self._url(fetch_path, "/whoami"),
            headers,
            _MAX_SMALL_BYTES,
            fetch_path=fetch_path,
            timeout_seconds=_WHOAMI_TIMEOUT_SECONDS,
        )
        if reply.status != 200:
            raise FetchFailed(f"status {reply.status}")
        node = answering_node(reply.header)
        if not self._identity_of(node).is_proven(reply.header, "", nonce):
            raise FetchFailed("unproven")
        return WhoamiReply(node, reply.all("set-cookie"))

    async def post_whoami(self) -> tuple[str, ...]:
        """Send POST to ``whoami``, which refuses it without effect, and return the ``Set-Cookie`` values.

        Some balancers set their cookie only on responses to POST.

        :raises FetchFailed: if no response came.
        """
        headers = [("Cache-Control", "no-cache")]
        return (await self._ask_balancer("POST", self._url(FetchPath(), "/whoami"), headers)).all("set-cookie")

    async def _ask_balancer(self, method: str, url: str, headers: list[tuple[str, str]]) -> Reply:
        return await self._ask(
            *(method, url, headers, _MAX_SMALL_BYTES), fetch_path=FetchPath(), timeout_seconds=_WHOAMI_TIMEOUT_SECONDS
        )

    async def open_session(self, path: str = "/") -> tuple[str, ...]:
        """Begin a session at the application and return the ``Set-Cookie`` values of application and balancers.

        Sends ``HEAD`` without a cookie: companions store no copy for HEAD.

        :raises FetchFailed: if no response came.
        """
        url = f"{self.site.origin.rstrip('/')}{path}"
        return (await self._ask_balancer("HEAD", url, [("Accept", "text/html,*/*")])).all("set-cookie")

    async def fetch_file(
        self,
        url: str,
        fetch_path: FetchPath,
        max_bytes: int,
        timeout_seconds: float,
        conditions: Iterable[tuple[str, str]] = (),
    ) -> Reply:
        """Get a public file of the page's origin over the page's path; the caller has checked the URL.

        :param conditions: the fields that make the request conditional.
        :raises FetchFailed: if no complete response came.
        """
        headers = [("Accept", "*/*"), *conditions, *self._cookies(fetch_path)]
        return await self._ask(
            *("GET", url, headers, max_bytes),
            fetch_path=fetch_path,
            timeout_seconds=timeout_seconds,
            route=fetch_path.route,
        )

    def _identity_of(self, node: str) -> Identity:
        return Identity(node, self._secret)

    def _check(self, reply: Reply, token: str, nonce: str, digest: bytes) -> FetchMiss | None:
        """Check proof and digest of a response; return the miss if one of them is wrong, else None.

        :param digest: that of the received body.
        """
        node, stated = answering_node(reply.header), reply.header(REPR_DIGEST.lower)
        if not stated or not self._identity_of(node).is_proven(reply.header, token, nonce, stated):
            return FetchMiss("", "unproven")
        if stated != repr_digest(digest):
            return FetchMiss(node, _WRONG_DIGEST)
        return None

    def _read_copy(self, reply: Reply, token: str, nonce: str) -> FetchedCopy | FetchMiss:
        copy_head = read_copy_head(reply.header)
        page_bytes = max(len(reply.body) - copy_head.head_bytes, 0)
        body, head_bytes = reply.body[:page_bytes], reply.body[page_bytes:]
        page_digest, digest = digests_of(body, head_bytes)
        miss = self._check(reply, token, nonce, digest)
        if miss is not None:
            return miss
        head = PageHead.read(head_bytes) if head_bytes else None
        return FetchedCopy(
            node=copy_head.node,
            url=page_address(copy_head.url),
            method=copy_head.method,
            status=copy_head.status if head is None else head.status,
            content_type=copy_head.content_type,
            captured_at=self._now() if copy_head.captured_at is None else copy_head.captured_at,
            via=copy_head.via,
            sha256=page_digest,
            body=body,
            set_cookies=reply.all("set-cookie"),
            head=head,
            shared=reply.shared,
        )

    def _read_miss(self, reply: Reply, token: str, nonce: str) -> FetchMiss:
        miss = self._check(reply, token, nonce, digest_of(reply.body))
        if miss is not None:
            return miss
        try:
            problem = json.loads(reply.body)
        except ValueError:
            problem = None
        reason = problem.get("reason") if isinstance(problem, dict) else None
        is_known = isinstance(reason, str) and reason in _MISSES
        word = str(reason) if is_known else "status 404"
        return FetchMiss(answering_node(reply.header), word, reply.all("set-cookie"), reply.shared)
