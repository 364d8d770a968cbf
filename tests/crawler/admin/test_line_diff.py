from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.admin import line_diff
from lbcompanion.crawler.admin.line_diff import Difference, Kind, Run, difference
from tests.support.cpu_cost import check_growth

LINES = st.lists(st.sampled_from("abcd"), max_size=12)


def sides(found: Difference) -> tuple[list[str], list[str]]:
    old = [line for run in found.runs if run.kind is not Kind.ADDED for line in run.lines]
    return old, [line for run in found.runs if run.kind is not Kind.REMOVED for line in run.lines]


@given(LINES, LINES)
def test_both_texts_are_in_the_difference(old: list[str], new: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_diff, "CONTEXT_LINES", 100)
        found = difference(old, new)
    left_out = [run for run in found.runs if run.kind is Kind.LEFT_OUT]
    if not left_out:
        assert sides(found) == (old, new)
    changed = sum(run.count for run in found.runs if run.kind in (Kind.ADDED, Kind.REMOVED))
    matched = sum(block.size for block in SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks())
    assert found.is_exact
    assert changed <= len(old) + len(new) - 2 * matched


def test_lines_far_from_a_change_are_left_out() -> None:
    before = [str(number) for number in range(30)]
    found = difference(before, [*before[:15], "new", *before[16:]])
    assert found.runs == (
        Run(Kind.LEFT_OUT, (), 12),
        Run(Kind.SAME, ("12", "13", "14"), 3),
        Run(Kind.REMOVED, ("15",), 1),
        Run(Kind.ADDED, ("new",), 1),
        Run(Kind.SAME, ("16", "17", "18"), 3),
        Run(Kind.LEFT_OUT, (), 11),
    )
    assert difference(before, before).runs == (Run(Kind.LEFT_OUT, (), 30),)
    assert difference([], []).runs == ()


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_diff, "MAX_DIFFERENCES", 3)
    monkeypatch.setattr(line_diff, "MAX_LINES", 5)
    found = difference(list("abcde"), list("vwxyz"))
    assert (found.is_exact, found.is_cut) == (False, False)
    assert [run.kind for run in found.runs] == [Kind.REMOVED, Kind.ADDED]
    assert difference(list("abcdef"), list("abcde")).is_cut
    assert len(difference(["x" * 9000], []).runs[0].lines[0]) == line_diff.MAX_LINE_CHARS


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["ab", "aa", "xy"])
def test_the_cost_is_linear(pair: str) -> None:
    """Of many differences, too."""

    def work(size: int) -> Callable[[], object]:
        old = [f"{pair[0]}{number % 7}" for number in range(size)]
        new = [f"{pair[1]}{number % 5}" for number in range(size)]
        return lambda: difference(old, new)

    check_growth("difference of lines", work, 2000)
