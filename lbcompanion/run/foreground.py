"""Runs a service, or one piece of work, in the foreground: the only place where a reactor is chosen.

A companion runs on Twisted's asyncio reactor over the standard asyncio loop: the visitors' bytes use transports of that
loop (:mod:`lbcompanion.node.transports.socket_transport`). Everything else runs on the platform's default reactor.
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

from lbcompanion import logs
from lbcompanion.errors import CompanionError
from lbcompanion.node.processes.control import ControlError, RunningNode
from lbcompanion.node.processes.process_role import ProcessRole
from lbcompanion.settings import CrawlerSettings, NodeSettings

if TYPE_CHECKING:
    from lbcompanion.node.processes.supervisor import Supervisor
    from lbcompanion.node.service import NodeService

#: A service is stopped for good after this time (the manual promises 30 s from the signal to the exit).
STOP_SECONDS = 28.0

_T = TypeVar("_T")

log = Logger(namespace="lbcompanion.running")


class Interrupted(CompanionError):
    """A signal ended the work before it was done."""


def run_node(settings: NodeSettings, *, json_lines: bool | None = None, take_over: bool = False) -> int:
    """Run a companion until a signal ends it: in this process, or in ``node.workers`` ones.

    :param take_over: take the ports over from the process that runs this node now, if one does.
    :returns: the exit code: 0, or 1 where it could not start.
    :raises ConfigError: where only opening the store shows that it cannot be used; no port is open then.
    :raises ControlError: where the process that is to be taken over from does not answer.
    """
    is_single_process = settings.node.workers == 1
    loop = None
    if is_single_process:
        from twisted.internet import asyncioreactor

        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        asyncioreactor.install(loop)
    from twisted.internet import reactor

    return run_service(make_node(settings, reactor, loop, json_lines, False, take_over), reactor, json_lines)


def make_node(
    settings: NodeSettings,
    reactor: Any,
    loop: asyncio.AbstractEventLoop | None,
    json_lines: bool | None,
    relay: bool,
    take_over: bool,
) -> NodeService | Supervisor:
    """The service of a companion: of one process, or the supervisor of several.

    :param relay: whether what workers say is told in this process's own log.
    :raises ConfigError: (and ControlError) as :func:`run_node`.
    """
    from lbcompanion.node.processes.supervisor import Supervisor
    from lbcompanion.node.service import NodeService
    from lbcompanion.stores.registry import open_store
    from lbcompanion.stores.threads import SingleThread

    predecessor = _running_node(settings) if take_over else None
    role = (
        ProcessRole(sockets=tuple(predecessor.sockets()), takes_over=True) if predecessor is not None else ProcessRole()
    )
    service: NodeService | Supervisor
    if settings.node.workers == 1:
        service = NodeService(settings, reactor, loop, role=role)
    else:
        # The workers open it, but a store that cannot be used is to be told before any of them starts.
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
        # Nobody is there: then there is nothing to take over, and a start as any other does it.
        return None


def _retire_predecessor(predecessor: RunningNode, role: ProcessRole) -> None:
    try:
        predecessor.hand_over_to(role.group)
    except ControlError as error:
        log.error("the older process was not told to leave: {why}", why=str(error))
    else:
        log.info("taken over: the older process finishes what it has, and leaves")
    predecessor.close()


def reload_on_sighup(reactor: Any, reload: Callable[[], None]) -> None:
    """Have SIGHUP read certificates anew."""
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))


def run_crawler(settings: CrawlerSettings, *, json_lines: bool | None = None) -> int:
    """Run the crawler until a signal ends it.

    :returns: as :func:`run_node`.
    """
    from twisted.internet import reactor

    from lbcompanion.crawler.service import CrawlerService

    return run_service(CrawlerService(settings, reactor), reactor, json_lines)


def run_service(service: IService, reactor: Any, json_lines: bool | None) -> int:
    """Run any service until the reactor stops, and stop it in good order.

    :param service: where ``startService`` gives a Deferred, its failure ends everything with exit code 1.
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
    return codes[0]


def log_failed_start(failure: Failure) -> None:
    """Log why a service could not start: a sentence where that says all, else the traceback as well."""
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
    """Do one piece of work on a reactor of its own, and give its result.

    :param work: is handed the running reactor.
    :raises Interrupted: where a signal came first; whatever the work fails with, it raises.
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
