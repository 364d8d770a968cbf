"""The figures of the manual's page on sizing: ``python -m bench.sizing``.

``--write`` puts them into ``docs/sizing-figures.inc``, which ``docs/sizing.rst`` includes. Memory is PSS, so that what
several processes share counts once. CPU time is that of the measured processes only, so other work on the machine
disturbs the figures little.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from attrs import frozen
from rich.console import Console

from bench import system_info
from bench.command import run
from bench.crawler.calls import CallCounter, build
from bench.crawler.farm import Farm
from bench.crawler.measure import deliver_and_wait
from bench.load import Load
from bench.peers.companion import Companion
from bench.schedule import Origin
from bench.system_info import Cpu
from bench.workload import CASES, HOST
from lbcompanion.demo.ports import ReservedPorts

FILE = Path(__file__).resolve().parents[1] / "docs" / "sizing-figures.inc"
_SMALL, _LARGE = CASES["page-10k"], CASES["page-100k"]
_CONNECTIONS = 20
_SETTLE_SECONDS = 1.0
_IDLE = 1000


@frozen
class Sizes:
    """How much is measured; tests measure less."""

    pages: int = 4000
    large_pages: int = 600
    idle: int = _IDLE
    archived: int = 2000


class Node(Companion):
    """A companion with a store."""

    store = "memory:"

    def further(self) -> str:
        """Return the store."""
        return f'[store]\nurl = "{self.store}"\nmax_pages = 100000\nmax_bytes = 2147483648\n'


def proportional_megabytes(pids: list[int]) -> float:
    """The memory of processes together; what they share counts once."""
    kilobytes = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kilobytes += int(line.split()[1])
    return kilobytes / 1024


def measure(folder: Path, say: Callable[[str], None], sizes: Sizes) -> dict[str, Any]:
    """Measure everything.

    :returns: the figures by name; see :func:`rows`.
    """
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        origin, load = stack.enter_context(Origin()), stack.enter_context(Load())
        ports = ReservedPorts()
        stack.callback(ports.release)

        def node(name: str, workers: int = 1, store: str = "memory:") -> Node:
            made = Node(folder / name, origin.port, ports.take(), ports.take())
            made.workers, made.store = workers, store
            made.start()
            stack.callback(made.stop)
            load.put(made.port, _SMALL.key, made.tagged, 200, _CONNECTIONS)
            time.sleep(_SETTLE_SECONDS)
            return made

        say("idle connections")
        fresh = node("idle")
        figures["idle_kb"] = idle(fresh, sizes.idle)
        fresh.stop()
        say("one worker")
        one = node("one")
        figures["node_mb"] = _memory(one)
        figures["page_us"], figures["page_kb"] = visits(one, load, _SMALL.key, sizes.pages)
        figures["large_us"], figures["large_kb"] = visits(one, load, _LARGE.key, sizes.large_pages)
        one.stop()
        say("several workers")
        several = node("several", workers=4)
        figures["four_mb"] = _memory(several)
        several.stop()
        say("SQLite")
        durable = node("durable", store="sqlite:///pages.db")
        figures["sqlite_us"], _ = visits(durable, load, _SMALL.key, sizes.pages)
        figures["sqlite_kb"] = _on_disk(folder / "durable", "pages.db*") / (sizes.pages + 200) / 1024
        durable.stop()
    say("the crawler")
    figures.update(_crawler(folder, sizes.archived))
    return {
        "figures": figures,
        "when": datetime.now(UTC).date().isoformat(),
        "machine": system_info.kind(),
        "python": system_info.python(),
        "load": os.getloadavg()[1],
    }


def _memory(node: Node) -> float:
    return proportional_megabytes(node.pids)


def _on_disk(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob(pattern))


def visits(node: Node, load: Load, case: str, pages: int) -> tuple[float, float]:
    """CPU microseconds for a captured page, and kilobytes of memory for its copy."""
    memory, cpu = _memory(node), Cpu.of(node.pids)
    load.put(node.port, case, node.tagged, pages, _CONNECTIONS)
    spent = Cpu.of(node.pids).since(cpu).total
    time.sleep(_SETTLE_SECONDS)
    return 1e6 * spent / pages, 1024 * (_memory(node) - memory) / pages


def idle(node: Node, count: int) -> float:
    """Kilobytes of memory for a visitor's connection that is kept open."""
    memory = _memory(node)
    held = [_kept(node.port) for _ in range(count)]
    time.sleep(_SETTLE_SECONDS)
    grown = _memory(node) - memory
    for connection in held:
        connection.close()
    return 1024 * grown / count


