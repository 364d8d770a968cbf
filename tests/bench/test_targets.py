"""Whether a figure is reached is told from the figures alone."""

from __future__ import annotations

from bench.targets import COMPANION, FLOOR, MITMPROXY, NGINX, NGINX_LUA, TWISTED, verdicts


def cpu(*rounds: float) -> dict[str, object]:
    return {"cpu_us": {"rounds": list(rounds)}, "added_p50_us": {"median": rounds[0]}}


def holding(figures, memory) -> dict[str, bool | None]:
    return {one.wanted.partition(":")[0]: one.holds for one in verdicts(figures, memory)}


def test_ratios_are_the_rounds_own() -> None:
    figures = {"page-10k": {COMPANION: cpu(10, 50, 30), NGINX_LUA: cpu(20, 60, 20)}}
    report = holding(figures, {})
    assert report["CPU, 10 KB page"] is None  # neither Twisted nor mitmproxy ran
    assert verdicts(figures, {})[0].holds is True
    assert verdicts(figures, {})[0].found == "0.83 x"
    assert report["wait added, 10 KB page, p50"] is True


def test_what_is_missed_is_reported() -> None:
    page = {COMPANION: cpu(21, 21, 21), NGINX_LUA: cpu(20, 20, 20), FLOOR: cpu(9, 9, 9)}
    figures = {"page-10k": page, "1m-chunked": {COMPANION: cpu(3), NGINX: cpu(2)}}
    figures["page-10k"][TWISTED] = cpu(180, 180, 180)
    figures["page-10k"][MITMPROXY] = cpu(526, 526, 526)
    full = {"page-10k": {COMPANION: cpu(20, 20, 20), NGINX_LUA: cpu(20, 20, 20)}}
    by_words = {one.wanted: one.holds for one in verdicts(figures, {COMPANION: {"growth_mb": 40.0}}, full)}
    missed = [wanted for wanted, holds in by_words.items() if holds is False]
    assert missed == [
        "CPU, 10 KB page: at most 0.85 x nginx, sub_filter + Lua",
        "CPU, 1 MB, chunked, each MB: at most 1 x nginx, plain proxying",
        "CPU, 10 KB page: at most 2.3 x the floor: system calls only, in C",
        "wait added, 10 KB page, p50: at most 0.6 x that of nginx, sub_filter + Lua",
        "CPU, 10 KB page: at least 9 x less than twisted.web ReverseProxyResource",
        "memory, slow readers of 64 MB: growth of less than 40 MB",
    ]
    assert by_words["CPU, 10 KB page, stores full: at most 1 x nginx, sub_filter + Lua"] is True
    assert by_words["CPU, 10 KB page: at least 25 x less than mitmproxy, addon"] is True
    assert by_words["CPU, 10 KB page: at least 4 x less than aiohttp, capture + injection"] is None


def test_nothing_measured_nothing_said() -> None:
    assert {one.holds for one in verdicts({}, {})} == {None}
