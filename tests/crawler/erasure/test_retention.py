"""Recordings that are too old, and files beyond ``keep_bytes``, are erased from time to time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from lbcompanion.crawler.erasure.retention import CHECK_SECONDS, JUMP_SECONDS, Retention
from tests.support.archives import NOW
from tests.support.erasing_place import ErasingPlace
from tests.support.simulated_farm import immediately

DAY = 86400.0


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Any:
    place = ErasingPlace(tmp_path, rotate_bytes=1)
    yield place
    place.close()


def retention(place: ErasingPlace, clock: Clock, keep_days: float = 0, keep_bytes: int = 0) -> Retention:
    return Retention(
        eraser=place.eraser,
        erasures=place.erasures,
        replacements=place.replacements,
        archive=place.archive,
        defer=immediately,
        reactor=clock,
        now=lambda: place.now,
        keep_days=keep_days,
        keep_bytes=keep_bytes,
    )


def pass_time(place: ErasingPlace, clock: Clock, seconds: float) -> None:
    for _ in range(int(seconds / CHECK_SECONDS)):
        place.now += CHECK_SECONDS
        clock.advance(CHECK_SECONDS)


def tokens(place: ErasingPlace) -> list[str]:
    return [row["token"] for row in place.backlog.recordings(100)][::-1]


@pytest.mark.slow
def test_old_recordings_go(place: ErasingPlace) -> None:
    for number in range(4):
        place.keep(f"t{number}", b"body %d" % number, at=NOW + number * DAY)
    place.now = NOW + 3.5 * DAY
    clock = Clock()
    keeper = retention(place, clock, keep_days=2)
    keeper.start()
    assert tokens(place) == ["t2", "t3"]
    pass_time(place, clock, JUMP_SECONDS)
    assert tokens(place) == ["t2", "t3"]
    pass_time(place, clock, DAY)
    assert tokens(place) == ["t3"]
    assert [(one["erased_by"], one["criteria"], one["recordings"]) for one in place.erasures.entries(9)] == [
        ("keep_days", "age", 1),
        ("keep_days", "age", 2),
    ]
    place.check({"t3": b"body 3"})
    place.check_files()
    keeper.stop()
    assert clock.getDelayedCalls() == []


@pytest.mark.slow
def test_a_clock_that_jumps_forward_erases_nothing_for_a_while(place: ErasingPlace) -> None:
    place.keep("t1", b"one")
    clock = Clock()
    keeper = retention(place, clock, keep_days=2)
    keeper.start()
    place.now += 100 * DAY
    pass_time(place, clock, JUMP_SECONDS / 2)
    assert tokens(place) == ["t1"]
    place.now -= 100 * DAY
    pass_time(place, clock, 2 * JUMP_SECONDS)
    assert tokens(place) == ["t1"]
    place.now += 100 * DAY
    pass_time(place, clock, 2 * JUMP_SECONDS)
    assert tokens(place) == []
    keeper.stop()


@pytest.mark.slow
def test_the_oldest_files_go_if_the_archive_is_too_long(place: ErasingPlace) -> None:
    for number in range(4):
        place.keep(f"t{number}", bytes([65 + number]) * 100)
    sizes = list(place.index.files().values())
    clock = Clock()
    keeper = retention(place, clock, keep_bytes=sizes[2] + sizes[3] + 100)
    keeper.start()
    assert tokens(place) == ["t2", "t3"]
    place.check_files()
    place.keep("t4", b"E" * 100)
    clock.advance(CHECK_SECONDS)
    assert tokens(place) == ["t3", "t4"]
    keeper.stop()


@pytest.mark.slow
def test_bytes_that_later_files_need_stay(place: ErasingPlace) -> None:
    for number in range(6):
        place.keep(f"t{number}", b"the same" * 100, at=NOW + number)
    clock = Clock()
    keeper = retention(place, clock, keep_bytes=sum(list(place.index.files().values())[3:]) + 200)
    keeper.start()
    clock.advance(CHECK_SECONDS)
    left = tokens(place)
    assert left
    assert left[-1] == "t5"
    assert "t0" not in left
    place.check(dict.fromkeys(left, b"the same" * 100))
    place.check_files()
    keeper.stop()


@pytest.mark.slow
def test_the_oldest_pages_of_a_single_file_go(tmp_path: Path) -> None:
    place = ErasingPlace(tmp_path)
    place.parts.forget_files = lambda: pytest.fail("files in memory are as good as before")
    for number in range(20):
        place.keep(f"t{number}", f"body {number}.".encode())
    (size,) = place.index.files().values()
    clock = Clock()
    keeper = retention(place, clock, keep_bytes=size // 2)
    keeper.start()
    assert 5 <= len(tokens(place)) <= 10
    assert sum(place.index.files().values()) <= size // 2
    place.check({token: f"body {token[1:]}.".encode() for token in tokens(place)})
    assert len(place.erasures.entries(9)) == 1
    clock.advance(CHECK_SECONDS)
    assert len(place.erasures.entries(9)) == 1
    keeper.stop()
    place.close()


@pytest.mark.slow
def test_zero_keeps_all(place: ErasingPlace) -> None:
    place.keep("t1", b"one", at=0.0)
    clock = Clock()
    keeper = retention(place, clock)
    keeper.start()
    clock.advance(CHECK_SECONDS)
    assert tokens(place) == ["t1"]
    keeper.stop()
