"""``python -m bench``: what a page, an asset, a megabyte cost, this companion beside its peers, in one run."""

from __future__ import annotations

import json
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from attrs import asdict
from rich.console import Console

from bench import memory, micro, plot, profiled, report, system_info
from bench.few_workers import bursts
from bench.few_workers import report as burst_report
from bench.load import Load
from bench.peers import PEERS, QUICK
from bench.peers.interface import Peer, PeerFailed
from bench.schedule import Effort, Origin, Schedule
from bench.targets import verdicts
from bench.workload import CASES, GROUPS, Case
from lbcompanion import __version__
from lbcompanion.demo.ports import ReservedPorts

#: So many of a round's requests are looked at.
_PROFILE_TIMES = {"sampled": 10, "calls": 3}
_RESULTS = Path(__file__).parent / "results"
_MEASURED = {key: case for key, case in CASES.items() if case.group in GROUPS}
#: Cases with which the wait of one visitor is measured.
_WAITING = ("page-10k", "page-100k", "asset-10k")


def _used_by_us() -> float:
    """CPU seconds of this process and of all children that have ended."""
    return sum(
        one.ru_utime + one.ru_stime
        for one in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def _chosen(names: tuple[str, ...], quick: bool) -> tuple[list[type[Peer]], dict[str, str]]:
    """The peers to run, and those that cannot, with what they lack."""
    wanted = [
        peer for peer in PEERS if (any(name in peer.name for name in names) if names else peer in QUICK or not quick)
    ]
    left_out = {peer.name: lacking for peer in wanted if (lacking := peer.missing())}
    return [peer for peer in wanted if peer.name not in left_out], left_out


def chosen_cases(keys: tuple[str, ...], quick: bool) -> list[Case]:
    """The cases to measure: those of the keys, or without keys all of them; in a quick run only the usual ones."""
    return [case for key, case in _MEASURED.items() if (key in keys if keys else case.usual or not quick)]


class _Stage:
    """The application, the load, and folders and ports for peers."""

    def __init__(self, origin: Origin, load: Load, folder: Path, ports: ReservedPorts) -> None:
        self.origin = origin
        self.load = load
        self._folder = folder
        self._ports = ports
        self._number = 0

    def peer(self, kind: type[Peer], workers: int = 1, tls: bool = False) -> Peer:
        """One that is not started yet.

        :param tls: whether it listens with TLS as well, if it can.
        """
        self._number += 1
        folder = self._folder / str(self._number)
        tls_port = self._ports.take() if tls and kind.takes_tls else 0
        peer = kind(folder, self.origin.port, self._ports.take(), self._ports.take(), tls_port)
        peer.workers = workers
        return peer


@contextmanager
def _stage() -> Iterator[_Stage]:
    with ExitStack() as stack:
        origin = stack.enter_context(Origin())
        load = stack.enter_context(Load())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lbcompanion-bench-")))
        ports = ReservedPorts()
        stack.callback(ports.release)
        yield _Stage(origin, load, folder, ports)


def _rounds(
    stage: _Stage, kinds: list[type[Peer]], cases: list[Case], effort: Effort, say: Callable[[str], None]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The figures of all cases while stores fill, and of captured pages once they are full."""
    with ExitStack() as stack:
        peers = []
        tls = any(case.tls for case in cases)
        for workers in sorted({case.workers for case in cases}):
            for kind in kinds:
                if workers > 1 and not kind.takes_workers:
                    continue
                peer = stage.peer(kind, workers, tls and workers == 1)
                stack.callback(peer.stop)
                peer.start()
                peers.append(peer)
        rounds = Schedule(stage.origin, stage.load, peers, cases, list(_WAITING) if effort.waits else [], effort, say)
        rounds.run()
        captured = [case for case in cases if case.captured and case.usual and effort.fill]
        filled = [peer for peer in peers if peer.workers == 1]
        full = Schedule(stage.origin, stage.load, filled, captured, [], effort, say)
        if captured:
            full.fill()
            full.run()
        return _by_case(rounds), _by_case(full)


def _by_case(rounds: Schedule) -> dict[str, dict[str, Any]]:
    return {case: report.figures(by_peer, report.reference_of(case)) for case, by_peer in rounds.samples.items()}


def _memory(
    stage: _Stage, kinds: list[type[Peer]], seconds: float, say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    result = {}
    for kind in [kind for kind in kinds if seconds and kind.takes_streams]:
        result[kind.name] = asdict(memory.measure(stage.peer(kind), stage.load, seconds))
        say(f"slow readers: {kind.name}")
    return result


def _few_workers(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="lbcompanion-bench-") as folder:
        return bursts.measure(Path(folder), rounds, say)


def _profile(console: Console, cases: list[Case], scale: float, how: str) -> None:
    with _stage() as stage:
        for case in cases:
            peer = stage.peer(profiled.Profiled, case.workers, case.tls)
            assert isinstance(peer, profiled.Profiled)
            peer.how = how
            try:
                peer.start()
                result = peer.profile(
                    stage.load, case, max(case.connections, round(case.requests * scale * _PROFILE_TIMES[how]))
                )
            finally:
                peer.stop()
            profiled.show(console, result, case, how)
    console.print(system_info.python(), highlight=False, markup=False)


@click.command(context_settings={"max_content_width": 110})
@click.option(
    "--quick", is_flag=True, help="under a minute: only the companion and nginx, fewer requests and rounds, no TLS"
)
@click.option("--rounds", type=click.IntRange(1, 1000), help="of all cases and peers  [default: 5; with --quick: 3]")
@click.option(
    "--scale", type=click.FloatRange(0.001, 1000), help="requests, times this  [default: 1; with --quick: 0.5]"
)
@click.option("--waits", default=500, show_default=True, type=click.IntRange(0, 100000), help="of one visitor, a round")
@click.option("--case", "keys", multiple=True, type=click.Choice([*_MEASURED]), help="only this one")
@click.option("--peer", "names", multiple=True, help="only peers with this in their name")
@click.option(
    "--slow-seconds", type=click.FloatRange(0, 60), help="of slow readers; 0: none  [default: 12; with --quick: 4]"
)
@click.option(
    "--few-workers/--no-few-workers",
    default=None,
    help="bursts for applications with few workers  [default: unless --quick, --case or --peer is given]",
)
@click.option(
    "--fill",
    type=click.IntRange(0, 1000000),
    help="captured pages again, after so many pages filled the stores  [default: 30000; with --quick: 0]",
)
@click.option("--micro/--no-micro", "parts", default=False, help="time the companion's parts as well")
@click.option(
    "--profile",
    is_flag=False,
    flag_value=profiled.PROFILE_METHODS[0],
    type=click.Choice(profiled.PROFILE_METHODS),
    help="only where the companion's CPU time goes: a round of the 10 KB page, or of each --case",
)
@click.option("--results", default=_RESULTS, show_default="bench/results", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON; progress goes to standard error")
def main(
    quick: bool,
    rounds: int | None,
    scale: float | None,
    waits: int,
    keys: tuple[str, ...],
    names: tuple[str, ...],
    slow_seconds: float | None,
    few_workers: bool | None,
    fill: int | None,
    parts: bool,
    profile: str | None,
    results: Path,
    as_json: bool,
) -> None:
    """CPU, waits and memory of the companion beside other proxies, in one run."""
    console = Console(stderr=as_json)
    # A table is read as a whole, in a log file as well.
    console.width = max(console.width, 140)
    if profile is not None:
        _profile(console, [CASES[key] for key in keys or ("page-10k",)], scale or 1.0, profile)
        return
    kinds, left_out = _chosen(names, quick)
    for name, lacking in left_out.items():
        console.print(f"LEFT OUT: {name}: {lacking} is not here", style="bold", soft_wrap=True)
    if fill is None:
        fill = 0 if quick else 30000
    effort = Effort(rounds or (3 if quick else 5), scale or (0.5 if quick else 1.0), waits, fill)
    cases = chosen_cases(keys, quick)
    sip_seconds = (4.0 if quick else 12.0) if slow_seconds is None else slow_seconds
    # What was started is to be ended, also when this is.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    disturbance = system_info.Disturbance()
    used_before, begun = _used_by_us(), time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - begun:4.0f} s: {text}", style="dim", highlight=False)

    try:
        with _stage() as stage:
            figures, full = _rounds(stage, kinds, cases, effort, say)
            growths = _memory(stage, kinds, sip_seconds, say)
        wanted = not (quick or keys or names) if few_workers is None else few_workers
        starved = _few_workers(effort.rounds, say) if wanted else None
    except PeerFailed as error:
        console.print(f"bench: {error}", style="bold", markup=False, soft_wrap=True)
        sys.exit(1)
    result: dict[str, Any] = {
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(time.monotonic() - begun),
        "lbcompanion": __version__,
        "python": system_info.python(),
        "machine": system_info.kind(),
        "disturbance": disturbance.since_start(_used_by_us() - used_before),
        "how": {**asdict(effort), "quick": quick, "sip_seconds": sip_seconds},
        "versions": {kind.name: kind.version() for kind in kinds},
        "left_out": left_out,
        "figures": figures,
        "figures_full": full,
        "memory": growths,
        "few_workers": starved,
        "verdicts": [
            asdict(one) for one in [*verdicts(figures, growths, full), *(bursts.verdicts(starved) if starved else [])]
        ],
        "parts_us": micro.measure() if parts else {},
    }
    results.mkdir(parents=True, exist_ok=True)
    file = results / f"{result['when'].replace(':', '')}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    file.with_suffix(".svg").write_text(plot.svg(result))
    if as_json:
        print(json.dumps(result))
        return
    report.show(console, result)
    if starved:
        burst_report.show(console, starved)
    if parts:
        micro.show(console, result["parts_us"])
    console.print(f"written to the folder of results: {file.name} and .svg; {result['seconds']} s")


if __name__ == "__main__":
    main()
