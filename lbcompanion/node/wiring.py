"""Puts the parts of a companion's visitor path and of its endpoints together; opens nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve, frozen
from twisted.internet.defer import Deferred

from lbcompanion.errors import ConfigError
from lbcompanion.html.redaction import Masks
from lbcompanion.http1.heads import RequestHead
from lbcompanion.model import MonotonicClock, Page, WallClock
from lbcompanion.node.capture.page_policy import Policy, Script
from lbcompanion.node.capture.pipeline import CaptureRules
from lbcompanion.node.capture.plan import RequestPlan
from lbcompanion.node.capture.rules import Recording
from lbcompanion.node.copies.peer_import import Taking
from lbcompanion.node.copies.service import Ask, Copies
from lbcompanion.node.endpoints.application_client import Answered
from lbcompanion.node.endpoints.debug import Debug
from lbcompanion.node.endpoints.fetch_auth import Callers
from lbcompanion.node.endpoints.router import Endpoints
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.receiver import NoticeDesk
from lbcompanion.node.notices.spool import Spool
from lbcompanion.node.proxy.client_info import TrustedProxies
from lbcompanion.node.proxy.context import Hub, LocalAnswer
from lbcompanion.node.proxy.upstream import UpstreamConnection, Upstreams
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.recorder.script import recorder_source, versioned_script
from lbcompanion.settings import LimitsTable, NodeSettings
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.stores.interface import IPageStore


@frozen(kw_only=True)
class Surroundings:
    """What the parts get from outside: settings, time, and everything that does I/O.

    :ivar now: seconds since the epoch.
    :ivar monotonic: seconds that only go forward.
    :ivar call_later: ``call_later(seconds, call)``, as the reactor has it.
    :ivar shared_store: whether other nodes may use this very store.
    :ivar dial: starts a connection to the application.
    :ivar ask_application: makes one request to the application, for the debug page.
    :ivar pass_on: asks other nodes for a copy: ``pass_on(method, owner, ask)``; None where none of them is known.
    :ivar spool: where notices wait for the crawler; None: they are not sent on.
    :ivar on_notice: called after each notice that was written to the spool.
    :ivar leaving: whether the node is about to stop.
    :ivar on_captured: called with each captured page and the request's Cookie header; None: as ``crawler.notices``
        says.
    :ivar policy: the class that decides about pages.
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
    ask_application: Callable[[RequestHead], Deferred[Answered]]
    pass_on: Callable[[bytes, str, Ask], Deferred[LocalAnswer | None] | None]
    spool: Spool | None
    on_notice: Callable[[], None]
    leaving: Callable[[], bool]
    on_captured: Callable[[Page, bytes], None] | None = None
    policy: type[Policy] = Policy


@frozen(kw_only=True)
class Parts:
    """The parts that others than their neighbours use."""

    copies: Copies
    desk: NoticeDesk
    policy: Policy
    script: Script
    endpoints: Endpoints
    hub: Hub


def build(given: Surroundings) -> Parts:
    """Make all parts, each after those that it needs.

    :raises ConfigError: for a mask that is no CSS selector.
    """
    settings, counters = given.settings, given.counters
    node, capture, limits = settings.node, settings.capture, settings.limits
    proxies = TrustedProxies(node.trusted_proxies)
    copies = Copies(
        node=node.name,
        secret=node.secret,
        store=given.store,
        tokens=given.tokens,
        now=given.now,
        counters=counters,
        log=given.log,
        pass_on=given.pass_on,
        shared=given.shared_store,
    )
    reader = CookieReader(settings.sticky)
    desk = NoticeDesk(
        node=node.name,
        tokens=given.tokens,
        reader=reader,
        copies=copies,
        spool=given.spool,
        counters=counters,
        now=given.now,
        told=given.on_notice,
    )
    script = _script(settings, reader)
    recording = Recording(capture)
    rules = CaptureRules(
        capture.max_page_bytes,
        limits.capturing_bytes,
        limits.expansion_ratio,
        capture.exclude_blocks,
        _masks(capture.mask),
        given.on_captured or _server_notices(settings, recording, desk),
    )
    policy = given.policy(
        settings=settings,
        copies=copies,
        counters=counters,
        rules=rules,
        recording=recording,
        script=script,
        now=given.now,
    )
    endpoints = Endpoints(
        node=node.name,
        prefix=node.prefix,
        callers=Callers(fetch=settings.fetch, secret=node.secret, trusted=proxies.trusts, now=given.now),
        copies=copies,
        desk=desk,
        taking=Taking(
            tokens=given.tokens,
            copies=copies,
            store=given.store,
            limits=settings.store,
            most_bytes=capture.max_page_bytes,
            leaving=given.leaving,
            now=given.now,
            counters=counters,
            log=given.log,
        ),
        script=script,
        counters=counters,
        log=given.log,
        debug=Debug(
            settings=settings, policy=policy, tokens=given.tokens, store=given.store, ask=given.ask_application
        ).tell,
    )
    hub = Hub(
        limits=limits,
        prefix=node.prefix.encode(),
        trusts=proxies.trusts,
        upstreams=Upstreams(
            dial=given.dial,
            limits=share_of(limits, node.workers),
            monotonic=given.monotonic,
            later=given.call_later,
            counters=counters,
        ),
        local=endpoints,
        plan=partial(RequestPlan, policy),
        counters=counters,
        monotonic=given.monotonic,
        log=given.log,
    )
    return Parts(copies=copies, desk=desk, policy=policy, script=script, endpoints=endpoints, hub=hub)


def share_of(limits: LimitsTable, workers: int) -> LimitsTable:
    """The limits of one of several processes: each has its part of the connections to the application, at least one."""
    most = limits.upstream_connections
    return evolve(limits, upstream_connections=max(most // workers, 1)) if most else limits


def _script(settings: NodeSettings, reader: CookieReader) -> Script:
    capture = settings.capture
    recorder = versioned_script(
        recorder_source(
            reader.names_for_script(),
            settings.node.prefix,
            settings.inject.clicktale_names,
            ratio=capture.ratio,
            visitor_cookie=capture.visitor_cookie,
            force_parameter=capture.force_parameter,
        )
    )
    return Script(recorder.source, recorder.version)


def _server_notices(
    settings: NodeSettings, recording: Recording, desk: NoticeDesk
) -> Callable[[Page, bytes], None] | None:
    """What sends the node's own notices of captured pages; None where ``crawler.notices`` is ``browser``."""
    if settings.crawler.notices not in {"server", "both"}:
        return None

    def captured(page: Page, cookie: bytes) -> None:
        if recording.own_notice(page, cookie):
            desk.of_our_own(page, cookie)

    return captured


def _masks(selectors: tuple[str, ...]) -> Masks | None:
    if not selectors:
        return None
    try:
        return Masks(selectors)
    except ValueError as error:
        raise ConfigError("", "capture.mask", str(error), "CSS selectors") from None
