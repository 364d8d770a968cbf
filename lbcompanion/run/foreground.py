"""Runs a service or a single job in the foreground. Only this package chooses a reactor.

A companion runs on Twisted's asyncio reactor with the standard asyncio loop, whose transports serve the visitors
(:mod:`lbcompanion.node.transports.socket_transport`). Everything else runs on the platform's default reactor.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.application.service import IService
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbcompanion import config, logs
from lbcompanion.errors import CompanionError
from lbcompanion.node.processes.control import ControlError, RunningNode
from lbcompanion.node.processes.process_role import ProcessRole
from lbcompanion.node.transports.selector import new_event_loop
from lbcompanion.settings import CrawlerSettings, NodeSettings

if TYPE_CHECKING:
    from lbcompanion.crawler.service import CrawlerService
    from lbcompanion.node.processes.supervisor import Supervisor
    from lbcompanion.node.service import NodeService

#: The time limit for stopping a service (the manual promises 30 s from the signal to the exit).
STOP_SECONDS = 28.0

_T = TypeVar("_T")

log = Logger(namespace="lbcompanion.running")


class Interrupted(CompanionError):
    """A signal interrupted the job."""


def run_node(settings: NodeSettings, *, json_lines: bool | None = None, take_over: bool = False) -> int:
    """Run a companion until a signal ends it, in this process or in ``node.workers`` worker processes.

    :param json_lines: whether to log JSON; None takes it from the environment.
    :param take_over: take over the ports of the process that runs this node now, if there is one.
    :returns: the exit code: 0, or 1 if the service could not start.
    :raises ConfigError: if the store cannot be opened; no port is open then.
    :raises ControlError: if the running process does not answer.
    """
    is_single_process = settings.node.workers == 1
    loop = None
    if is_single_process:
        from twisted.internet import asyncioreactor

        loop = new_event_loop()
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)
    from twisted.internet import reactor

    return run_service(
        make_node(settings, reactor, loop, json_lines=json_lines, relay=False, take_over=take_over),
        reactor,
        json_lines=json_lines,
    )


def make_node(
    settings: NodeSettings,
    reactor: Any,
    loop: asyncio.AbstractEventLoop | None,
    *,
    json_lines: bool | None,
    relay: bool,
    take_over: bool,
) -> NodeService | Supervisor:
    """Make the service of a companion: a NodeService, or a Supervisor for several workers.

    :param loop: the asyncio loop of the reactor, for a NodeService; None on another reactor.
    :param relay: whether to copy the workers' log lines to this process's log.
    :raises ConfigError: (and ControlError) as :func:`run_node`.
    """
    from lbcompanion.node.processes.supervisor import Supervisor
    from lbcompanion.node.service import NodeService
    from lbcompanion.stores.registry import open_store
    from lbcompanion.stores.threads import SingleThread

    log_config_warnings(settings)
    predecessor = _running_node(settings) if take_over else None
    role = (
        ProcessRole(sockets=tuple(predecessor.sockets()), takes_over=True) if predecessor is not None else ProcessRole()
    )
    service: NodeService | Supervisor
    if settings.node.workers == 1:
        service = NodeService(settings, reactor, loop, role=role)
    else:
        # The workers open the store themselves; this reports an unusable store before any of them starts.
        open_store(settings.store, time.time, SingleThread(reactor))
        service = Supervisor(settings=settings, reactor=reactor, json_lines=json_lines, relay=relay, role=role)
    if predecessor is not None:
        service.started.addCallbacks(lambda _: _retire_predecessor(predecessor, role), lambda _: predecessor.close())
    reload_on_sighup(reactor, service.reload)
    return service


def _running_node(settings: NodeSettings) -> RunningNode | None:
    node = settings.node
    try:
        return RunningNode(node.state_dir, node.name)
    except ControlError:
        # No process runs this node, so there is nothing to take over: start normally.
        return None


def _retire_predecessor(predecessor: RunningNode, role: ProcessRole) -> None:
    try:
        predecessor.hand_over_to(role.group)
    except ControlError as error:
        log.error("the older process did not get the order to leave: {why}", why=str(error))
    else:
        log.info("taken over: the older process finishes what it has, and leaves")
    predecessor.close()


def reload_on_sighup(reactor: Any, reload: Callable[[], None]) -> None:
    """Reload certificates at SIGHUP."""
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))


def run_crawler(settings: CrawlerSettings, *, json_lines: bool | None = None) -> int:
    """Run the crawler until a signal ends it.

    :returns: as :func:`run_node`.
    """
    from twisted.internet import reactor

    return run_service(make_crawler(settings, reactor), reactor, json_lines=json_lines)


def make_crawler(settings: CrawlerSettings, reactor: Any) -> CrawlerService:
    """Make the service of a crawler."""
    from lbcompanion.crawler.service import CrawlerService

    log_config_warnings(settings)
    service = CrawlerService(settings, reactor)
    reload_on_sighup(reactor, service.reload)
    return service


def log_config_warnings(settings: NodeSettings | CrawlerSettings) -> None:
    """Log what an operator should mend in the configuration."""
    for key, warning in config.warnings(settings):
        log.warn("{key}: {warning}", key=key, warning=warning)


def run_service(service: IService, reactor: Any, *, json_lines: bool | None) -> int:
    """Run a service until the reactor stops, then stop the service.

    :param service: if its ``startService`` returns a Deferred that fails, the process ends with exit code 1.
    :returns: the exit code.
    """
    logs.begin(json_lines=json_lines)
    codes = [0]

    def failed(failure: Failure) -> None:
        codes[0] = 1
        log_failed_start(failure)
        reactor.stop()

    def start() -> None:
        maybeDeferred(service.privilegedStartService).addErrback(failed)
        maybeDeferred(service.startService).addErrback(failed)

    def stop() -> Deferred[None]:
        stopped = maybeDeferred(service.stopService)
        stopped.addTimeout(STOP_SECONDS, reactor)
        return stopped.addErrback(_log_failed_stop)

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.run()
    # While the interpreter ends, it restores the default action of each signal that has a handler.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return codes[0]


def log_failed_start(failure: Failure) -> None:
    """Log why a service could not start; with a traceback only for unexpected errors."""
    if failure.check(CompanionError, CannotListenError, OSError):
        log.critical("not started: {why}", why=str(failure.value))
    else:
        log.failure("not started", failure)


def _log_failed_stop(failure: Failure) -> None:
    if failure.check(TimeoutError):
        log.error("the service did not stop within {seconds} s", seconds=STOP_SECONDS)
    else:
        log.failure("the service did not stop cleanly", failure)


def run_once(work: Callable[[Any], Deferred[_T]]) -> _T:
    """Run a job on a new reactor, and return its result.

    :param work: called with the running reactor.
    :raises Interrupted: if a signal came first.
    :raises Exception: the exception of the job.
    """
    from twisted.internet import reactor

    any_reactor: Any = reactor
    results: list[_T | Failure] = []

    def start() -> None:
        maybeDeferred(work, any_reactor).addBoth(results.append).addBoth(lambda _: stop())

    def stop() -> None:
        if any_reactor.running:
            any_reactor.stop()

    any_reactor.callWhenRunning(start)
    any_reactor.run()
    if not results:
        raise Interrupted("interrupted")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
