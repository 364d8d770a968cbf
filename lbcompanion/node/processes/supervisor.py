"""``workers = N``: opens a node's ports, starts N processes that serve them, and restarts a process that dies.

The supervisor itself serves no visitors. It opens the listening sockets once and every worker inherits them. The accept
queue belongs to the socket, so no connection in it is lost when a worker dies, and the port never closes. (With
SO_REUSEPORT each process would have an accept queue of its own, which dies with it.)

A worker is spawned, not forked. On descriptor 3 it reads its :class:`WorkerSpec`, later the command to stop; the end
of that pipe shows that the supervisor is gone. On 4 it reports that it is ready. The listening sockets begin at 5.
"""

from __future__ import annotations

import json
import os
import pickle
import socket
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

from attrs import define, frozen
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from lbcompanion.endpoints.tls_listeners import reload_certificates
from lbcompanion.errors import CompanionError
from lbcompanion.logs import level_of
from lbcompanion.node.metrics.admin import admin_host_names, admin_site
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.metrics.status import NodeStatus, from_json, sum_counters, sum_gauges, without_gauges
from lbcompanion.node.processes.node_process import NodeProcess
from lbcompanion.node.processes.process_role import ProcessRole
from lbcompanion.node.processes.siblings import Siblings
from lbcompanion.node.transports.listening import Listener, certificates_of, serve_site
from lbcompanion.node.transports.sockets import open_sockets, remove_path
from lbcompanion.protocol.copies import Frame
from lbcompanion.settings import NodeSettings

#: File descriptors of a worker: commands from the supervisor, reports to it, the first listening socket.
COMMANDS_FD = 3
REPORTS_FD = 4
FIRST_SOCKET_FD = 5
#: The report that a worker is ready.
STARTED = b"started\n"
#: The report of a worker about its copies: this prefix, then JSON.
COPY_OUTCOME = b"fate "
#: The command to stop; the name of the group that takes over may follow.
LEAVE = b"leave"

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 30.0
#: A worker that ran for this long did not fail at its start: the restart delay is reset.
_STEADY_SECONDS = 10.0
#: After this time a stopping worker is killed: a little more than a normal stop takes.
_STOP_SECONDS = 22.8
_START_SECONDS = 60.0
_COMMAND = [sys.executable, "-P", "-c", "import sys; from lbcompanion.run.worker import main; sys.exit(main())"]


class WorkerFailed(CompanionError):
    """A worker exited before it was ready, at the node's start; its own log has the reason."""


@frozen
class WorkerSpec:
    """The arguments of a worker process. Its settings are those that the supervisor read, even if the file has changed.

    :ivar number: the worker's number, from 1.
    :ivar json_lines: as for :func:`lbcompanion.logs.begin`.
    """

    settings: NodeSettings
    group: str
    number: int
    json_lines: bool | None

    def serialized(self) -> bytes:
        """The pickled spec, prefixed by its length (4 bytes, big-endian)."""
        data = pickle.dumps(self)
        return len(data).to_bytes(4, "big") + data


@define
class _Worker:
    number: int
    process: Any = None
    started_at: float = 0.0
    serving: bool = False
    must_reload: bool = False
    restart_delay: float = _FIRST_WAIT_SECONDS
    restart_call: IDelayedCall | None = None
    restarts: int = 0


