"""The frame of the bench's commands: a folder for their files, errors in one line, JSON or a table, the load."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import system_info
from bench.peers.interface import PeerFailed

#: A measurement: it gets a folder and a function that prints progress.
Measure = Callable[[Path, Callable[[str], None]], dict[str, Any]]


def run(measure: Measure, show: Callable[[Console, dict[str, Any]], None], width: int, *, as_json: bool) -> None:
    """Measure, and print the result with the load of the machine.

    :param show: prints the result as tables; not called if ``as_json``.
    :param width: the least width of the tables, in characters.
    """
    console = Console(stderr=as_json)
    console.width = max(console.width, width)
    # A command that is terminated still stops the programs that it started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    disturbance = system_info.Disturbance()
    try:
        with tempfile.TemporaryDirectory(prefix="lbcompanion-bench-") as folder:
            result = measure(Path(folder), console.print)
    except PeerFailed as error:
        console.print(f"bench: {error}", style="bold", markup=False, soft_wrap=True)
        sys.exit(1)
    load = disturbance.since_start(0.0)
    if as_json:
        print(json.dumps({**result, "disturbance": load}))
        return
    show(console, result)
    console.print(f"Load average {load['load_before']} before, {load['load_after']} after.")
