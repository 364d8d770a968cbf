"""The bursts, each sent to every front in turns, and the figures of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from attrs import Factory, define

from bench.few_workers import fronts
from bench.few_workers.applications import APPLICATIONS, FILES, LOGO, PAGE, Application
from bench.few_workers.visitors import Burst, Outcome, browsers, crowd
from bench.peers.interface import Peer
from bench.targets import Verdict
from lbcompanion.demo.ports import ReservedPorts

#: More than the KeepAliveTimeout of Apache: what waits for that is seen.
BURST_SECONDS = 6.0
#: A front that took longer for a burst is not asked for it again.
_SLOW_SECONDS = 2.0
_MOST_TIMES = 1.5
_PAGE_END = PAGE[-40:]

BURSTS: dict[str, Callable[[Burst], None]] = {
    "256 requests for a static file, 64 at once": crowd("/logo.png", LOGO, 256, 64),
    "256 requests for a page of 10 ms, 64 at once": crowd("/page.php", _PAGE_END, 256, 64),
    "32 browsers, 16 at once: such a page with 6 files": browsers(
        ("/page.php", _PAGE_END), [(path, LOGO) for path in FILES], 32, 16
    ),
}


@define
class Samples:
    """The outcomes of one front with one burst, one for each round that it took part in."""

    outcomes: list[Outcome] = Factory(list)

    def figures(self) -> dict[str, Any]:
        """Return the median time and the worst wait, in seconds, and the errors of all rounds by what they were."""
        seconds = [one.seconds for one in self.outcomes]
        errors: Counter[str] = sum((one.errors for one in self.outcomes), Counter())
        return {
            "seconds": round(median(seconds), 3),
            "seconds_min": round(min(seconds), 3),
            "seconds_max": round(max(seconds), 3),
            "worst": round(max(one.worst for one in self.outcomes), 3),
            "errors": dict(errors),
        }

    @property
    def is_slow(self) -> bool:
        """Whether a further round would only take time."""
        return any(one.seconds > _SLOW_SECONDS for one in self.outcomes)


def measure(folder: Path, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all bursts through all fronts to all applications; what cannot run here is left out.

    :returns: the figures by application, burst and front; the versions; what was left out.
    :raises PeerFailed: if something does not start.
    """
    every = (*APPLICATIONS, *fronts.FRONTS)
    left_out = {kind.name: lacking for kind in every if (lacking := kind.missing())}
    figures = {}
    for number, application in enumerate(APPLICATIONS):
        if application.name not in left_out:
            figures[application.name] = _of(application, folder / str(number), rounds, left_out)
            say(f"few workers: {application.name}")
    versions = {kind.name: kind.version() for kind in APPLICATIONS if kind.name not in left_out}
    return {"figures": figures, "versions": versions, "left_out": left_out}


def _of(application: type[Application], folder: Path, rounds: int, left_out: dict[str, str]) -> dict[str, Any]:
    with ExitStack() as stack:
        ports = ReservedPorts()
        stack.callback(ports.release)
        running: list[Peer] = []
        for number, kind in enumerate(fronts.FRONTS):
            if kind.name in left_out:
                continue
            # Each front has an application of its own: idle connections of one front hold no worker of another.
            behind = _started(stack, application(folder / f"a{number}", 0, ports.take(), ports.take()))
            front = kind(folder / f"f{number}", behind.port, ports.take(), ports.take())
            front.origin_workers = application.workers
            running.append(_started(stack, front))
        _warm_up(running)
        samples = {burst: {front.name: Samples() for front in running} for burst in BURSTS}
        for number in range(rounds):
            at = number % len(running)
            for burst in BURSTS:
                for front in running[at:] + running[:at]:
                    _send(front, burst, samples[burst][front.name])
    return {burst: with_ratios({name: one.figures() for name, one in by.items()}) for burst, by in samples.items()}


def _started(stack: ExitStack, peer: Peer) -> Peer:
    stack.callback(peer.stop)
    peer.start()
    return peer


def _warm_up(running: list[Peer]) -> None:
    for front in running:
        for path, body in (("/page.php", _PAGE_END), ("/logo.png", LOGO)):
            Burst(front.port).run(crowd(path, body, 4, 1), BURST_SECONDS)
    # Idle connections of the first requests are closed by the companion.
    time.sleep(0.2)


def _send(front: Peer, burst: str, samples: Samples) -> None:
    if not samples.is_slow:
        samples.outcomes.append(Burst(front.port).run(BURSTS[burst], BURST_SECONDS))


def with_ratios(by_front: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add the ratio of the median time to that of the best other proxy without errors."""
    times = [by_front[kind.name] for kind in fronts.OTHERS if kind.name in by_front]
    best = min((one["seconds"] for one in times if not one["errors"]), default=0.0)
    return {name: {**one, "ratio": round(one["seconds"] / best, 2) if best else None} for name, one in by_front.items()}


def verdicts(result: dict[str, Any]) -> list[Verdict]:
    """Judge the companion with and without a cap, by its worst burst."""
    judged = []
    for kind in fronts.OURS:
        ones = [by[kind.name] for bursts in result["figures"].values() for by in bursts.values() if kind.name in by]
        ratios = [one["ratio"] for one in ones if one["ratio"] is not None]
        errors = sum(sum(one["errors"].values()) for one in ones)
        wanted = f"few workers, {kind.name}: at most {_MOST_TIMES} x the time of the best proxy, no errors"
        if ratios:
            holds = max(ratios) <= _MOST_TIMES and not errors
            judged.append(Verdict(wanted, f"{min(ratios)} to {max(ratios)} x, {errors} errors", holds))
        else:
            judged.append(Verdict(wanted, "-", None))
    return judged