class Supervisor(NodeProcess):
    """One node of several processes.

    :param json_lines: how workers log.
    :param relay: whether to log the output of workers here; otherwise they share this process's standard error.
    :param role: the group name and the sockets to take over; None takes over nothing.
    :ivar started: fires when all workers are ready; fails too if a worker exits while none is ready.
    """

    def __init__(
        self,
        *,
        settings: NodeSettings,
        reactor: Any,
        json_lines: bool | None = None,
        relay: bool = False,
        role: ProcessRole | None = None,
    ) -> None:
        super().__init__(reactor=reactor, log_namespace="lbcompanion.supervisor", role=role)
        self._settings = settings
        self._json_lines = json_lines
        self._relay = relay
        self._stopping = False
        self._sockets: list[socket.socket] = []
        self._admin: Listener | None = None
        self._siblings: Siblings | None = None
        self._workers = [_Worker(number + 1) for number in range(settings.node.workers)]
        # The sum of the counters of exited workers.
        self._retired_counters = Counters()
        self._latest_counters: dict[str, Counters] = {}
        self._copy_outcome: Counter[str] = Counter()
        self._all_ready: Deferred[None] = Deferred()
        self._all_exited: Deferred[None] | None = None
        self.admin_port = 0

    # Start.

    async def _start(self) -> None:
        """Open the ports, and start the workers until all of them are ready."""
        node = self._settings.node
        admin = [node.admin] if node.admin else []
        sockets = open_sockets([*node.listen, *admin], self._role.sockets)
        self._sockets = sockets[: len(node.listen)]
        if admin:
            site: Any = admin_site(self._status, self._drain_state.note_check, admin_host_names(self._settings))
            self._admin = serve_site(node.admin, sockets[-1], site, self._reactor)
            self.admin_port = self._admin.port
        try:
            self._siblings = Siblings(
                state_dir=node.state_dir,
                node=node.name,
                group=self._role.group,
                reactor=self._reactor,
                max_body_bytes=0,
            )
        except OSError as error:
            raise OSError(error.errno, f"workers need {node.state_dir}: {error.strerror}") from None
        for worker in self._workers:
            self._spawn(worker)
        await self._all_ready.addTimeout(_START_SECONDS, self._reactor).addErrback(self._require_one_ready)
        self._open_control(node, self._shared_sockets)
        self._log_event("started", f"node {node.name}, {node.workers} workers, on {', '.join(node.listen)}")

    def _require_one_ready(self, failure: Failure) -> None:
        failure.trap(TimeoutError)
        if not any(worker.serving for worker in self._workers):
            raise WorkerFailed(f"no worker serves after {_START_SECONDS:g} s")

    def _shared_sockets(self) -> list[socket.socket]:
        return [*self._sockets, *([self._admin.socket] if self._admin is not None else [])]

    # Workers.

    def _spawn(self, worker: _Worker) -> None:
        worker.restart_call = None
        output: dict[int, Any] = {1: "r", 2: "r"} if self._relay else {1: 1, 2: 2}
        sockets = {FIRST_SOCKET_FD + at: sock.fileno() for at, sock in enumerate(self._sockets)}
        with open(os.devnull, "rb") as devnull:
            fds = {0: devnull.fileno(), **output, COMMANDS_FD: "w", REPORTS_FD: "r", **sockets}
            protocol = _WorkerProtocol(self, worker)
            worker.process = self._reactor.spawnProcess(protocol, _COMMAND[0], _COMMAND, env=None, childFDs=fds)
        spec = WorkerSpec(self._settings, self._role.group, worker.number, self._json_lines)
        worker.process.writeToChild(COMMANDS_FD, spec.serialized())
        worker.started_at = self._reactor.seconds()
        worker.serving = worker.must_reload = False

    def _respawn(self, worker: _Worker) -> None:
        """Restart a worker; while the system starts no process, try again with longer delays."""
        try:
            self._spawn(worker)
        except OSError as error:
            worker.restart_delay = min(worker.restart_delay * 2, _LONGEST_WAIT_SECONDS)
            detail = f"{worker.number}: {error.strerror}; tried again in {worker.restart_delay:g} s"
            self._log_event("worker not restarted", detail)
            worker.restart_call = self._reactor.callLater(worker.restart_delay, self._respawn, worker)

    def on_ready(self, worker: _Worker) -> None:
        """A worker is ready."""
        worker.serving = True
        if worker.must_reload:
            worker.must_reload = False
            self._signal(worker, "HUP")
        if not self._all_ready.called and all(other.serving for other in self._workers):
            self._all_ready.callback(None)

    def on_exit(self, worker: _Worker, exit_reason: str) -> None:
        """A worker exited: schedule its restart, with a delay that doubles at each failure."""
        uptime = self._reactor.seconds() - worker.started_at
        served, worker.serving, worker.process = worker.serving, False, None
        if (
            self._all_exited is not None
            and not any(other.process for other in self._workers)
            and not self._all_exited.called
        ):
            self._all_exited.callback(None)
        if self._stopping or self._drain_state.draining:
            return
        if not self._all_ready.called and not any(other.serving for other in self._workers) and not served:
            self._all_ready.errback(WorkerFailed(f"worker {worker.number} ended before it served: {exit_reason}"))
            return
        worker.restart_delay = (
            _FIRST_WAIT_SECONDS if uptime >= _STEADY_SECONDS else min(worker.restart_delay * 2, _LONGEST_WAIT_SECONDS)
        )
        worker.restarts += 1
        self._log_event("worker died", f"{worker.number}: {exit_reason}; restarted in {worker.restart_delay:g} s")
        worker.restart_call = self._reactor.callLater(worker.restart_delay, self._respawn, worker)

    def on_copy_outcome(self, report: bytes) -> None:
        """A worker reports the outcome of its copies."""
        with suppress(ValueError, TypeError, AttributeError):
            self._copy_outcome.update({str(word): int(count) for word, count in json.loads(report).items()})

    def on_output(self, worker: _Worker, line: str) -> None:
        """A worker wrote a line."""
        self._log.emit(level_of(line), "worker {number}: {line}", number=worker.number, line=line)

    # While it runs.

    def _status(self) -> Deferred[NodeStatus]:
        return Deferred.fromCoroutine(self._collect_status())

    async def _collect_status(self) -> NodeStatus:
        """The sum of the workers' states, with the counters of exited workers."""
        assert self._siblings is not None
        asked = await self._siblings.ask_all(Frame({"do": "figures"}), of_group=True)
        reports = {name: from_json(answer.values) for name, answer in sorted(asked.answers.items())}
        present = set(self._siblings.names(of_group=True))
        for name in [name for name in self._latest_counters if name not in present]:
            self._retired_counters = sum_counters(
                [self._retired_counters, without_gauges(self._latest_counters.pop(name))]
            )
        self._latest_counters |= {name: report.counters for name, report in reports.items()}
        counters = sum_counters([self._retired_counters, *self._latest_counters.values()])
        ready = (
            self.started.called and not self._drain_state.draining and any(report.ready for report in reports.values())
        )
        gauges = sum_gauges(reports.values())
        if "ready" in gauges:
            gauges["ready"] = (gauges["ready"][0], float(ready))
        gauges["workers"] = ("worker processes that serve", float(len(reports)))
        gauges["worker_restarts"] = ("restarts of workers since the start", float(self._restarts()))
        return NodeStatus(
            self._settings.node.name,
            counters,
            gauges,
            ready,
            self._problems(reports),
            self._describe_workers(),
            next((report.intake for report in reports.values() if report.intake), ""),
        )

    def _restarts(self) -> int:
        return sum(worker.restarts for worker in self._workers)

    def _problems(self, reports: dict[str, NodeStatus]) -> list[str]:
        problems = ["the node is leaving"] if self._drain_state.draining else []
        down = len(self._workers) - sum(worker.serving for worker in self._workers)
        if down:
            problems.append(f"{down} of {len(self._workers)} workers do not serve")
        problems += self._health.problems()
        return problems + sorted(
            {problem for report in reports.values() for problem in report.problems} - set(problems)
        )

    def _describe_workers(self) -> list[dict[str, Any]]:
        now = self._reactor.seconds()
        return [
            {
                "worker": worker.number,
                "pid": worker.process.pid if worker.process is not None else None,
                "serves": worker.serving,
                "seconds": round(now - worker.started_at, 1) if worker.process is not None else 0,
                "restarts": worker.restarts,
            }
            for worker in self._workers
        ]

    def reload(self) -> None:
        """Reload the certificates, in all workers and for the admin listener."""
        for worker in self._workers:
            # A worker that is starting may have read the old files, and have no handler of the signal yet.
            worker.must_reload = not worker.serving
            self._signal(worker, "HUP")
        if self._admin is not None:
            reload_certificates(certificates_of([self._admin]), self._log_event)

    @staticmethod
    def _signal(worker: _Worker, name: str) -> None:
        if worker.process is not None and worker.serving:
            try:
                worker.process.signalProcess(name)
            except Exception:  # it has just exited; processEnded follows
                return

    # Stop.

    async def _stop(self) -> None:
        """Stop all workers, and wait until they exited."""
        taken_over = self._successor is not None
        if taken_over and self._admin is not None:
            await maybeDeferred(self._admin.close, shared=True)
            self._admin = None
        await self._drain_state.leave(quietly=taken_over)
        self._stopping = True
        for listening in self._sockets:
            if not taken_over:
                remove_path(listening)
            listening.close()
        self._sockets = []
        await self._stop_workers()
        if self._admin is not None:
            await maybeDeferred(self._admin.close)
        await self._close_control(self._copy_outcome)
        if self._siblings is not None:
            await self._siblings.close()
        self._log_event("stopped", f"{len(self._workers)} workers")

    async def _stop_workers(self) -> None:
        order = LEAVE + (b" " + self._successor.encode() if self._successor is not None else b"") + b"\n"
        for worker in self._workers:
            if worker.restart_call is not None:
                worker.restart_call.cancel()
                worker.restart_call = None
            if worker.process is not None:
                worker.process.writeToChild(COMMANDS_FD, order)
        end = self._reactor.seconds() + _STOP_SECONDS
        while any(worker.process for worker in self._workers) and self._reactor.seconds() < end:
            await deferLater(self._reactor, 0.05, lambda: None)
        left = [worker for worker in self._workers if worker.process is not None]
        if left:
            self._log_event("workers killed", ", ".join(str(worker.number) for worker in left))
            self._all_exited = Deferred()
            for worker in left:
                worker.process.signalProcess("KILL")
            await self._all_exited


class _WorkerProtocol(ProcessProtocol):
    """The pipes to a worker's process."""

    def __init__(self, supervisor: Supervisor, worker: _Worker) -> None:
        self._supervisor = supervisor
        self._worker = worker
        self._lines: dict[int, bytes] = {}

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Handle output and reports."""
        *whole, self._lines[childFD] = (self._lines.get(childFD, b"") + data).split(b"\n")
        for line in whole:
            if childFD != REPORTS_FD:
                self._supervisor.on_output(self._worker, line.decode(errors="replace"))
            elif line + b"\n" == STARTED:
                self._supervisor.on_ready(self._worker)
            elif line.startswith(COPY_OUTCOME):
                self._supervisor.on_copy_outcome(line[len(COPY_OUTCOME) :])

    def processEnded(self, reason: Failure) -> None:
        """Report the exit."""
        exit_reason = reason.value
        signal, code = getattr(exit_reason, "signal", None), getattr(exit_reason, "exitCode", None)
        self._supervisor.on_exit(self._worker, f"signal {signal}" if signal else f"exit {code}")
