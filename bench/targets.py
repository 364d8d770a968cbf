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


def verdicts(figures: dict[str, dict[str, Any]], memory: dict[str, dict[str, Any]]) -> list[Verdict]:
    """All of them.

    :param figures: by case and peer, see :func:`bench.report.figures`.
    :param memory: by peer, :class:`bench.memory.Growth` as a dictionary.
    """
    return [*_cpu(figures), *_wait(figures), *_cheaper(figures), _growth(memory)]


def _ratio(figures: dict[str, dict[str, Any]], case: str, mine: str, theirs: str) -> float | None:
    """CPU of one peer against that of another: the median of the rounds' ratios."""
    peers = figures.get(case, {})
    if mine not in peers or theirs not in peers:
        return None
    pairs = zip(peers[mine]["cpu_us"]["rounds"], peers[theirs]["cpu_us"]["rounds"], strict=True)
    return float(median(one / other for one, other in pairs))


def _cpu(figures: dict[str, dict[str, Any]]) -> Iterator[Verdict]:
    streams = [case.key for case in CASES.values() if case.group == "streamed"]
    for key in ("page-10k", "page-100k", *streams):
        reference = NGINX if key in streams else NGINX_LUA
        what = f"CPU, {CASES[key].title}" + (", each MB" if key in streams else "")
        ratio = _ratio(figures, key, COMPANION, reference)
        wanted = f"{what}: at most 1.0 x {reference}"
        yield Verdict(wanted, *_verdict(ratio, ratio is not None and ratio <= 1.0, "{:.2f} x"))


def _wait(figures: dict[str, dict[str, Any]]) -> Iterator[Verdict]:
    peers = figures.get(_WAIT_CASE, {})
    mine, theirs = (peers.get(name, {}).get("added_p50_us") for name in (COMPANION, NGINX_LUA))
    wanted = f"wait added, {CASES[_WAIT_CASE].title}, p50: at most that of {NGINX_LUA}"
    if mine is None or theirs is None:
        yield Verdict(wanted, "-", None)
        return
    found = f"{mine['median']:+.0f} us beside {theirs['median']:+.0f} us"
    yield Verdict(wanted, found, mine["median"] <= theirs["median"])


def _cheaper(figures: dict[str, dict[str, Any]]) -> Iterator[Verdict]:
    for name, times in ((TWISTED, 10), (MITMPROXY, 30)):
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
