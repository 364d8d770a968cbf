"""The companion as a Twisted service: starts and stops its parts in order."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import attrs
from twisted.internet.defer import maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorSocket
from twisted.internet.task import deferLater

from lbcompanion.endpoints.tls_listeners import reload_certificates
from lbcompanion.errors import StoreError
from lbcompanion.http1.heads import use_python_reader
from lbcompanion.loops import SteadyLoop
from lbcompanion.malloc_tuning import RETURN_MEMORY_SECONDS, raise_malloc_thresholds, return_freed_memory
from lbcompanion.model import RoutingCookie, WallClock
from lbcompanion.node.copies.peer_export import PeerExport
from lbcompanion.node.copies.peers import Peers
from lbcompanion.node.copies.sibling_stores import SiblingRequestHandler, SiblingStores
from lbcompanion.node.copy_drain import HAND_OVER_SECONDS, CopyDrain
from lbcompanion.node.endpoints.application_client import UpstreamClient
from lbcompanion.node.endpoints.used_nonces import SharedNonces, UsedNonces
from lbcompanion.node.health import SIBLINGS, SPOOL
from lbcompanion.node.metrics.admin import admin_host_names, admin_site
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.metrics.status import NodeStatus, to_json, with_help_texts
from lbcompanion.node.notices.sender import NoticeSender
from lbcompanion.node.notices.spool import Spool
from lbcompanion.node.processes.node_process import NodeProcess
from lbcompanion.node.processes.process_role import ProcessRole
from lbcompanion.node.processes.siblings import Siblings
from lbcompanion.node.proxy.proxy_protocol import PendingConnections
from lbcompanion.node.proxy.visitor import VisitorConnection
from lbcompanion.node.readiness import Readiness
from lbcompanion.node.transports.listening import (
    AnyListener,
    InMemoryListener,
    Listener,
    certificates_of,
    dialer,
    serve,
    serve_site,
)
from lbcompanion.node.transports.sockets import open_sockets
from lbcompanion.node.transports.twisted_transport import HandlerFactory
from lbcompanion.node.wiring import NodeDependencies, build
from lbcompanion.protocol.copies import Frame
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.settings import NodeSettings
from lbcompanion.stores.registry import open_store
from lbcompanion.stores.threads import SingleThread
from lbcompanion.stores.timeouts import with_timeout

_SWEEP_TICKS = 5
_SPARE_DESCRIPTORS = 200
#: How long running exchanges may take to finish once the listeners are closed.
DRAIN_SECONDS = 14.0
_DRAIN_STEP_SECONDS = 0.05
#: How long a connection that was accepted last may take to send its first request.
_SETTLE_SECONDS = 1.0
_WAKE_SECONDS = 0.05


class NodeService(NodeProcess):
    """One companion.

    :param loop: the reactor's asyncio loop; None uses Twisted's transports.
    :param now: seconds since the epoch.
    :param thread: gives a thread of that name for blocking work.
    :param role: which of the node's processes this is; None for the only one.
    :ivar ports: of the visitors' listeners, in the order of ``node.listen``.
    :ivar admin_port: of the admin listener.
    :raises ConfigError: for a store or a mask that cannot be used.
    """

    def __init__(
        self,
        settings: NodeSettings,
        reactor: Any,
        loop: asyncio.AbstractEventLoop | None = None,
        now: WallClock = time.time,
        thread: Callable[[Any, str], SingleThread] = SingleThread,
        role: ProcessRole | None = None,
    ) -> None:
        super().__init__(reactor=reactor, log_namespace="lbcompanion.node", role=role)
        self._now = now
        self._thread = thread
        self._settings = settings
        self._loop = loop
        self.ports: list[int] = []
        self.admin_port = 0
        self._listeners: list[AnyListener] = []
        self._admin_listener: Any = None
        self._wake_scheduled = False
        self._ticks = self._ticks_since_return = 0
        self._build()
        self._ticking = SteadyLoop(
            self._tick, name="tick", clock=reactor, count_error=self.counters.count_background_error
        )

    def _build(self) -> None:
        """Create all parts; opens nothing."""
        settings, reactor = self._settings, self._reactor
        node = settings.node
        counters = self.counters = Counters()
        self._store_thread = self._thread(reactor, "lbcompanion-store")
        self._spool_thread = self._thread(reactor, "lbcompanion-spool")
        # Only a reactor with real sockets can have sibling processes; an in-memory reactor (tests) has none.
        self._siblings = self._find_siblings() if IReactorSocket.providedBy(reactor) else None
        inner = with_timeout(open_store(settings.store, self._now, self._store_thread), reactor)
        self.store = SiblingStores(inner, self._siblings)
        tokens = Tokens(node.secret, node.name, os.urandom)
        self._peers = Peers(
            node=node.name,
            secret=node.secret,
            prefix=node.prefix,
            addresses=settings.peers,
            reactor=reactor,
            nonces=_nonce,
            now=self._now,
            max_bytes=settings.capture.max_page_bytes * 2 + settings.limits.upstream_head_bytes,
        )
        self.spool: Spool | None = None
        self.notice_sender: NoticeSender | None = None
        if settings.crawler.intake:
            self.spool = Spool(
                node.state_dir / "notices.db",
                self._spool_thread,
                max_bytes=settings.limits.spool_bytes,
                health=self._health,
            )
            if self._role.delivers_notices:
                self.notice_sender = self._make_notice_sender(self.spool)
        parts = build(
            NodeDependencies(
                settings=settings,
                now=self._now,
                monotonic=reactor.seconds,
                call_later=reactor.callLater,
                log=self._log_event,
                counters=counters,
                store=self.store,
                shared_store=not self._in_memory,
                tokens=tokens,
                dial=dialer(node.upstream, settings.limits.upstream_connect_seconds, reactor, self._loop),
                ask_application=UpstreamClient(
                    node.upstream, reactor, settings.capture.max_page_bytes, settings.limits.upstream_head_bytes
                ).ask,
                ask_peers=self._peers.ask_peers,
                spool=self.spool,
                on_notice=self._wake_sending_process if self.notice_sender is None else self.notice_sender.wake,
                is_draining=lambda: self._drain_state.draining,
                nonces=SharedNonces(node.state_dir / "nonces") if node.workers > 1 else UsedNonces(),
                find_page_cookies=self._find_page_cookies,
            )
        )
        copies = self.copies = parts.copies
        self.page_cookies = parts.page_cookies
        self.context = parts.context
        self._pending = PendingConnections(self.context)
        self._sibling_handler = SiblingRequestHandler(self.store.inner, copies.is_pending)
        self._copy_drain = CopyDrain(
            store=self.store.inner,
            in_memory=self._in_memory,
            siblings=self._siblings,
            peer_export=PeerExport(
                store=self.store.inner,
                peers=self._peers,
                tokens=tokens,
                now=self._now,
                reactor=reactor,
                counters=counters,
            ),
            spool=self.spool,
            notice_sender=self._get_notice_sender,
            reactor=reactor,
            log=self._log_event,
        )
        self.readiness = Readiness(
            upstream=node.upstream,
            reactor=reactor,
            counters=counters,
            copies=copies,
            drain_state=self._drain_state,
            other_problems=self._other_problems,
            log=self._log_event,
        )

    @property
    def _in_memory(self) -> bool:
        """Whether the copies are lost when this process exits."""
        return self._settings.store.url.startswith("memory:")

    def _get_notice_sender(self, spool: Spool) -> tuple[NoticeSender, bool]:
        return (self._make_notice_sender(spool), True) if self.notice_sender is None else (self.notice_sender, False)

    def _make_notice_sender(self, spool: Spool) -> NoticeSender:
        return NoticeSender(
            intakes=self._settings.crawler.intake,
            secret=self._settings.node.secret,
            spool=spool,
            reactor=self._reactor,
            nonces=_nonce,
            now=self._now,
            counters=self.counters,
            log=self._log_event,
        )

    def _find_siblings(self) -> Siblings | None:
        node = self._settings.node
        try:
            return Siblings(
                state_dir=node.state_dir,
                node=node.name,
                group=self._role.group,
                reactor=self._reactor,
                max_body_bytes=self._settings.capture.max_page_bytes * 2,
            )
        except OSError as error:
            if self._role.number:
                raise
            self._health.failed(SIBLINGS, f"{node.state_dir}: {error.strerror}")
            return None

    def _wake_sending_process(self) -> None:
        """Wake the process that sends notices, soon and once for many notices."""
        if self._siblings is not None and not self._wake_scheduled:
            self._wake_scheduled = True
            self._reactor.callLater(_WAKE_SECONDS, self._send_wake)

    def _send_wake(self) -> None:
        self._wake_scheduled = False
        if self._siblings is not None:
            self._siblings.broadcast({"do": "wake"})

    async def _answer_sibling(self, request: Frame) -> Frame:
        verb = request.values["do"]
        if verb == "figures":
            return Frame(to_json(self.node_status()))
        if verb == "wake":
            if self.notice_sender is not None:
                self.notice_sender.wake()
            return Frame({})
        if verb == "page_cookies":
            found = self.page_cookies.routing_cookies(str(request.values["token"]))
            return Frame({"cookies": {cookie.name: cookie.value for cookie in found}})
        return await self._sibling_handler.answer(request)

    async def _find_page_cookies(self, token: str) -> tuple[RoutingCookie, ...]:
        if self._siblings is None:
            return ()
        asked = await self._siblings.ask_all(Frame({"do": "page_cookies", "token": token}))
        for answer in asked.answers.values():
            found = answer.values.get("cookies")
            if isinstance(found, dict) and found:
                return tuple(RoutingCookie(name, str(value)) for name, value in found.items())
        return ()

    def _other_problems(self) -> list[str]:
        trouble = self.notice_sender.trouble if self.notice_sender is not None else ""
        return [*([trouble] if trouble else []), *self._health.problems()]

    # Start.

    async def _start(self) -> None:
        if self._loop is not None:
            raise_malloc_thresholds()
        if os.environ.get("LBC_READER") == "python":
            use_python_reader()
            self.context.new_usual_exchange = None
        if os.environ.get("LBC_USUAL_PATH") == "off":
            self.context.new_usual_exchange = None
        settings = self._settings
        self._raise_descriptor_limit()
        for listener in await self._open():
            self._listeners.append(listener)
            self.ports.append(listener.port)
        self._open_sibling_socket()
        if IReactorSocket.providedBy(self._reactor) and not self._role.number:
            self._open_control(settings.node, self._sockets)
        self._ticking.start(1.0, now=False)
        self.readiness.start()
        if self.notice_sender is not None:
            # Send the notices that an earlier run left in the spool.
            self.notice_sender.wake()
        self._log_event("started", f"{self._name()} on {', '.join(settings.node.listen)}")

    def _name(self) -> str:
        worker = f", worker {self._role.number}," if self._role.number else ""
        return f"node {self._settings.node.name}{worker}"

    async def _open(self) -> Sequence[AnyListener]:
        """Open, or take over, all listeners."""
        node, role = self._settings.node, self._role
        admin = [node.admin] if node.admin and not role.number else []
        site: Any = admin_site(
            lambda: succeed(self.node_status()), self._drain_state.note_check, admin_host_names(self._settings)
        )
        if not IReactorSocket.providedBy(self._reactor):
            return await self._open_in_memory(site if admin else None)
        descriptions = [*node.listen, *admin]
        sockets = list(role.sockets) if role.number else open_sockets(descriptions, role.sockets)
        listeners = []
        shared = role.number > 0
        for description, listening in zip(node.listen, sockets, strict=False):
            listener = await serve(
                description,
                listening,
                self._make_visitor_connection,
                self._pending,
                self._reactor,
                self._loop,
                shared=shared,
            )
            listeners.append(listener)
        if admin:
            self._admin_listener = serve_site(node.admin, sockets[-1], site, self._reactor)
            self.admin_port = self._admin_listener.port
        return listeners

    async def _open_in_memory(self, site: Any) -> Sequence[AnyListener]:
        """Open all listeners of an in-memory reactor."""
        node = self._settings.node
        listeners = []
        for description in node.listen:
            port: Any = await serverFromString(self._reactor, description).listen(
                HandlerFactory(self._make_visitor_connection)
            )
            listeners.append(InMemoryListener(port))
        if site is not None:
            self._admin_listener = InMemoryListener(await serverFromString(self._reactor, node.admin).listen(site))
            self.admin_port = self._admin_listener.port
        return listeners

    def _open_sibling_socket(self) -> None:
        """Open the socket for the other processes of this node; a worker without it is of no use."""
        siblings = self._siblings
        if siblings is None or siblings.is_listening:
            return
        try:
            siblings.listen(self._answer_sibling)
        except OSError as error:
            if self._role.number:
                raise
            self._health.failed(SIBLINGS, f"{self._settings.node.state_dir}: {error.strerror}")
        else:
            self._health.works(SIBLINGS)

    def _sockets(self) -> list[socket.socket]:
        listeners = [*self._listeners, *([self._admin_listener] if self._admin_listener is not None else [])]
        return [listener.socket for listener in listeners if isinstance(listener, Listener)]

    def reload(self) -> None:
        """Reload the listeners' certificates."""
        admin = [self._admin_listener] if self._admin_listener is not None else []
        reload_certificates(certificates_of([*self._listeners, *admin]), self._log_event)

    def _raise_descriptor_limit(self) -> None:
        """Raise the limit of open files; lower the connection limit if that is not enough."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # A visitor's connection may need one to the application as well.
        needed = self.context.limits.connections * 2 + _SPARE_DESCRIPTORS
        if hard != resource.RLIM_INFINITY and needed > hard:
            fewer = max((hard - _SPARE_DESCRIPTORS) // 2, 1)
            self.context.limits = attrs.evolve(self.context.limits, connections=fewer)
            self._log_event(
                "too few file descriptors", f"limits.connections lowered to {fewer}, since {hard} may be open"
            )
            needed = hard
        if soft != resource.RLIM_INFINITY and soft < needed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))

    def _make_visitor_connection(self) -> VisitorConnection:
        return VisitorConnection(self.context)

    # While it runs.

    def _tick(self) -> None:
        now = self._reactor.seconds()
        self._ticks += 1
        # Each part runs although others fail. An ExitStack calls them in reverse order.
        with ExitStack() as parts:
            parts.callback(self._return_memory)
            parts.callback(self._pending.tick, now)
            if self._ticks % _SWEEP_TICKS == 0:
                parts.callback(self._try_broken_again)
                parts.callback(self.copies.sweep)
                parts.callback(self.page_cookies.tick)
                parts.callback(self.copies.tick)
            parts.callback(self.context.upstream_pool.tick, now)
            parts.callback(self._tick_connections, self.context.tick_in_parts(now))

    def _tick_connections(self, steps: Iterator[None]) -> None:
        """Check the deadlines of connections; requests are served between two steps."""
        for _ in steps:
            self._reactor.callLater(0, self._tick_connections, steps)
            return

    def _return_memory(self) -> None:
        """Return freed memory now and then, while no request waits for the application: it takes milliseconds."""
        self._ticks_since_return += 1
        pool = self.context.upstream_pool
        due = self._ticks_since_return >= RETURN_MEMORY_SECONDS
        if due and self._loop is not None and pool.open == pool.idle:
            self._ticks_since_return = 0
            return_freed_memory()

    def _try_broken_again(self) -> None:
        self._open_sibling_socket()
        if self.spool is not None and self._health.is_failing(SPOOL):
            self.spool.probe().addErrback(lambda _: None)

    def node_status(self) -> NodeStatus:
        """A snapshot of this process's state."""
        spool = self.spool if self.notice_sender is not None else None
        values = {
            "ready": self.readiness.ready,
            "upstream_open": self.context.upstream_pool.open,
            "upstream_idle": self.context.upstream_pool.idle,
            "upstream_workers": self.context.upstream_pool.workers,
            "upstream_waiting": self.context.upstream_pool.waiting,
            "pages_pending": self.copies.pending,
            "notices_waiting": spool.waiting if spool else 0,
            "notices_waiting_bytes": spool.waiting_bytes if spool else 0,
            "notices_dropped": self.spool.dropped if self.spool is not None else 0,
        }
        return NodeStatus(
            self._settings.node.name,
            self.counters,
            with_help_texts(values),
            self.readiness.ready,
            self.readiness.problems(),
            intake=self.notice_sender.intake if self.notice_sender is not None else "",
        )

    # Stop.

    @property
    def copy_outcome(self) -> dict[str, int]:
        """The numbers of copies that were ``handed_over``, ``kept`` and ``lost`` when the node stopped."""
        return self._copy_drain.copy_outcome

    async def _stop(self) -> None:
        taken_over = self._successor is not None
        seconds = self._reactor.seconds
        if taken_over and self._admin_listener is not None:
            # Readiness checks have to reach the processes that take over.
            await maybeDeferred(self._admin_listener.close, shared=True)
            self._admin_listener = None
        if taken_over and self.notice_sender is not None:
            # Notices received here still go into the spool, which the successor sends.
            await self.notice_sender.stop()
        await self._drain_state.leave(quietly=taken_over or self._role.number > 0)
        deadline = seconds() + DRAIN_SECONDS
        shared = taken_over or self._role.number > 0
        for listener in self._listeners:
            await maybeDeferred(listener.close, shared=shared)
        await self._settle(seconds() + _SETTLE_SECONDS)
        for connection in list(self.context.connections):
            connection.close_if_idle()
        while self.context.connections and seconds() < deadline:
            await deferLater(self._reactor, _DRAIN_STEP_SECONDS, _nothing)
        aborted = list(self.context.connections)
        for connection in aborted:
            connection.transport.abort()
        self._ticking.stop()
        self.readiness.stop()
        # The time that the running requests left is added to the copies' time.
        await self._copy_drain.run(self._successor, HAND_OVER_SECONDS + max(deadline - seconds(), 0.0))
        await self._close_all()
        self._log_event("stopped", f"{len(aborted)} connections cut")

    async def _settle(self, until: float) -> None:
        """Give connections that were accepted last the time for their first request, so that none is closed unanswered
        during a takeover or because a balancer noticed late."""
        while len(self._pending) and self._reactor.seconds() < until:
            await deferLater(self._reactor, _DRAIN_STEP_SECONDS, _nothing)
        # Connections that the loop has already accepted reach their handlers in its next iterations.
        await deferLater(self._reactor, _DRAIN_STEP_SECONDS, _nothing)
        self.context.draining = True
        self.context.upstream_pool.close()
        while self.context.connections and self._reactor.seconds() < until:
            await deferLater(self._reactor, _DRAIN_STEP_SECONDS, _nothing)

    async def _close_all(self) -> None:
        if self.notice_sender is not None:
            await self.notice_sender.stop()
        if self._siblings is not None:
            await self._siblings.close()
        if self.spool is not None:
            await self.spool.close()
        try:
            await self.store.close()
        except StoreError as error:
            self._log_event("store not closed", str(error))
        await self._peers.close()
        if self._admin_listener is not None:
            await maybeDeferred(self._admin_listener.close)
        await self._close_control(self.copy_outcome)
        self._store_thread.stop()
        self._spool_thread.stop()


def _nonce() -> str:
    return urlsafe_b64encode(os.urandom(18)).decode()


def _nothing() -> None:
    pass
