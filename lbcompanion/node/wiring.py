"""Creates the parts of a companion's visitor path and of its endpoints; opens nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256

from attrs import Factory, evolve, frozen
from twisted.internet.defer import Deferred

from lbcompanion.errors import ConfigError
from lbcompanion.html.masks import Masks
from lbcompanion.http1.heads import RequestHead
from lbcompanion.model import MonotonicClock, Page, WallClock
from lbcompanion.node.capture.archived_fields import ArchivedFields
from lbcompanion.node.capture.capture_rules import CaptureRules
from lbcompanion.node.capture.page_copy import CaptureLimits
from lbcompanion.node.capture.page_policy import PagePolicy, Script
from lbcompanion.node.capture.plan import RequestPlan
from lbcompanion.node.capture.usual_pages import UsualPages
from lbcompanion.node.copies.peer_import import PeerImport
from lbcompanion.node.copies.service import Copies, CopyRequest
from lbcompanion.node.endpoints.application_client import UpstreamResponse
from lbcompanion.node.endpoints.debug import DebugReporter
from lbcompanion.node.endpoints.fetch_auth import FetchAuthorizer
from lbcompanion.node.endpoints.router import EndpointRouter
from lbcompanion.node.endpoints.used_nonces import NonceStore, UsedNonces
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.page_cookies import FindPageCookies, PageCookies
from lbcompanion.node.notices.pseudonyms import Pseudonyms, VisitorPseudonyms
from lbcompanion.node.notices.receiver import NoticeReceiver
from lbcompanion.node.notices.spool import Spool
from lbcompanion.node.proxy.client_info import TrustedProxies
from lbcompanion.node.proxy.context import InternalResponse, ProxyContext
from lbcompanion.node.proxy.dates import DateLine
from lbcompanion.node.proxy.upstream import UpstreamConnection, UpstreamPool
from lbcompanion.node.proxy.usual_exchange import UsualExchange
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.recorder.script import recorder_source, versioned_script
from lbcompanion.settings import LimitsTable, NodeSettings, NodeTable
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.stores.interface import IPageStore


@frozen(kw_only=True)
class NodeDependencies:
    """The dependencies of the parts: settings, clocks, and everything that does I/O.

    :ivar now: seconds since the epoch.
    :ivar monotonic: seconds that only go forward.
    :ivar call_later: ``call_later(seconds, call)``, as the reactor has it.
    :ivar shared_store: whether other nodes may use the same store.
    :ivar dial: connects a handler to the application.
    :ivar ask_application: makes one request to the application, for the debug page.
    :ivar ask_peers: asks other nodes for a copy: ``ask_peers(method, owner, copy_request)``; it returns None if it
        knows no node to ask.
    :ivar spool: the queue of notices for the crawler; None discards them.
    :ivar on_notice: called after each write of a notice to the spool.
    :ivar is_draining: whether the node is stopping.
    :ivar on_captured: called with each captured page and the request's Cookie field; None follows
        ``crawler.notices``.
    :ivar policy: the class that decides about pages.
    :ivar find_page_cookies: asks the node's other processes for the routing cookies of a page.
    """

    settings: NodeSettings
    now: WallClock
    monotonic: MonotonicClock
    call_later: Callable[[float, Callable[[], None]], object]
    log: Callable[[str, str], None]
    counters: Counters
    store: IPageStore
    shared_store: bool
    tokens: Tokens
    dial: Callable[[UpstreamConnection], None]
    ask_application: Callable[[RequestHead], Deferred[UpstreamResponse]]
    ask_peers: Callable[[bytes, str, CopyRequest], Deferred[InternalResponse | None] | None]
    spool: Spool | None
    on_notice: Callable[[], None]
    is_draining: Callable[[], bool]
    on_captured: Callable[[Page, bytes], None] | None = None
    policy: type[PagePolicy] = PagePolicy
    nonces: NonceStore = Factory(UsedNonces)
    find_page_cookies: FindPageCookies | None = None


@frozen(kw_only=True)
class Parts:
    """The parts that the service uses."""

    copies: Copies
    page_cookies: PageCookies
    notice_receiver: NoticeReceiver
    policy: PagePolicy
    script: Script
    endpoints: EndpointRouter
    context: ProxyContext


def build(dependencies: NodeDependencies) -> Parts:
    """Create all parts.

    :raises ConfigError: for a mask that is not a CSS selector.
    """
    settings, counters = dependencies.settings, dependencies.counters
    node, capture, limits = settings.node, settings.capture, settings.limits
    proxies = TrustedProxies(node.trusted_proxies)
    copies = Copies(
        node=node.name,
        secret=node.secret,
        store=dependencies.store,
        tokens=dependencies.tokens,
        now=dependencies.now,
        counters=counters,
        log=dependencies.log,
        ask_peers=dependencies.ask_peers,
        shared=dependencies.shared_store,
    )
    reader = CookieReader(settings.sticky)
    page_cookies = PageCookies(
        reader, dependencies.now, max_bytes=limits.page_cookies_bytes, dropped=counters.page_cookies_dropped
    )
    notice_receiver = NoticeReceiver(
        node=node.name,
        tokens=dependencies.tokens,
        reader=reader,
        copies=copies,
        spool=dependencies.spool,
        counters=counters,
        now=dependencies.now,
        public_origin=node.public_origin,
        trusts=proxies.trusts,
        on_notice=dependencies.on_notice,
        page_cookies=page_cookies,
        find_page_cookies=dependencies.find_page_cookies,
        pseudonym=Pseudonyms(node.secret, proxies.trusts),
        visitor=VisitorPseudonyms(node.secret, settings.capture.visitor_cookie),
    )
    upstream_pool = UpstreamPool(
        dial=dependencies.dial,
        limits=worker_limits(limits, node.workers),
        monotonic=dependencies.monotonic,
        call_later=dependencies.call_later,
        counters=counters,
        log=dependencies.log,
    )
    script = _script(settings, reader)
    capture_rules = CaptureRules(capture)
    capture_limits = CaptureLimits(
        capture.max_page_bytes,
        limits.capturing_bytes,
        limits.expansion_ratio,
        capture.exclude_blocks,
        _masks(capture.mask, limits.masked_elements),
        dependencies.on_captured or _server_notices(settings, capture_rules, notice_receiver),
        ArchivedFields(capture.archive_fields_exclude).head_of,
        page_cookies.keep if _keeps_page_cookies(settings, dependencies) else None,
    )
    policy = dependencies.policy(
        settings=settings,
        copies=copies,
        counters=counters,
        capture_limits=capture_limits,
        capture_rules=capture_rules,
        script=script,
        now=dependencies.now,
    )
    endpoints = EndpointRouter(
        node=node.name,
        prefix=node.prefix,
        authorizer=FetchAuthorizer(
            fetch=settings.fetch,
            secret=node.secret,
            public_origin=node.public_origin,
            trusted=proxies.trusts,
            now=dependencies.now,
            nonces=dependencies.nonces,
        ),
        copies=copies,
        notice_receiver=notice_receiver,
        peer_import=PeerImport(
            tokens=dependencies.tokens,
            copies=copies,
            store=dependencies.store,
            limits=settings.store,
            max_bytes=capture.max_page_bytes,
            is_draining=dependencies.is_draining,
            now=dependencies.now,
            counters=counters,
            log=dependencies.log,
        ),
        script=script,
        counters=counters,
        log=dependencies.log,
        debug=DebugReporter(
            settings=settings,
            policy=policy,
            tokens=dependencies.tokens,
            store=dependencies.store,
            ask=dependencies.ask_application,
            upstream=upstream_pool.report,
        ).report,
    )
    context = ProxyContext(
        limits=limits,
        prefix=node.prefix.encode(),
        trusts=proxies.trusts,
        upstream_pool=upstream_pool,
        internal_handler=endpoints,
        plan=partial(RequestPlan, policy),
        counters=counters,
        monotonic=dependencies.monotonic,
        log=dependencies.log,
        node_id=_node_id(node),
        date_line=DateLine(dependencies.now),
    )
    if UsualPages.is_for(policy):
        context.new_usual_exchange = partial(UsualExchange, UsualPages(policy, context))
    return Parts(
        copies=copies,
        page_cookies=page_cookies,
        notice_receiver=notice_receiver,
        policy=policy,
        script=script,
        endpoints=endpoints,
        context=context,
    )


def _keeps_page_cookies(settings: NodeSettings, dependencies: NodeDependencies) -> bool:
    """Whether browsers send notices to this node, and there is memory for the cookies of their pages."""
    from_browsers = dependencies.spool is not None and settings.crawler.notices != "server"
    return from_browsers and settings.limits.page_cookies_bytes > 0


def _node_id(node: NodeTable) -> bytes:
    """The node's name in the field that shows loops: farms beside each other may have nodes of the same name."""
    configured = repr((node.name, node.listen, node.upstream, str(node.state_dir)))
    return f"{node.name}-{sha256(configured.encode()).hexdigest()[:8]}".encode()