def _kept(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(b"GET /_lbc/whoami HTTP/1.1\r\nHost: %b\r\n\r\n" % HOST.encode())
    connection.recv(65536)
    return connection


def _crawler(folder: Path, pages: int) -> dict[str, float]:
    library = build(folder)
    with Farm(folder / "farm") as farm:
        counter = CallCounter(library, folder / "calls")
        crawler = farm.crawler("crawler", counter.environment)
        before = folder / "farm" / "crawler"
        memory = proportional_megabytes(crawler.pids)
        found = deliver_and_wait(farm, crawler, counter, pages, "/page")
        return {
            "crawler_mb": memory,
            "crawler_grown_mb": proportional_megabytes(crawler.pids) - memory,
            "archived_ms": found["cpu_us"] / 1000,
            "archive_kb": _on_disk(before / "archive", "*.warc.gz") / pages / 1024,
            "queue_kb": (_on_disk(before, "*.db") + _on_disk(before, "*.db-wal")) / pages / 1024,
        }


#: What each figure is, in the order of the table.
WORDS: Mapping[str, tuple[str, str]] = {
    "node_mb": ("companion, one worker, after 200 pages", "{:.0f} MB"),
    "four_mb": ("companion with four workers: these and their supervisor", "{:.0f} MB"),
    "idle_kb": ("a visitor's connection that is kept open", "{:.1f} KB"),
    "page_kb": ("the copy of a page of 10 KB in memory", "{:.1f} KB"),
    "large_kb": ("the copy of a page of 100 KB in memory", "{:.0f} KB"),
    "sqlite_kb": ("the copy of a page of 10 KB in SQLite, on the disk", "{:.1f} KB"),
    "page_us": ("CPU time for a captured page of 10 KB", "{:.0f} µs"),
    "large_us": ("CPU time for a captured page of 100 KB", "{:.0f} µs"),
    "sqlite_us": ("CPU time for a captured page of 10 KB with a SQLite store", "{:.0f} µs"),
    "crawler_mb": ("crawler, before the first page", "{:.0f} MB"),
    "crawler_grown_mb": ("crawler, growth with the pages of this run", "{:.0f} MB"),
    "archived_ms": ("CPU time of the crawler for an archived page of 10 KB", "{:.1f} ms"),
    "archive_kb": ("WARC file, for a page of 10 KB", "{:.1f} KB"),
    "queue_kb": ("queue in SQLite, for a recording", "{:.1f} KB"),
}


def rows(figures: Mapping[str, float]) -> list[tuple[str, str]]:
    """The table: what was measured, and how much it is."""
    return [(words, form.format(figures[name])) for name, (words, form) in WORDS.items()]


def rst(result: Mapping[str, Any]) -> str:
    """The figures as the manual includes them."""
    machine = result["machine"]
    lines = [
        f"{datetime.fromisoformat(result['when']):%d %B %Y}: {machine['cores']} cores, {machine['processor']}, Linux"
        f" {machine['kernel']};",
        f"{result['python']}; load average {result['load']:.1f}.",
        "",
        ".. list-table::",
        "   :widths: 76 24",
        "",
    ]
    for words, value in rows(result["figures"]):
        lines += [f"   * - {words}", f"     - {value}"]
    return "\n".join(lines) + "\n"


def show(console: Console, result: dict[str, Any]) -> None:
    """Print the table."""
    for words, value in rows(result["figures"]):
        console.print(f"{words:62} {value:>12}", markup=False)


@click.command()
@click.option(
    "--pages", default=4000, show_default=True, type=click.IntRange(100, 90000), help="Pages for each figure."
)
@click.option("--write", is_flag=True, help="Put the figures into the manual.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(pages: int, write: bool, as_json: bool) -> None:
    """Measure what a companion and a crawler take: memory, CPU time, disk."""
    sizes = Sizes(pages, max(100, pages // 6), min(_IDLE, pages), max(100, pages // 2))

    def measured(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
        result = measure(folder, say, sizes)
        if write:
            FILE.write_text(rst(result))
        return result

    run(measured, show, 100, as_json=as_json)


if __name__ == "__main__":
    main()
