"""Receives notices of pages from browsers, and records those of the node; reduces them to routing cookies."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from lbcompanion.errors import NoticeError, StoreError, TokenError
from lbcompanion.model import Notice, NoticeSource, Page, WallClock
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.spool import Spool
from lbcompanion.node.proxy.answers import guarded_text, no_content
from lbcompanion.node.proxy.context import InternalRequest, InternalResponse
from lbcompanion.protocol.notices import BROWSER_LIMIT_BYTES, read_browser_notice
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.reader import CookieReader


class NoticeReceiver:
    """Checks and reduces notices, and writes them to the spool.

    :param on_notice: called after each write to the spool.
    :param now: seconds since the epoch.
    :param pseudonym: returns a pseudonym of the visitor who sent a request.
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
        on_notice: Callable[[], None],
        pseudonym: Callable[[InternalRequest], str] = lambda _request: "",
    ) -> None:
        self._node = node
        self._tokens = tokens
        self._reader = reader
        self._copies = copies
        self._spool = spool
        self._counters = counters
        self._now = now
        self._on_notice = on_notice
        self._pseudonym = pseudonym

    async def receive(self, request: InternalRequest) -> InternalResponse:
        """Answer ``POST notice``: 204 after the write, 400, 413, or 503 if the write failed."""
        try:
            if request.truncated:
                raise NoticeError(f"longer than {BROWSER_LIMIT_BYTES} bytes", 413)
            browser_notice = read_browser_notice(request.body)
            owner = self._tokens.owner_of(browser_notice.token)
        except (NoticeError, TokenError) as error:
            self._counters.notices["refused"] += 1
            status = error.status if isinstance(error, NoticeError) else 400
            return guarded_text(status, str(error))
        cookies = self._reader.merge(parse(b"; ".join(request.head.all(b"cookie"))), browser_notice.cookies)
        page_url = (await self._copies.url_of(browser_notice.token)) if owner == self._node else ""
        notice = Notice(
            token=browser_notice.token,
            url=browser_notice.url,
            cookies={cookie.name: cookie.value for cookie in cookies},
            viewed_at=browser_notice.viewed_at,
            noticed_at=self._now(),
            page_url=page_url,
            source=NoticeSource.BROWSER,
            visitor=self._pseudonym(request),
        )
        if self._spool is None:
            self._counters.notices["not sent on"] += 1
            return no_content()
        try:
            accepted = await self._spool.add(notice)
        except StoreError as error:
            self._counters.notices["not written"] += 1
            return guarded_text(503, str(error))
        if not accepted:
            self._counters.notices["spool full"] += 1
            return guarded_text(503, "too many notices wait for the crawler")
        self._counters.notices["taken"] += 1
        self._on_notice()
        return no_content()

    def record_server_notice(self, page: Page, cookie_header: bytes) -> None:
        """Record the node's own notice of a captured page (``notices = "server"``)."""
        if self._spool is None:
            return
        now = self._now()
        cookies = self._reader.read(parse(cookie_header))
        notice = Notice(
            token=page.token,
            url=page.url,
            cookies={cookie.name: cookie.value for cookie in cookies},
            viewed_at=now,
            noticed_at=now,
            page_url=page.url,
            source=NoticeSource.SERVER,
        )
        self._counters.notices["own"] += 1
        self._spool.add(notice).addCallbacks(lambda _: self._on_notice(), self._not_written)

    def _not_written(self, failure: Failure) -> None:
        self._counters.notices["not written"] += 1
