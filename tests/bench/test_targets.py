"""Whether a figure is reached is told from the figures alone."""

from __future__ import annotations

from bench.targets import COMPANION, MITMPROXY, NGINX, NGINX_LUA, TWISTED, verdicts


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
    page = {COMPANION: cpu(21, 21, 21), NGINX_LUA: cpu(20, 20, 20), TWISTED: cpu(200), MITMPROXY: cpu(631)}
    figures = {"page-10k": page, "1m-chunked": {COMPANION: cpu(3), NGINX: cpu(2)}}
    figures["page-10k"][TWISTED] = cpu(200, 200, 200)
    figures["page-10k"][MITMPROXY] = cpu(631, 631, 631)
    by_words = {one.wanted: one.holds for one in verdicts(figures, {COMPANION: {"growth_mb": 40.0}})}
    missed = [wanted for wanted, holds in by_words.items() if holds is False]
    assert [wanted.partition(":")[0] for wanted in missed] == [
        "CPU, 10 KB page",
        "CPU, 1 MB, chunked, each MB",
        "wait added, 10 KB page, p50",
        "CPU, 10 KB page",
        "memory, slow readers of 64 MB",
    ]
    assert by_words["CPU, 10 KB page: at least 30 x less than mitmproxy, addon"] is True


def test_nothing_measured_nothing_said() -> None:
    assert {one.holds for one in verdicts({}, {})} == {None}