def worker_limits(limits: LimitsTable, workers: int) -> LimitsTable:
    """The limits of one of several processes: each gets its share of the upstream connections, at least one."""
    most = limits.upstream_connections
    return evolve(limits, upstream_connections=max(most // workers, 1)) if most else limits


def _script(settings: NodeSettings, reader: CookieReader) -> Script:
    capture = settings.capture
    recorder = versioned_script(
        recorder_source(
            reader.names_for_script(),
            settings.node.prefix,
            clicktale_names=settings.inject.clicktale_names,
            ratio=capture.ratio,
            visitor_cookie=capture.visitor_cookie,
            identify=capture.identify,
            force_parameter=capture.force_parameter,
        )
    )
    return Script(recorder.source, recorder.version)


def _server_notices(
    settings: NodeSettings, capture_rules: CaptureRules, notice_receiver: NoticeReceiver
) -> Callable[[Page, bytes], None] | None:
    """The callback that records server notices of captured pages; None if ``crawler.notices`` is ``browser``."""
    if settings.crawler.notices not in {"server", "both"}:
        return None

    def captured(page: Page, cookie: bytes) -> None:
        if capture_rules.allows_server_notice(page, cookie):
            notice_receiver.record_server_notice(page, cookie)

    return captured


def _masks(selectors: tuple[str, ...], max_elements: int) -> Masks | None:
    if not selectors:
        return None
    try:
        return Masks(selectors, max_elements)
    except ValueError as error:
        raise ConfigError("", "capture.mask", str(error), "CSS selectors") from None
