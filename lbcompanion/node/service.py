"""The companion as a service: puts the parts together, opens and closes them in order."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import attrs
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.server import Site

from lbcompanion.errors import ConfigError, StoreError
from lbcompanion.html.copy import Masks
from lbcompanion.html.recorder import recorder_source, versioned
from lbcompanion.model import Page
from lbcompanion.node.admin import NodeMetrics, admin_site
from lbcompanion.node.application import Application
from lbcompanion.node.callers import Callers
from lbcompanion.node.capture import CaptureRules
from lbcompanion.node.copies import Copies
from lbcompanion.node.counters import Counters
from lbcompanion.node.debug import Debug
from lbcompanion.node.endpoints import Endpoints
from lbcompanion.node.hub import Hub
from lbcompanion.node.listening import Listener, dialer, listen
from lbcompanion.node.notices import Deliverer, NoticeDesk
from lbcompanion.node.peers import Peers
from lbcompanion.node.policy import Policy, Script
from lbcompanion.node.readiness import Readiness
from lbcompanion.node.spool import Spool
from lbcompanion.node.upstream import Upstreams
from lbcompanion.node.visitor import VisitorConnection
from lbcompanion.settings import NodeSettings
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.stores.registry import open_store
from lbcompanion.stores.threads import OneThread
from lbcompanion.stores.timely import in_time
from lbcompanion.tokens import Tokens

_SWEEP_TICKS = 5
_SPARE_DESCRIPTORS = 200
#: How long running exchanges may take to finish once the listeners are closed.
DRAIN_SECONDS = 20.0
_DRAIN_STEP_SECONDS = 0.05


class NodeService(MultiService):
    """One companion.

    :param loop: the asyncio loop that the reactor runs on; None: all transports are Twisted's.
    :param now: the time, seconds since the epoch.
    :param thread: gives a thread of that name for blocking work.
    :ivar started: fires once all listeners are open, fails where one cannot be.
    :ivar ports: of the visitors' listeners, in the order of ``node.listen``.
    :ivar admin_port: of the admin listener.
    :raises ConfigError: for a store or a mask that cannot be used.
    """

    def __init__(
        self,
        settings: NodeSettings,
        reactor: Any,
        loop: asyncio.AbstractEventLoop | None = None,
        now: Callable[[], float] = time.time,
        thread: Callable[[Any, str], OneThread] = OneThread,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._now = now
        self._thread = thread
        self._settings = settings
        self._reactor = reactor
        self._loop = loop
        self._log = Logger(namespace="lbcompanion.node")
        self.started: Deferred[None] = Deferred()
        self.ports: list[int] = []
        self.admin_port = 0
        self._listeners: list[Listener] = []
        self._admin_listener: Any = None
        self._ticks = 0
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = reactor
        self._build()

    def _build(self) -> None:
        """Make all parts; nothing is opened yet."""
        settings, reactor = self._settings, self._reactor
        node = settings.node
        limits = settings.limits
        counters = self.counters = Counters()
        self._store_thread = self._thread(reactor, "lbcompanion-store")
        self._spool_thread = self._thread(reactor, "lbcompanion-spool")
        self.store = in_time(open_store(settings.store, self._now, self._store_thread), reactor)
        tokens = Tokens(node.secret, node.name, os.urandom)
        self._peers = Peers(
            node.name,
            node.secret,
            node.prefix,
            settings.peers,
            reactor,
            _nonce,
            self._now,
            settings.capture.max_page_bytes * 2,
        )
        copies = self.copies = Copies(
            node.name, node.secret, self.store, tokens, self._now, counters, self._say, self._peers.pass_on
        )
        reader = CookieReader(settings.sticky)
        self.spool: Spool | None = None
        self.deliverer: Deliverer | None = None
        if settings.crawler.intake:
            self.spool = Spool(node.state_dir / "notices.db", self._spool_thread)
            self.deliverer = Deliverer(
                settings.crawler.intake, node.secret, self.spool, reactor, _nonce, self._now, counters, self._say
            )
        wake = self.deliverer.wake if self.deliverer is not None else _nothing
        desk = NoticeDesk(node.name, tokens, reader, copies, self.spool, counters, self._now, wake)
        by_server = settings.crawler.notices in {"server", "both"}

        def kept(page: Page, cookie: bytes) -> None:
            if self.policy.own_notice(page, cookie):
                desk.of_our_own(page, cookie)

        rules = CaptureRules(
            settings.capture.max_page_bytes,
            limits.capturing_bytes,
            limits.expansion_ratio,
            settings.capture.exclude_blocks,
            _masks(settings.capture.mask),
            kept if by_server else None,
        )
        script = self._script(reader)
        policy = self.policy = Policy(settings, copies, counters, rules, script, self._now)
        dial = dialer(node.upstream, limits.upstream_connect_seconds, reactor, self._loop)
        upstreams = Upstreams(dial, limits.upstream_idle, reactor.seconds, counters)
        self.hub = Hub(
            limits=limits,
            prefix=node.prefix.encode(),
            trusted_proxies=node.trusted_proxies,
            upstreams=upstreams,
            local=_NoEndpoints,
            plan=policy.plan,
            counters=counters,
            clock=reactor.seconds,
            log=self._say,
        )
        callers = Callers(settings.fetch, node.secret, self.hub.trusts, self._now)
        application = Application(node.upstream, reactor, settings.capture.max_page_bytes)
        debug = Debug(settings, policy, tokens, self.store, application.ask)
        self.hub.local = Endpoints(
            node.name, node.prefix, callers, copies, desk, script, counters, self._say, debug.tell
        )
        self.readiness = Readiness(node.upstream, reactor, counters, copies, self._crawler_reached, self._say)

    def _script(self, reader: CookieReader) -> Script:
        capture, inject = self._settings.capture, self._settings.inject
        recorder = versioned(
            recorder_source(
                reader.names_for_script(),
                self._settings.node.prefix,
                inject.clicktale_names,
                ratio=capture.ratio,
                visitor_cookie=capture.visitor_cookie,
                force_parameter=capture.force_parameter,
            )
        )
        return Script(recorder.source, recorder.version)

    def _crawler_reached(self) -> bool:
        return self.deliverer is None or self.deliverer.reachable

    def _say(self, event: str, detail: str) -> None:
        self._log.info("{event}: {detail}" if detail else "{event}", event=event, detail=detail)

    # Start.

    def startService(self) -> Deferred[None]:
        """Open everything; the Deferred fires when that is done."""
        super().startService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._start()).addCallbacks(self._has_started, self._not_started)

    async def _start(self) -> None:
        settings = self._settings
        self._fit_descriptors()
        for description in settings.node.listen:
            listener = await listen(description, self._visitor, self._reactor, self._loop)
            self._listeners.append(listener)
            self.ports.append(listener.port)
        if settings.node.admin:
            metrics = NodeMetrics(self.counters, self._gauges)
            site = _QuietSite(  # type: ignore[no-untyped-call]
                admin_site(self.readiness.asked, self._status, metrics)
            )
            self._admin_listener = await serverFromString(self._reactor, settings.node.admin).listen(site)
            self.admin_port = getattr(self._admin_listener.getHost(), "port", 0)
        self._ticking.start(1.0, now=False)
        self.readiness.start()
        if self.deliverer is not None:
            # What an earlier life of this node left waiting.
            self.deliverer.wake()
        self._say("started", f"node {settings.node.name} on {', '.join(settings.node.listen)}")

    def _fit_descriptors(self) -> None:
        """Take as many descriptors as allowed; where they do not reach, take fewer connections."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # A visitor's connection may need one to the application as well.
        needed = self.hub.limits.connections * 2 + _SPARE_DESCRIPTORS
        if hard != resource.RLIM_INFINITY and needed > hard:
            fewer = max((hard - _SPARE_DESCRIPTORS) // 2, 1)
            self.hub.limits = attrs.evolve(self.hub.limits, connections=fewer)
            self._say("too few file descriptors", f"limits.connections lowered to {fewer}, since {hard} may be open")
            needed = hard
        if soft != resource.RLIM_INFINITY and soft < needed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

    def _visitor(self) -> VisitorConnection:
        return VisitorConnection(self.hub)

    def _has_started(self, _: object) -> None:
        self.started.callback(None)

    def _not_started(self, failure: Failure) -> Failure:
        self.started.errback(failure)
        # Whoever waits for ``started`` has heard of it by now; nobody else need be told twice.
        self.started.addErrback(lambda _: None)
        return failure

    # While it runs.

    def _tick(self) -> None:
        now = self._reactor.seconds()
        for connection in list(self.hub.connections):
            try:
                connection.tick(now)  # type: ignore[attr-defined]
            except Exception as error:
                self.counters.failed_open[f"tick: {type(error).__name__}"] += 1
        self.hub.upstreams.tick(now)
        self._ticks += 1
        if self._ticks % _SWEEP_TICKS == 0:
            self.copies.tick()
            self.copies.sweep()

    def _gauges(self) -> dict[str, tuple[str, float]]:
        return {
            "ready": ("1 where balancers should send visitors here", float(self.readiness.ready)),
            "upstream_idle": ("idle connections to the application", self.hub.upstreams.idle),
            "pages_pending": ("pages on their way into the store", self.copies.pending),
            "notices_waiting": ("notices that wait for the crawler", self.spool.waiting if self.spool else 0),
        }

    def _status(self) -> dict[str, Any]:
        return {
            "node": self._settings.node.name,
            "ready": self.readiness.ready,
            "connections": self.counters.connections_open,
            "requests": self.counters.requests,
            "captured": self.counters.captured,
            "injected": self.counters.injected,
            "not_captured": dict(self.counters.not_captured),
            "not_injected": dict(self.counters.not_injected),
            "failed_open": dict(self.counters.failed_open),
            "notices": dict(self.counters.notices),
            "fetches": dict(self.counters.fetches),
            "wrong": self.readiness.wrong(),
        }

    # Stop.

    def stopService(self) -> Deferred[None]:
        """Drain and close; the Deferred fires when that is done (CONTRACT section 9)."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        await self.readiness.leave()
        for listener in self._listeners:
            await maybeDeferred(listener.close)
        self.hub.draining = True
        self.hub.upstreams.close()
        for connection in list(self.hub.connections):
            connection.close_if_idle()  # type: ignore[attr-defined]
        deadline = self._reactor.seconds() + DRAIN_SECONDS
        while self.hub.connections and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, _DRAIN_STEP_SECONDS, _nothing)
        cut = list(self.hub.connections)
        for connection in cut:
            connection.link.abort()  # type: ignore[attr-defined]
        if self._ticking.running:
            self._ticking.stop()
        self.readiness.stop()
        if self.deliverer is not None:
            await self.deliverer.stop()
        if self.spool is not None:
            await self.spool.close()
        try:
            await self.store.close()
        except StoreError as error:
            self._say("store not closed", str(error))
        await self._peers.close()
        if self._admin_listener is not None:
            await maybeDeferred(self._admin_listener.stopListening)
        self._store_thread.stop()
        self._spool_thread.stop()
        self._say("stopped", f"{len(cut)} connections cut")


class _QuietSite(Site):
    """Health checks come every second or two: no line for each."""

    noisy = False

    def log(self, request: Request) -> None:
        """Nothing."""


class _NoEndpoints:
    """Stands in until the endpoints are made."""

    @staticmethod
    def answer(request: object) -> Any:
        raise RuntimeError("the endpoints are not there yet")


def _masks(selectors: tuple[str, ...]) -> Masks | None:
    if not selectors:
        return None
    try:
        return Masks(selectors)
    except ValueError as error:
        raise ConfigError("", "capture.mask", str(error), "CSS selectors") from None


def _nonce() -> str:
    return urlsafe_b64encode(os.urandom(18)).decode()


def _nothing() -> None:
    pass
