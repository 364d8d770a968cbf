"""The figures that the companion is to reach beside its peers, and whether it does. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from attrs import frozen

from bench.workload import CASES

#: Names of peers, as in :mod:`bench.peers`.
COMPANION = "lbcompanion"
NGINX_LUA = "nginx, sub_filter + Lua"
NGINX = "nginx, plain proxying"
TWISTED = "twisted.web ReverseProxyResource"
AIOHTTP = "aiohttp, capture + injection"
MITMPROXY = "mitmproxy, addon"
#: A relay that only makes the system calls.
FLOOR = "the floor: system calls only, in C"

_GROWTH_MEGABYTES = 40.0
_WAIT_CASE = "page-10k"


@frozen
class Verdict:
    """One of them.

    :ivar wanted: in words.
    :ivar found: what was measured, in words.
    :ivar holds: None where it was not measured.
    """

    wanted: str
    found: str
    holds: bool | None


def verdicts(
    figures: dict[str, dict[str, Any]],
    memory: dict[str, dict[str, Any]],
    full: dict[str, dict[str, Any]] | None = None,
) -> list[Verdict]:
    """All of them.

    :param figures: by case and peer, see :func:`bench.report.figures`; measured while the stores fill.
    :param memory: by peer, :class:`bench.memory.Growth` as a dictionary.
    :param full: of captured pages, measured with full stores.
    """
    return [*_cpu(figures, full or {}), *_wait(figures), *_cheaper(figures), _growth(memory)]


def _ratio(figures: dict[str, dict[str, Any]], case: str, mine: str, theirs: str) -> float | None:
    """CPU of one peer against that of another: the median of the rounds' ratios."""
    peers = figures.get(case, {})
    if mine not in peers or theirs not in peers:
        return None
    pairs = zip(peers[mine]["cpu_us"]["rounds"], peers[theirs]["cpu_us"]["rounds"], strict=True)
    return float(median(one / other for one, other in pairs))


#: By case: the most CPU against nginx with Lua.
_MOST = {"page-10k": 0.85, "page-10k-gzip": 0.9, "page-100k": 0.95, "asset-10k": 1.0, "excluded-10k": 1.0}
_MOST_FULL = {"page-10k": 1.0}
_MOST_OF_FLOOR = 2.3
_MOST_WAIT = 0.6


def _cpu(figures: dict[str, dict[str, Any]], full: dict[str, dict[str, Any]]) -> Iterator[Verdict]:
    streams = [case.key for case in CASES.values() if case.group == "streamed"]
    wanted = [
        *((figures, key, NGINX_LUA, most, "") for key, most in _MOST.items()),
        *((full, key, NGINX_LUA, most, ", stores full") for key, most in _MOST_FULL.items()),
        *((figures, key, NGINX, 1.0, ", each MB") for key in streams),
        (figures, "page-10k", FLOOR, _MOST_OF_FLOOR, ""),
    ]
    for measured, key, reference, most, how in wanted:
        ratio = _ratio(measured, key, COMPANION, reference)
        words = f"CPU, {CASES[key].title}{how}: at most {most:g} x {reference}"
        yield Verdict(words, *_verdict(ratio, ratio is not None and ratio <= most, "{:.2f} x"))


def _wait(figures: dict[str, dict[str, Any]]) -> Iterator[Verdict]:
    peers = figures.get(_WAIT_CASE, {})
    mine, theirs = (peers.get(name, {}).get("added_p50_us") for name in (COMPANION, NGINX_LUA))
    wanted = f"wait added, {CASES[_WAIT_CASE].title}, p50: at most {_MOST_WAIT:g} x that of {NGINX_LUA}"
    if mine is None or theirs is None:
        yield Verdict(wanted, "-", None)
        return
    found = f"{mine['median']:+.0f} us beside {theirs['median']:+.0f} us"
    yield Verdict(wanted, found, mine["median"] <= _MOST_WAIT * theirs["median"])


def _cheaper(figures: dict[str, dict[str, Any]]) -> Iterator[Verdict]:
    for name, times in ((TWISTED, 9), (AIOHTTP, 4), (MITMPROXY, 25)):
        ratio = _ratio(figures, "page-10k", name, COMPANION)
        wanted = f"CPU, 10 KB page: at least {times} x less than {name}"
        yield Verdict(wanted, *_verdict(ratio, ratio is not None and ratio >= times, "{:.1f} x less"))


def _growth(memory: dict[str, dict[str, Any]]) -> Verdict:
    mine = memory.get(COMPANION)
    growth = None if mine is None else mine["growth_mb"]
    wanted = f"memory, slow readers of 64 MB: growth of less than {_GROWTH_MEGABYTES:.0f} MB"
    return Verdict(wanted, *_verdict(growth, growth is not None and growth < _GROWTH_MEGABYTES, "{:.1f} MB"))


def _verdict(value: float | None, holds: bool, form: str) -> tuple[str, bool | None]:
    return ("-", None) if value is None else (form.format(value), holds)
