"""Runs the demo: starts the farm, sends visitors, waits for the archive and prints a report."""

from __future__ import annotations

import signal
import sys
from typing import TextIO, cast

from rich.console import Console
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.python.failure import Failure

from lbcompanion.demo import report
from lbcompanion.demo.balancer_choice import choose_balancer
from lbcompanion.demo.crawler_api import VisitCheck
from lbcompanion.demo.farm import Reactor as FarmReactor
from lbcompanion.demo.farm import check_counts
from lbcompanion.demo.session import DemoSession
from lbcompanion.errors import CompanionError


class Reactor(FarmReactor, IReactorCore, IReactorFromThreads):
    """The reactor interfaces that the demo needs."""


def run_demo(
    nodes: int,
    balancer: str,
    visits: int,
    *,
    once: bool,
    as_json: bool,
    reactor: Reactor,
    console: Console | None = None,
) -> Deferred[int]:
    """Run the demo; with ``once`` until all visits have their outcome, else until the reactor stops.

    :param visits: how many page views; without ``once`` there is no end to them.
    :param as_json: print JSON on standard output, all else on standard error.
    :param console: where to print, if not there.
    :returns: the exit code: 0 when all went as it should, else 1.
    :raises ConfigError: at once, where a parameter is not allowed.
    """
    check_counts(nodes, visits)
    chosen = choose_balancer(balancer)
    out = console or _console(sys.stdout)
    notes = _console(sys.stderr) if as_json else out

    def on_outcome(check: VisitCheck) -> None:
        if not once:
            out.print(report.json_line(check), markup=False, highlight=False) if as_json else out.print(
                report.visit_line(check), highlight=False
            )

    session = DemoSession(nodes=nodes, balancer=chosen, durable=not once, reactor=reactor, on_outcome=on_outcome)
    reactor.addSystemEventTrigger("before", "shutdown", session.close)

    async def run() -> int:
        try:
            started_at = reactor.seconds()
            notes.print(f"Starting {nodes} nodes, a crawler and a balancer ...", highlight=False)
            await session.start()
            notes.print(report.start_text(session.farm), highlight=False)
            if not once:
                notes.print("\n" + report.legend(), highlight=False)
                await session.live(lambda news: notes.print(f"[bold yellow]-- {news}[/]", highlight=False))
                return 0
            checks = await session.once(visits)
            _report(checks, chosen, reactor.seconds() - started_at, out, as_json=as_json)
            return 0 if len(checks) == visits and all(check.ok for check in checks) else 1
        except CompanionError as failure:
            if not session.closing():
                notes.print(str(failure), markup=False, highlight=False)
            return 1
        finally:
            await session.close()

    return Deferred.fromCoroutine(run())


def demo_command(nodes: int, balancer: str, visits: int, *, once: bool, as_json: bool) -> int:
    """Run the demo as a command does, with a reactor of its own; Ctrl-C and SIGTERM end it cleanly.

    :returns: the exit code; interrupting a demo without end is a success.
    :raises ConfigError: where a parameter is not allowed; no port is open then.
    """
    check_counts(nodes, visits)
    choose_balancer(balancer)
    from twisted.internet import reactor  # noqa: PLC0415  the first touch of a reactor

    loop = cast("Reactor", reactor)

    codes = [1 if once else 0]

    def on_finished(result: int | Failure) -> None:
        if isinstance(result, Failure):
            result.printTraceback(sys.stderr)
            codes[0] = 1
        elif loop.running and not stopping:
            codes[0] = result
        if not stopping:
            loop.stop()

    def start() -> None:
        run_demo(nodes, balancer, visits, once=once, as_json=as_json, reactor=loop).addBoth(on_finished)

    def on_hangup(*_: object) -> None:
        # A closed terminal must not leave the farm's processes behind.
        if not stopping:
            loop.callFromThread(loop.stop)

    stopping: list[bool] = []
    loop.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    loop.callWhenRunning(start)
    signal.signal(signal.SIGHUP, on_hangup)
    loop.run()
    return codes[0]


def _console(file: TextIO) -> Console:
    # Into a file or a pipe rich would fold everything at 80 columns.
    return Console(file=file, soft_wrap=True, width=None if file.isatty() else 150)


def _report(checks: list[VisitCheck], balancer: str, seconds: float, out: Console, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(report.json_document(checks, balancer, seconds) + "\n")
        sys.stdout.flush()
        return
    out.print(report.table(checks, balancer))
    out.print(report.closing(checks, seconds), highlight=False)
