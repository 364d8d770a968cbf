"""Stored copies: memory or disk for each, CPU time of a page, and of a fetch by a crawler, at that fill.

The limits of the store are so high that no copy is dropped. All fetched copies are compared with the page.
"""

from __future__ import annotations

import secrets
import time
from http.client import HTTPConnection
from pathlib import Path

from bench.growth.setting import BUSY, Effort, GrowingNode, Setting, Values, add
from bench.load import Load
from bench.peers.interface import PeerFailed
from bench.system_info import Cpu
from bench.workload import CASES, HOST, Case
from lbcompanion.protocol.signatures import Signer

_CASES = {"2 KB": CASES["page-2k"], "10 KB": CASES["page-10k"]}
_STORES = {"memory": "memory:", "SQLite": "sqlite:///pages.db"}
_TABLES = """\
[store]
url = "{url}"
max_pages = 10000000
max_bytes = 100000000000
max_seconds = 86400
pull_grace_seconds = 86400
"""
#: Far less than the 64 MB that may wait for a store: beyond that, with a busy disk, a node drops copies.
_AT_ONCE = 1_000
_FETCHES = 300
#: Of the tokens of a load.
_SAMPLE = 300
_STORE_SECONDS = 20.0
MEMORY = "Memory for a copy, KB"
DISK = "Disk for a copy, KB"
PAGE = "CPU time for a page, µs"
FETCH = "CPU time for a fetch by a crawler, µs"


def measure(setting: Setting, effort: Effort) -> Values:
    """Measure all rounds; each has a node for each store and size, which is filled step by step."""
    values: Values = {}
    for _ in range(effort.rounds):
        for store, url in _STORES.items():
            for size, case in _CASES.items():
                with setting.node(_TABLES.format(url=url)) as node:
                    _fill(setting, effort, node, case, f"{store}, {size}", values)
                setting.say(f"copies of {size}: {store}")
    return values


def _fill(setting: Setting, effort: Effort, node: GrowingNode, case: Case, series: str, values: Values) -> None:
    load = setting.load
    # Warm, by pages that are passed on without a copy.
    load.put(node.port, "excluded-10k", False, 500, BUSY)
    time.sleep(effort.settle)
    before = node.resident_kb
    measured = min(effort.requests, effort.copies[0] // 2)
    stored = 0
    tokens: list[str] = []
    for number in effort.copies:
        while stored < number - measured:
            requests = min(_AT_ONCE, number - measured - stored)
            result = load.put(node.port, case.key, node.tagged, requests, BUSY, sample=_SAMPLE)
            _wait_until_stored(node, result["last_token"])
            tokens += result["tokens"]
            stored += requests
        add(values, PAGE, series, number, _page_us(node, case, load, measured, effort.settle))
        stored += measured
        add(values, MEMORY, series, number, (node.resident_kb - before) / stored)
        if on_disk := sum(file.stat().st_size for file in node.folder.rglob("pages.db*")):
            add(values, DISK, series, number, on_disk / 1024 / stored)
        # Old copies and young ones.
        step = max(1, len(tokens) // _FETCHES)
        add(values, FETCH, series, number, fetch_us(node, case, tokens[::step][:_FETCHES]))


def _page_us(node: GrowingNode, case: Case, load: Load, requests: int, settle: float) -> float:
    """CPU microseconds for a page until its copy is stored."""
    before = Cpu.of(node.pids)
    result = load.put(node.port, case.key, node.tagged, requests, BUSY)
    _wait_until_stored(node, result["last_token"])
    used = Cpu.of(node.pids).since(before).total
    time.sleep(settle)
    return 1e6 * used / requests


def _wait_until_stored(node: GrowingNode, token: str) -> None:
    """Wait for the last copy of a load: a store takes requests in order, so it has the others too.

    :raises PeerFailed: if it does not arrive.
    """
    until = time.monotonic() + _STORE_SECONDS
    while True:
        try:
            node.copy(token)
        except PeerFailed:
            # 503 while the copy is on its way to the store.
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


def fetch_us(node: GrowingNode, case: Case, tokens: list[str]) -> float:
    """CPU microseconds for a fetch: signed, on one kept connection, as a crawler fetches.

    :raises PeerFailed: if a copy is not there, or is not the page.
    """
    signer = Signer(Path(node.folder / "farm.secret").read_bytes())
    connection = HTTPConnection("127.0.0.1", node.port, timeout=10)
    before = Cpu.of(node.pids)
    for token in tokens:
        path = f"/_lbc/page/{token}"
        signed = signer.sign("GET", f"http://{HOST}{path}", secrets.token_hex(16), time.time())
        connection.request("GET", path, headers={"Host": HOST, **dict(signed)})
        answer = connection.getresponse()
        if answer.read() != case.body or answer.status != 200:
            raise PeerFailed(f"the copy is not the page: status {answer.status}")
    used = Cpu.of(node.pids).since(before).total
    connection.close()
    return 1e6 * used / len(tokens)
