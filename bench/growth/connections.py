"""Idle connections: memory for each, CPU time of a page beside them, and of the process while nothing happens.

Each connection was used for one page and is kept. The node's store is full before the first of them, so that further
copies need no further memory.
"""

from __future__ import annotations

import time

from bench.growth.setting import BUSY, Effort, GrowingNode, Setting, Values, add, descriptors_for
from bench.peers.interface import PeerFailed
from bench.system_info import Cpu
from bench.workload import CASES, Case

_SERIES = {"without TLS": CASES["page-10k"], "with TLS": CASES["page-10k-tls"]}
_STORED = 200
#: So many pages, and the store and the cookies of the last pages have taken all the memory that they may.
_WARM_PAGES = 12_000
_TABLES = f"[limits]\nidle_seconds = 3600\n\n[store]\nmax_pages = {_STORED}\n"
MEMORY = "Memory for an idle connection, KB"
PAGE = "CPU time for a page of 32 busy connections, µs"
IDLE = "CPU time of the idle process, ms each second"


def measure(setting: Setting, effort: Effort) -> tuple[Values, list[str]]:
    """Measure all rounds.

    :returns: the values, and what was left out.
    """
    values: Values = {}
    left_out = []
    for number in (0, *effort.connections):
        if not descriptors_for(number):
            left_out.append(f"{number} idle connections: too few files may be open (RLIMIT_NOFILE)")
            continue
        for _ in range(effort.rounds):
            for name, case in _SERIES.items():
                with setting.node(_TABLES, tls=case.tls) as node:
                    _measure(setting, effort, node, number, case, name, values)
        setting.say(f"{number} idle connections")
    return values, left_out


def _measure(
    setting: Setting, effort: Effort, node: GrowingNode, number: int, case: Case, series: str, values: Values
) -> None:
    load, port = setting.load, node.port_for(case)
    warm = min(_WARM_PAGES, 4 * effort.requests)
    load.put(port, case.key, node.tagged, warm, BUSY)
    time.sleep(effort.settle)
    before = node.resident_kb
    if number:
        load.hold(port, case.key, node.tagged, number)
        time.sleep(effort.settle)
        add(values, MEMORY, series, number, (node.resident_kb - before) / number)
    add(values, PAGE, series, number, setting.page_us(node, case, effort.requests))
    cpu = Cpu.of(node.pids)
    time.sleep(effort.seconds)
    add(values, IDLE, series, number, 1000 * Cpu.of(node.pids).since(cpu).total / effort.seconds)
    if closed := load.release():
        raise PeerFailed(f"{closed} of {number} idle connections were closed")
