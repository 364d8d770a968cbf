"""One load on a companion with an eye on it, and the functions that took the most CPU time."""

from __future__ import annotations

import json
import linecache
import os
import signal
import time
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.load import Load
from bench.peers.companion import Companion
from bench.system_info import Cpu
from bench.workload import MEGABYTE, Case

PROFILE_METHODS = ("sampled", "calls")

_ROOT = Path(__file__).resolve().parents[1]
_SHOWN = 40
_SHOWN_LINES = 25
_WRITTEN_SECONDS = 10.0


class Profiled(Companion):
    """The companion with an eye on it."""

    how = PROFILE_METHODS[0]

    def command(self) -> list[str]:
        """See :mod:`bench.sampler`."""
        super().command()
        return self.python_command("-m", "bench.sampler", self.how, "profile.json", "node", "--config", "n1.toml")

    def profile(self, load: Load, case: Case, requests: int) -> dict[str, Any]:
        """One load.

        :returns: rows of name, own share, share with all it called and calls; lines and shares; CPU microseconds.
        """
        load.put(self.port_for(case), case.key, case.captured, max(20, requests // 5), case.connections)
        pid = self.pids[0]
        before = Cpu.of(self.pids)
        os.kill(pid, signal.SIGUSR2)
        load.put(self.port_for(case), case.key, case.captured, requests, case.connections)
        used = Cpu.of(self.pids).since(before).total
        os.kill(pid, signal.SIGUSR2)
        written = self.folder / "profile.json"
        until = time.monotonic() + _WRITTEN_SECONDS
        while not written.exists() and time.monotonic() < until:
            time.sleep(0.05)
        result: dict[str, Any] = json.loads(written.read_text())
        unit = requests * case.size / MEGABYTE if case.streamed else requests
        return {**result, "case": case.key, "units": unit, "cpu_us": 1e6 * used / unit}


def _place(name: str) -> str:
    """Return a short form of a path."""
    short = name.removeprefix(f"{_ROOT}/").rpartition("/site-packages/")[2]
    for lib in (f"{os.__file__.rpartition('/')[0]}/",):
        short = short.removeprefix(lib)
    return short.removeprefix("~:0 ")


def show(console: Console, result: dict[str, Any], case: Case, how: str) -> None:
    """Print it."""
    each = "MB" if case.streamed else "request"
    title = f"{case.title}: {result['cpu_us']:.0f} CPU us for each {each}, {how}"
    table = Table(title=title, box=box.SIMPLE, title_justify="left", title_style="bold")
    for heading in ("own %", "own us", "with callees %", f"calls / {each}", ""):
        table.add_column(heading, no_wrap=True, justify="right" if heading else "left")
    for name, own, cumulated, calls in sorted(result["rows"], key=lambda row: -row[1])[:_SHOWN]:
        number = f"{calls / result['units']:.2f}" if calls else "-"
        shares = (f"{100 * own:.1f}", f"{own * result['cpu_us']:.1f}", f"{100 * cumulated:.1f}")
        table.add_row(*shares, number, _place(name))
    console.print(table, markup=False)
    if not result["lines"]:
        return
    table = Table(title="Lines", box=box.SIMPLE, title_justify="left")
    for heading in ("own %", "", ""):
        table.add_column(heading, no_wrap=True, justify="left" if not heading else "right")
    for name, own in result["lines"][:_SHOWN_LINES]:
        file, _, line = name.rpartition(":")
        table.add_row(f"{100 * own:.1f}", _place(name), linecache.getline(file, int(line)).strip()[:90])
    console.print(table, markup=False)
    console.print(f"{result['looks']} looks at the stack", highlight=False)
