"""``python -m bench.few_workers``: bursts for an application with few workers, without the other figures."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import system_info
from bench.few_workers import bursts, report
from bench.peers.interface import PeerFailed


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option("--json", "as_json", is_flag=True, help="print the result as JSON")
def main(rounds: int, as_json: bool) -> None:
    """Time, worst wait and errors of bursts: straight, through the companion, HAProxy and nginx."""
    console = Console(stderr=as_json)
    console.width = max(console.width, 140)
    # What was started is stopped, also when this process is terminated.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    disturbance = system_info.Disturbance()
    try:
        with tempfile.TemporaryDirectory(prefix="lbcompanion-bench-") as folder:
            result: dict[str, Any] = bursts.measure(Path(folder), rounds, console.print)
    except PeerFailed as error:
        console.print(f"bench: {error}", style="bold", markup=False, soft_wrap=True)
        sys.exit(1)
    told = disturbance.told(0.0)
    if as_json:
        print(json.dumps({**result, "disturbance": told}))
        return
    report.show(console, result)
    console.print(f"Load average {told['load_before']} before, {told['load_after']} after.")


if __name__ == "__main__":
    main()
