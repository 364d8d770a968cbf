"""The rounds: the crawler, bare Scrapy and Scrapy that writes WARC take the same pages in turns."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.crawler.calls import CallCounter, build
from bench.crawler.farm import Crawler, Farm
from bench.peers.interface import PeerFailed
from bench.system_info import Cpu
from bench.targets import Verdict

OURS, SCRAPY, SCRAPY_WARC = "lbcompanion crawler", "Scrapy, bare", "Scrapy with scrapy-webarchive"
#: Environments of their own: scrapy-webarchive wants an older Scrapy.
_ENVIRONMENTS = {SCRAPY: ".venv-scrapy", SCRAPY_WARC: ".venv-scrapy-warc"}
_ROOT = Path(__file__).resolve().parents[2]
_SPIDER = Path(__file__).with_name("spider.py")
_WAIT_SECONDS = 120.0
CONCURRENCY = 32
_SETTLE_SECONDS = 0.5


def measure(folder: Path, rounds: int, pages: int, with_files: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all rounds.

    :param with_files: whether the page has files at its own origin, which the crawler archives too.
    :returns: by subject the figures of each round and their medians; what was left out, and why.
    :raises PeerFailed: if something does not start, or loses a page.
    """
    samples: dict[str, list[dict[str, float]]] = {OURS: []}
    left_out: dict[str, str] = {}
    path = "/with-files" if with_files else "/page"
    library = build(folder)
    with Farm(folder / "farm") as farm:
        counter = CallCounter(library, folder / "calls")
        crawler = farm.crawler("crawler", counter.environment)
        deliver_and_wait(farm, crawler, counter, max(100, pages // 5), path)
        for number in range(rounds):
            samples[OURS].append(deliver_and_wait(farm, crawler, counter, pages, path))
            say(f"round {number + 1}: {OURS} {_brief(samples[OURS][-1])}")
            for name in _ENVIRONMENTS:
                if name not in left_out:
                    try:
                        found = _scrapy(farm, folder, library, name, pages)
                    except PeerFailed as failure:
                        left_out[name] = str(failure)
                        say(f"LEFT OUT: {name}: {failure}")
                        continue
                    samples.setdefault(name, []).append(found)
                    say(f"round {number + 1}: {name} {_brief(found)}")
    figures = {
        name: {
            key: {"median": median(one[key] for one in each), "rounds": [one[key] for one in each]} for key in each[0]
        }
        for name, each in samples.items()
    }
    return {"pages": pages, "with_files": with_files, "figures": figures, "left_out": left_out}


def _with_medians(rounds: list[dict[str, float]]) -> dict[str, Any]:
    by_key = {key: [one[key] for one in rounds] for key in rounds[0]}
    return {key: {"median": median(values), "rounds": values} for key, values in by_key.items()}


def _brief(figures: dict[str, float]) -> str:
    return ", ".join(f"{key} {value:.3g}" if value < 100 else f"{key} {value:.0f}" for key, value in figures.items())


def deliver_and_wait(farm: Farm, crawler: Crawler, counter: CallCounter, pages: int, path: str) -> dict[str, float]:
    """Let the crawler archive pages.

    :returns: the figures for one page.
    :raises PeerFailed: if they are not archived in time.
    """
    notices = farm.visit(pages, path)
    wanted = _archived(crawler) + pages
    time.sleep(_SETTLE_SECONDS)
    calls, cpu, begun = counter.read(), Cpu.of(crawler.pids), time.monotonic()
    crawler.deliver(notices)
    deadline = begun + _WAIT_SECONDS
    while _archived(crawler) < wanted:
        if time.monotonic() > deadline:
            raise PeerFailed(f"{OURS} archived {_archived(crawler)} pages instead of {wanted}")
        time.sleep(0.25)
    seconds = time.monotonic() - begun
    time.sleep(_SETTLE_SECONDS)
    done = counter.read().since(calls)
    return {
        "cpu_us": 1e6 * Cpu.of(crawler.pids).since(cpu).total / pages,
        "syncs": done.syncs / pages,
        "connections": done.connections / pages,
        "per_second": pages / seconds,
    }


def _archived(crawler: Crawler) -> int:
    return int(crawler.stats()["archived"])


def _scrapy(farm: Farm, folder: Path, library: Path, name: str, pages: int) -> dict[str, float]:
    """Run Scrapy once.

    :raises PeerFailed: if it is not there, or does not get all pages.
    """
    python = _ROOT / _ENVIRONMENTS[name] / "bin" / "python"
    if not python.exists():
        raise PeerFailed(f"no {_ENVIRONMENTS[name]}; make bench makes it where Scrapy can be installed")
    counter = CallCounter(library, folder / f"calls {name}")
    command = [str(python), str(_SPIDER), f"http://127.0.0.1:{farm.front_port}", str(pages), str(CONCURRENCY)]
    if name == SCRAPY_WARC:
        command.append(str(folder))
    environment = {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **counter.environment}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_WAIT_SECONDS, check=False
        )
        found = json.loads(done.stdout.splitlines()[0])
    except (subprocess.TimeoutExpired, ValueError, IndexError) as failure:
        raise PeerFailed(f"{name} did not end well: {type(failure).__name__}") from failure
    if found["pages"] != pages:
        raise PeerFailed(f"{name} got {found['pages']} of {pages} pages\n{done.stderr[-500:]}")
    calls = counter.read()
    return {
        "cpu_us": found["cpu_us"],
        "syncs": calls.syncs / pages,
        "connections": calls.connections / pages,
        "per_second": found["per_second"],
    }


def verdicts(figures: dict[str, Any]) -> list[Verdict]:
    """Return whether the crawler reaches its figures."""
    ours = figures[OURS]
    found = [
        _ratio("CPU of an archived page: at most 1.5 x bare Scrapy", figures, SCRAPY, 1.5),
        _ratio("CPU of an archived page: at most 1.0 x Scrapy that writes WARC", figures, SCRAPY_WARC, 1.0),
    ]
    for words, key, limit in (("syncs", "syncs", 0.2), ("new connections", "connections", 0.1)):
        value = ours[key]["median"]
        found.append(Verdict(f"{words} for each page: at most {limit}", f"{value:.3f}", value <= limit))
    return found


def _ratio(words: str, figures: dict[str, Any], other: str, limit: float) -> Verdict:
    if other not in figures:
        return Verdict(words, "-", None)
    pairs = zip(figures[OURS]["cpu_us"]["rounds"], figures[other]["cpu_us"]["rounds"], strict=False)
    ratio = median(one / another for one, another in pairs)
    return Verdict(words, f"{ratio:.2f} x", ratio <= limit)
