"""``python -m bench``: CPU for each captured page, this companion beside its peers, in one run."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import machine, micro, report
from bench.peers import PEERS, REFERENCE
from bench.peers.interface import Peer, PeerFailed
from bench.rounds import Origin, Rounds
from bench.workload import CODINGS
from lbcompanion import __version__
from lbcompanion.demo.ports import ReservedPorts

_RESULTS = Path(__file__).parent / "results"


def _used_by_us() -> float:
    """CPU seconds of this process and of all children that have ended."""
    return sum(
        one.ru_utime + one.ru_stime
        for one in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def _chosen(names: tuple[str, ...]) -> tuple[list[type[Peer]], dict[str, str]]:
    """The peers to run, and those that cannot, with what they lack."""
    wanted = [peer for peer in PEERS if not names or any(name in peer.name for name in names)]
    left_out = {peer.name: lacking for peer in wanted if (lacking := peer.missing())}
    return [peer for peer in wanted if peer.name not in left_out], left_out


def _measure(kinds: list[type[Peer]], how: dict[str, Any], say: Callable[[str], None]) -> Rounds:
    with ExitStack() as stack:
        origin = stack.enter_context(Origin())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lbcompanion-bench-")))
        ports = ReservedPorts()
        stack.callback(ports.release)
        peers = []
        for number, kind in enumerate(kinds):
            peer = kind(folder / str(number), origin.port, ports.take(), ports.take())
            stack.callback(peer.stop)
            peer.start()
            peers.append(peer)
        rounds = Rounds(origin, peers, how["codings"], how["requests"], how["connections"], say)
        rounds.run(how["rounds"])
        return rounds


@click.command(context_settings={"max_content_width": 110})
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 1000))
@click.option("--requests", default=4000, show_default=True, type=click.IntRange(1, 1000000), help="for each round")
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 500))
@click.option("--coding", "codings", multiple=True, type=click.Choice(CODINGS), help="only this Accept-Encoding")
@click.option("--peer", "names", multiple=True, help="only peers with this in their name")
@click.option("--micro/--no-micro", "parts", default=True, help="time the companion's parts as well")
@click.option("--results", default=_RESULTS, show_default="bench/results", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON; progress goes to standard error")
def main(
    rounds: int,
    requests: int,
    connections: int,
    codings: tuple[str, ...],
    names: tuple[str, ...],
    parts: bool,
    results: Path,
    as_json: bool,
) -> None:
    """CPU for each captured 10 KB page, beside nginx with sub_filter and Lua, in one run."""
    console = Console(stderr=as_json)
    # A table is read as a whole, in a log file as well.
    console.width = max(console.width, 120)
    kinds, left_out = _chosen(names)
    for name, lacking in left_out.items():
        console.print(f"LEFT OUT: {name}: {lacking} is not here", style="bold", soft_wrap=True)
    how: dict[str, Any] = {
        "rounds": rounds,
        "requests": requests,
        "connections": connections,
        "codings": list(dict.fromkeys(codings)) or list(CODINGS),
        "reference": REFERENCE,
    }
    disturbance = machine.Disturbance()
    used_before = _used_by_us()
    try:
        done = _measure(kinds, how, lambda text: console.print(text, style="dim"))
    except PeerFailed as error:
        console.print(f"bench: {error}", style="bold", markup=False, soft_wrap=True)
        sys.exit(1)
    result: dict[str, Any] = {
        "when": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lbcompanion": __version__,
        "python": sys.version.split()[0],
        "machine": machine.kind(),
        "disturbance": disturbance.told(_used_by_us() - used_before),
        "how": how,
        "left_out": left_out,
        "figures": {coding: report.figures(done.samples[coding], REFERENCE) for coding in how["codings"]},
        "parts_us": micro.measure() if parts else {},
    }
    results.mkdir(parents=True, exist_ok=True)
    kept = results / f"{result['when'].replace(':', '')}.json"
    kept.write_text(json.dumps(result, indent=1) + "\n")
    if as_json:
        print(json.dumps(result))
        return
    report.show(console, result)
    if parts:
        micro.show(console, result["parts_us"])
    console.print(f"written to the folder of results: {click.format_filename(kept.name)}")


if __name__ == "__main__":
    main()
