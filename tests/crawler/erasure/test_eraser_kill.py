"""A process that archives and erases is killed at any moment: what it said is true afterwards."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.archives import NOW
from tests.support.erasing_place import ErasingPlace, file_of_page

pytestmark = [pytest.mark.programs, pytest.mark.slow]

FILES = [file_of_page(f"f{number}.css", f"payload {number}".encode() * 50) for number in range(4)]


def body(token: str) -> bytes:
    return f"the body of {token}.".encode() * 20


def archive_and_erase(folder: Path, run: int, reported: int) -> NoReturn:
    """Archive and erase at random, and tell each thing that is done."""
    chance = random.Random(run)
    place = ErasingPlace(folder, rotate_bytes=20_000)
    place.sweep()
    tokens = [row["token"] for row in place.backlog.recordings(1000)]
    for number in range(100_000):
        if len(tokens) < 5 or chance.random() < 0.7:
            token = f"r{run}n{number}"
            place.keep(token, body(token), *chance.sample(FILES, 2), at=NOW + number)
            tokens.append(token)
            os.write(reported, f"keep {token}\n".encode())
        else:
            gone = [tokens.pop(chance.randrange(len(tokens))) for _ in range(2)]
            os.write(reported, "".join(f"begin {token}\n" for token in gone).encode())
            place.erase(tokens=tuple(gone))
            os.write(reported, "".join(f"erase {token}\n" for token in gone).encode())
    os._exit(0)


def killed_run(folder: Path, run: int, seconds: float) -> list[list[str]]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            archive_and_erase(folder, run, write)
        finally:
            os._exit(1)
    os.close(write)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with os.fdopen(read) as reported:
        return [line.split() for line in reported.read().splitlines()]


def test_killed_at_any_moment(tmp_path: Path) -> None:
    chance = random.Random(1)
    kept: set[str] = set()
    begun: set[str] = set()
    for run in range(6):
        for word, token in killed_run(tmp_path, run, 0.3 + chance.random()):
            {"keep": kept, "begin": begun, "erase": begun}[word].add(token)
        place = ErasingPlace(tmp_path)
        archived = {row["token"] for row in place.backlog.recordings(10_000) if row["outcome"] == "archived"}
        assert kept - begun <= archived
        place.check({token: body(token) for token in archived})
        place.sweep()
        place.check({token: body(token) for token in archived})
        place.check_files()
        plain = place.plain()
        assert not any(body(token) in plain for token in begun - archived)
        assert all(entry["finished_at"] for entry in place.erasures.entries(1000) if entry["recordings"])
        place.close()
    assert begun
