"""Runs a service, or one piece of work, in the foreground: the only place where a reactor is chosen.

A companion runs on Twisted's asyncio reactor over the standard asyncio loop, so that the visitors' bytes can travel
on the loop's own transports; everything else runs on the platform's default reactor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.application.service import IService
from twisted.internet.defer import Deferred, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from lbcompanion import logs
from lbcompanion.errors import CompanionError
from lbcompanion.settings import CrawlerSettings, NodeSettings

#: A service is stopped for good after this time (the manual promises 30 s from the signal to the exit).
STOP_SECONDS = 28.0

_T = TypeVar("_T")

log = Logger()


class Interrupted(CompanionError):
    """A signal ended the work before it was done."""


def run_node(settings: NodeSettings, *, json_lines: bool | None = None) -> int:
    """Run a companion until a signal ends it.

    :returns: the exit code: 0, or 1 where it could not start.
    :raises ConfigError: where only opening the store shows that it cannot be used; no port is open then.
    """
    from twisted.internet import asyncioreactor

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
    from twisted.internet import reactor

    from lbcompanion.node.heap import keep_freed_memory
    from lbcompanion.node.service import NodeService

    keep_freed_memory()
    return run_service(NodeService(settings, reactor, loop), reactor, json_lines)


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
        tell_failed_start(failure)
        reactor.stop()

    def start() -> None:
        maybeDeferred(service.privilegedStartService).addErrback(failed)
        maybeDeferred(service.startService).addErrback(failed)

    def stop() -> Deferred[None]:
        stopped = maybeDeferred(service.stopService)
        stopped.addTimeout(STOP_SECONDS, reactor)
        return stopped.addErrback(_not_stopped)

    reactor.callWhenRunning(start)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.run()
    return codes[0]


def tell_failed_start(failure: Failure) -> None:
    """Log why a service could not start: a sentence where that says all, else the traceback as well."""
    if failure.check(CompanionError, CannotListenError, OSError):
        log.critical("not started: {why}", why=str(failure.value))
    else:
        log.failure("not started", failure)


def _not_stopped(failure: Failure) -> None:
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

    loop: Any = reactor
    results: list[_T | Failure] = []

    def start() -> None:
        maybeDeferred(work, loop).addBoth(results.append).addBoth(lambda _: loop.stop() if loop.running else None)

    loop.callWhenRunning(start)
    loop.run()
    if not results:
        raise Interrupted("interrupted")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
