"""The difference of two texts by lines, with a bounded cost.

The algorithm is that of E. W. Myers, "An O(ND) Difference Algorithm and Its Variations". It stops after a number of
differences; the rest counts as replaced then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from attrs import frozen

#: The most differences that are searched for. The cost is this number, times the number of lines.
MAX_DIFFERENCES = 400
#: The most lines of each text, and the most characters of a line; the rest is cut off.
MAX_LINES, MAX_LINE_CHARS = 5000, 1000
#: How many equal lines are shown before and after a difference.
CONTEXT_LINES = 3


class Kind(StrEnum):
    """The fate of lines."""

    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"
    LEFT_OUT = "left out"


@frozen
class Run:
    """Lines in a row with the same kind.

    :ivar count: how many there are; of equal lines that are left out, there are no texts.
    """

    kind: Kind
    lines: tuple[str, ...]
    count: int


@frozen
class Difference:
    """The difference of two texts.

    :ivar is_cut: whether one of the texts is longer than what was compared.
    :ivar is_exact: whether it is as short as possible; otherwise there were too many differences.
    """

    runs: tuple[Run, ...]
    is_cut: bool
    is_exact: bool


def difference(before: Sequence[str], after: Sequence[str]) -> Difference:
    """Return the difference of two texts, with a few equal lines around each change."""
    is_cut = max(len(before), len(after)) > MAX_LINES
    old, new = _cut(before), _cut(after)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    middle_old, middle_new = old[start : len(old) - end], new[start : len(new) - end]
    middle = _shortest(middle_old, middle_new)
    edits = [(Kind.SAME, line) for line in old[:start]]
    replaced = [(Kind.REMOVED, line) for line in middle_old] + [(Kind.ADDED, line) for line in middle_new]
    edits += replaced if middle is None else middle
    edits += [(Kind.SAME, line) for line in old[len(old) - end :]]
    return Difference(tuple(_with_context(list(_runs(edits)))), is_cut, middle is not None)


def _cut(lines: Sequence[str]) -> list[str]:
    return [line[:MAX_LINE_CHARS] for line in lines[:MAX_LINES]]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many lines both begin with."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _shortest(old: Sequence[str], new: Sequence[str]) -> list[tuple[Kind, str]] | None:
    """Return the shortest list of edits; None if it has too many differences."""
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    for differences in range(min(len(old) + len(new), MAX_DIFFERENCES) + 1):
        trace.append(dict(furthest))
        for diagonal in range(-differences, differences + 1, 2):
            x = _step(furthest, diagonal, differences)
            y = x - diagonal
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            if x >= len(old) and y >= len(new):
                return _edits(trace, old, new)
    return None


def _is_down(furthest: dict[int, int], diagonal: int, differences: int) -> bool:
    """Whether a path reaches a diagonal from the one above."""
    return diagonal == -differences or (diagonal != differences and furthest[diagonal - 1] < furthest[diagonal + 1])


def _step(furthest: dict[int, int], diagonal: int, differences: int) -> int:
    """Return where a path on a diagonal goes on: down from the one above, or right from the one below."""
    is_down = _is_down(furthest, diagonal, differences)
    return furthest[diagonal + 1] if is_down else furthest[diagonal - 1] + 1


def _edits(trace: Sequence[dict[int, int]], old: Sequence[str], new: Sequence[str]) -> list[tuple[Kind, str]]:
    """Follow the path back to its beginning."""
    edits: list[tuple[Kind, str]] = []
    x, y = len(old), len(new)
    for differences in range(len(trace) - 1, -1, -1):
        diagonal = x - y
        begun = _step(trace[differences], diagonal, differences)
        while x > begun and y > begun - diagonal:
            x, y = x - 1, y - 1
            edits.append((Kind.SAME, old[x]))
        if not differences:
            break
        if _is_down(trace[differences], diagonal, differences):
            y -= 1
            edits.append((Kind.ADDED, new[y]))
        else:
            x -= 1
            edits.append((Kind.REMOVED, old[x]))
    return edits[::-1]


def _runs(edits: Sequence[tuple[Kind, str]]) -> Iterator[Run]:
    lines: list[str] = []
    for number, (kind, line) in enumerate(edits):
        lines.append(line)
        if number + 1 == len(edits) or edits[number + 1][0] is not kind:
            yield Run(kind, tuple(lines), len(lines))
            lines = []


def _with_context(runs: Sequence[Run]) -> Iterator[Run]:
    """Leave out equal lines that are far from a change."""
    for number, run in enumerate(runs):
        before = 0 if number == 0 else CONTEXT_LINES
        after = 0 if number == len(runs) - 1 else CONTEXT_LINES
        left_out = run.count - before - after
        if run.kind is not Kind.SAME or left_out <= 1:
            yield run
            continue
        if before:
            yield Run(Kind.SAME, run.lines[:before], before)
        yield Run(Kind.LEFT_OUT, (), left_out)
        if after:
            yield Run(Kind.SAME, run.lines[-after:], after)
