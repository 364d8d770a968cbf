"""The life cycle that a node's only process, a worker and the supervisor have in common."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from lbcompanion.endpoints.tls_listeners import CERTIFICATE_NOT_RELOADED
from lbcompanion.node.health import CONTROL, Health
from lbcompanion.node.processes.control import ControlSocket
from lbcompanion.node.processes.drain_state import DrainState
from lbcompanion.node.processes.process_role import ProcessRole, stop_reactor
from lbcompanion.settings import NodeTable

#: The interval between attempts to open a socket.
_RETRY_SECONDS = 5.0
#: The levels of events that an operator must act on: a warning if the service continues with a loss, an error if a
#: part of it does not work. All other events are info.
EVENT_LEVELS = {
    **dict.fromkeys(
        (
            CERTIFICATE_NOT_RELOADED,
            "endpoint failed",
            "no control",
            "control socket fails",
            "sibling socket fails",
            "spool fails",
            "store fails",
            "worker died",
            "workers killed",
        ),
        LogLevel.error,
    ),
    **dict.fromkeys(
        (
            "answer not written",
            "application not reached",
            "application's answer refused",
            "copies lost",
            "copies not given to peers",
            "copy of a peer refused",
            "crawler not reached",
            "fetch refused",
            "lost copies not reported",
            "no answer for a visitor",
            "not all copies handed over",
            "spool is full",
            "PROXY header refused",
            "store not closed",
            "too few file descriptors",
        ),
        LogLevel.warn,
    ),
}


class NodeProcess(MultiService):
    """A service that opens a node's ports, and that another process may take over.

    :param log_namespace: the namespace of its log events.
    :param role: which of the node's processes this is; None for the only one, which takes over nothing.
    :ivar started: fires once all is open; fails if something cannot be opened.
    """

    def __init__(self, *, reactor: Any, log_namespace: str, role: ProcessRole | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reactor = reactor
        self._role = role or ProcessRole()
        self._log = Logger(namespace=log_namespace)
        self._drain_state = DrainState(reactor)
        #: The group of processes that takes over; None if none does.
        self._successor: str | None = None
        self.started: Deferred[None] = Deferred()
        self._health = Health(self._log_event)
        self._control: ControlSocket | None = None
        self._control_retry: IDelayedCall | None = None

    def startService(self) -> Deferred[None]:
        """Start; the Deferred fires when that is done."""
        super().startService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._start()).addCallbacks(self._has_started, self._not_started)

    def stopService(self) -> Deferred[None]:
        """Drain and close; the Deferred fires when that is done (docs/running.rst)."""
        super().stopService()  # type: ignore[no-untyped-call]
        return Deferred.fromCoroutine(self._stop())

    def leave(self, successor: str | None) -> None:
        """Stop the service and the reactor.

        :param successor: the group of processes that takes over the ports; None if none does.
        """
        if not self._drain_state.draining:
            self._successor = successor
            self._drain_state.draining = True
            stop_reactor(self._reactor)

    async def _start(self) -> None:
        raise NotImplementedError

    async def _stop(self) -> None:
        raise NotImplementedError

    def _has_started(self, _: object) -> None:
        self.started.callback(None)

    def _not_started(self, failure: Failure) -> Failure:
        self.started.errback(failure)
        # The failure was delivered to the callers of ``started``; keep it from being logged as unhandled.
        self.started.addErrback(lambda _: None)
        return failure

    def _open_control(self, node: NodeTable, sockets: Callable[[], Sequence[socket.socket]]) -> None:
        """Open the control socket, unless another process has it. A disk on which it cannot be opened does not stop the
        node: try again later."""
        self._control_retry = None
        try:
            self._control = self._make_control(node, sockets)
        except OSError as error:
            self._health.failed(CONTROL, f"{node.state_dir}: {error.strerror}")
            self._control_retry = self._reactor.callLater(_RETRY_SECONDS, self._open_control, node, sockets)
        else:
            self._health.works(CONTROL)

    async def _close_control(self, copy_outcome: Mapping[str, Any]) -> None:
        """Report the outcome to the clients of the control socket, and close it."""
        if self._control_retry is not None:
            self._control_retry.cancel()
            self._control_retry = None
        if self._control is not None:
            self._control.send_outcome({"done": True, **copy_outcome})
            await self._control.close()

    def _make_control(self, node: NodeTable, sockets: Callable[[], Sequence[socket.socket]]) -> ControlSocket | None:
        control = ControlSocket(
            state_dir=node.state_dir,
            node=node.name,
            group=self._role.group,
            sockets=sockets,
            leave=self.leave,
            reactor=self._reactor,
        )
        if control.listen(replace=self._role.takes_over):
            return control
        self._log_event("no control", "another process of this node's name has the control socket")
        return None

    def _log_event(self, event: str, detail: str) -> None:
        level = EVENT_LEVELS.get(event, LogLevel.info)
        self._log.emit(level, "{event}: {detail}" if detail else "{event}", event=event, detail=detail)
