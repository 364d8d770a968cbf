"""Each part has its own word, and its own pair of log lines."""

from __future__ import annotations

from lbcompanion.node import health
from lbcompanion.node.health import CONTROL, SPOOL, Health, Part

PARTS = [part for part in vars(health).values() if isinstance(part, Part)]


def test_each_part_has_its_own_words() -> None:
    words = [word for part in PARTS for word in (part.problem, part.broken, part.works)]
    assert len(PARTS) == 4
    assert len(set(words)) == len(words)


def test_one_line_for_each_change() -> None:
    logged: list[tuple[str, str]] = []
    state = Health(lambda event, detail: logged.append((event, detail)))
    state.works(SPOOL)
    for _ in range(3):
        state.failed(SPOOL, "the disk is full")
    state.failed(CONTROL, "no folder")
    assert state.problems() == [SPOOL.problem, CONTROL.problem]
    assert state.is_failing(SPOOL)
    for _ in range(2):
        state.works(SPOOL)
    assert state.problems() == [CONTROL.problem]
    assert logged == [(SPOOL.broken, "the disk is full"), (CONTROL.broken, "no folder"), (SPOOL.works, "")]
