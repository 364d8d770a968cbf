"""Runs the demo: starts the farm, sends visitors, waits for the archive, and tells the story."""

from __future__ import annotations

import signal
import sys
from typing import TextIO, cast

from rich.console import Console
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads
from twisted.python.failure import Failure

from lbcompanion.demo import story
from lbcompanion.demo.balancer_choice import choose_balancer
from lbcompanion.demo.farm import Reactor as FarmReactor
from lbcompanion.demo.farm import check_counts
from lbcompanion.demo.recordings import Checked
from lbcompanion.demo.tour import Tour
from lbcompanion.errors import CompanionError


class Reactor(FarmReactor, IReactorCore, IReactorFromThreads):
    """What the demo needs of a reactor."""


def run_demo(
    nodes: int,
    balancer: str,
    visits: int,
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

    def told(checked: Checked) -> None:
        if not once:
            out.print(story.record_line(checked), markup=False, highlight=False) if as_json else out.print(
                story.line(checked), highlight=False
            )

    tour = Tour(nodes=nodes, balancer=chosen, durable=not once, reactor=reactor, told=told)
    reactor.addSystemEventTrigger("before", "shutdown", tour.close)

    async def run() -> int:
        try:
            began = reactor.seconds()
            notes.print(f"Starting {nodes} nodes, a crawler and a balancer ...", highlight=False)
            await tour.start()
            notes.print(story.opening(tour.farm), highlight=False)
            if not once:
                notes.print("\n" + story.legend(), highlight=False)
                await tour.live(lambda news: notes.print(f"[bold yellow]-- {news}[/]", highlight=False))
                return 0
            all_checked = await tour.once(visits)
            _report(all_checked, chosen, reactor.seconds() - began, out, as_json)
            return 0 if len(all_checked) == visits and all(one.ok for one in all_checked) else 1
        except CompanionError as failure:
            if not tour.closing():
                notes.print(str(failure), markup=False, highlight=False)
            return 1
        finally:
            await tour.close()

    return Deferred.fromCoroutine(run())


def demo_command(nodes: int, balancer: str, visits: int, once: bool, as_json: bool) -> int:
    """Run the demo as a command does, with a reactor of its own; Ctrl-C and SIGTERM end it cleanly.

    :returns: the exit code; a demo without end that is interrupted has done what was asked for.
    :raises ConfigError: where a parameter is not allowed; no port is open then.
    """
    check_counts(nodes, visits)
    choose_balancer(balancer)
    from twisted.internet import reactor  # noqa: PLC0415  the first touch of a reactor

    loop = cast("Reactor", reactor)

    codes = [1 if once else 0]

    def ended(result: int | Failure) -> None:
        if isinstance(result, Failure):
            result.printTraceback(sys.stderr)
            codes[0] = 1
        elif loop.running and not stopping:
            codes[0] = result
        if not stopping:
            loop.stop()

    def start() -> None:
        run_demo(nodes, balancer, visits, once, as_json, loop).addBoth(ended)

    def hung_up(*_: object) -> None:
        # A closed terminal must not leave the farm's processes behind.
        if not stopping:
            loop.callFromThread(loop.stop)

    stopping: list[bool] = []
    loop.addSystemEventTrigger("before", "shutdown", stopping.append, True)
    loop.callWhenRunning(start)
    signal.signal(signal.SIGHUP, hung_up)
    loop.run()
    return codes[0]


def _console(file: TextIO) -> Console:
    # Into a file or a pipe rich would fold everything at 80 columns.
    return Console(file=file, soft_wrap=True, width=None if file.isatty() else 150)


def _report(all_checked: list[Checked], balancer: str, seconds: float, out: Console, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(story.document(all_checked, balancer, seconds) + "\n")
        sys.stdout.flush()
        return
    out.print(story.table(all_checked, balancer))
    out.print(story.closing(all_checked, seconds), highlight=False)
