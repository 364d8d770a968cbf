"""Receives notices of pages from browsers, and records those of the node; reduces them to routing cookies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network

from twisted.python.failure import Failure

from lbcompanion.errors import NoticeError, StoreError, TokenError
from lbcompanion.model import Notice, NoticeSource, Page, RoutingCookie, WallClock
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.page_cookies import FindPageCookies, PageCookies
from lbcompanion.node.notices.spool import Spool
from lbcompanion.node.proxy.answers import guarded_text, no_content
from lbcompanion.node.proxy.client_info import PublicOrigin, client_address
from lbcompanion.node.proxy.context import InternalRequest, InternalResponse
from lbcompanion.protocol.notices import BROWSER_LIMIT_BYTES, read_browser_notice
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.reader import CookieReader

#: The longest URL in a notice. The crawler fetches by token, and gets the whole URL with the copy.
MAX_URL_BYTES = 4096
# An IPv6 client usually has all addresses of a network of this size.
_IPV6_PREFIX = 64
_ORIGIN_OF_URL = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


class NoticeReceiver:
    """Checks and reduces notices, and writes them to the spool.

    :param public_origin: ``[node] public_origin``; empty if it is not set.
    :param trusts: whether an address is a trusted proxy's.
    :param on_notice: called after each write to the spool.
    :param page_cookies: the cookies of captured pages, for notices that bring none.
    :param find_page_cookies: asks the node's other processes for them.
    :param now: seconds since the epoch.
    :param pseudonym: returns a pseudonym of a request's sender, to count visitors by.
    :param visitor: returns the visitor's pseudonym for the cookies of a request; empty without a visitor cookie.
    """

    def __init__(
        self,
        *,
        node: str,
        tokens: Tokens,
        reader: CookieReader,
        copies: Copies,
        spool: Spool | None,
        counters: Counters,
        now: WallClock,
        public_origin: str,
        trusts: Callable[[str], bool],
        on_notice: Callable[[], None],
        page_cookies: PageCookies,
        find_page_cookies: FindPageCookies | None = None,
        pseudonym: Callable[[InternalRequest], str] = lambda _request: "",
        visitor: Callable[[Mapping[str, str]], str] = lambda _cookies: "",
    ) -> None:
        self._node = node
        self._tokens = tokens
        self._reader = reader
        self._copies = copies
        self._spool = spool
        self._counters = counters
        self._now = now
        self._public_origin = PublicOrigin(public_origin)
        self._trusts = trusts
        self._on_notice = on_notice
        self._page_cookies = page_cookies
        self._find_page_cookies = find_page_cookies
        self._pseudonym = pseudonym
        self._visitor = visitor

    async def receive(self, request: InternalRequest) -> InternalResponse:
        """Answer ``POST notice``: 204 after the write, 400, 403, 413, or 503 if the write failed."""
        try:
            if request.truncated:
                raise NoticeError(f"longer than {BROWSER_LIMIT_BYTES} bytes", 413)
            browser_notice = read_browser_notice(request.body)
            owner = self._tokens.owner_of(browser_notice.token)
            with_cookies = self._check_sender(request, browser_notice.url)
        except (NoticeError, TokenError) as error:
            self._counters.notices["refused"] += 1
            status = error.status if isinstance(error, NoticeError) else 400
            return guarded_text(status, str(error))
        cookies: Iterable[RoutingCookie] = ()
        visitor = ""
        if with_cookies:
            sent = parse(b"; ".join(request.head.all(b"cookie")))
            cookies, visitor = self._reader.merge(sent, browser_notice.cookies), self._visitor(sent)
        if not cookies and owner == self._node:
            cookies = await self._cookies_of_page(browser_notice.token)
        page_url = (await self._copies.url_of(browser_notice.token)) if owner == self._node else ""
        notice = Notice(
            token=browser_notice.token,
            url=_shortened(browser_notice.url),
            cookies={cookie.name: cookie.value for cookie in cookies},
            viewed_at=browser_notice.viewed_at,
            noticed_at=self._now(),
            page_url=_shortened(page_url),
            source=NoticeSource.BROWSER,
            visitor=visitor,
            sender=self._pseudonym(request),
        )
        if self._spool is None:
            self._counters.notices["not sent on"] += 1
            return no_content()
        try:
            address = client_address(request.head, request.peer, self._trusts, trusted=request.trusted)
            accepted = await self._spool.add(notice, _network(address))
        except StoreError as error:
            self._counters.notices["not written"] += 1
            return guarded_text(503, str(error))
        if not accepted:
            self._counters.notices["spool full"] += 1
            return guarded_text(503, "too many notices wait for the crawler")
        self._counters.notices["taken"] += 1
        self._on_notice()
        return no_content()

    async def _cookies_of_page(self, token: str) -> tuple[RoutingCookie, ...]:
        """The routing cookies of a page, from the process of this node that captured it."""
        found = self._page_cookies.routing_cookies(token)
        if found or self._find_page_cookies is None:
            return found
        return await self._find_page_cookies(token)

    def _check_sender(self, request: InternalRequest, url: str) -> bool:
        """Whether the notice's cookies count: those of a page of another site do not.

        Another site can make a visitor's browser post a notice. The browser then sends the cookies of this site that
        have ``SameSite=None``, and these would be recorded for a token that the other site chose.

        :param url: the URL that the notice names.
        :raises NoticeError: with status 403 for a notice of another site.
        """
        head = request.head
        origin, site = head.get(b"origin"), head.get(b"sec-fetch-site")
        if origin == b"null":
            # A sandboxed frame of this site is cross-site too, and so is one of any other site.
            return False
        if site == b"same-origin" or (
            origin is not None
            and self._public_origin.is_own(origin, head, trusted=request.trusted)
            and site != b"cross-site"
        ):
            return True
        if origin is None and site != b"cross-site":
            # Not a browser, or an old one: some of these send no Origin with a form of another site.
            referring = _ORIGIN_OF_URL.match(head.get(b"referer") or b"")
            return referring is None or self._public_origin.is_own(referring.group(), head, trusted=request.trusted)
        names_its_page = origin is not None and url.lower().startswith(f"{origin.decode('latin-1').lower()}/")
        if names_its_page and site is None and not self._public_origin.is_configured:
            # Browsers omit Sec-Fetch-Site for http, and the balancer may have replaced Host.
            return False
        raise NoticeError("a notice has to come from a page of this site", 403)

    def record_server_notice(self, page: Page, cookie_header: bytes) -> None:
        """Record the node's own notice of a captured page (``notices = "server"``)."""
        if self._spool is None:
            return
        now = self._now()
        sent = parse(cookie_header)
        cookies = self._reader.read(sent)
        notice = Notice(
            token=page.token,
            url=_shortened(page.url),
            cookies={cookie.name: cookie.value for cookie in cookies},
            viewed_at=now,
            noticed_at=now,
            page_url=_shortened(page.url),
            source=NoticeSource.SERVER,
            visitor=self._visitor(sent),
        )
        self._counters.notices["own"] += 1
        self._spool.add(notice).addCallbacks(lambda _: self._on_notice(), self._not_written)

    def _not_written(self, failure: Failure) -> None:
        self._counters.notices["not written"] += 1


def _shortened(url: str) -> str:
    return url.encode("utf-8", "ignore")[:MAX_URL_BYTES].decode("utf-8", "ignore")


def _network(address: str) -> str:
    """The part of an address that one client can hardly change."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
