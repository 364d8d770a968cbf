"""Appended bytes: where they are written, and when they are synced. Failures: test_group_commit.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lbcompanion.crawler.archive.appending import Appender

ONE, OTHER = "one.warc.gz", "other.warc.gz"


@pytest.fixture(name="synced")
def _synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the files at each sync."""
    for name in (ONE, OTHER):
        (tmp_path / name).write_bytes(b"kept, and uncommitted bytes")
    lengths: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: lengths.append(os.fstat(descriptor).st_size))
    return lengths


def test_bytes_are_synced_each_time(tmp_path: Path, synced: list[int]) -> None:
    appender = Appender(tmp_path)
    appender.append(ONE, 4, b"; one")
    appender.append(ONE, 9, b"; two")
    assert (tmp_path / ONE).read_bytes() == b"kept; one; two"
    assert synced == [9, 14]


def test_gathered_bytes_are_synced_once_per_file(tmp_path: Path, synced: list[int]) -> None:
    appender = Appender(tmp_path)
    with appender.gathering():
        assert (appender.is_gathering, appender.sync()) == (True, False)
        appender.append(ONE, 4, b"; one")
        appender.append(ONE, 9, b"; two")
        appender.append(OTHER, 4, b"")
        assert synced == []
        assert appender.sync()
    assert (appender.is_gathering, synced) == (False, [14, 4])


def test_a_file_whose_name_is_gone_cannot_be_synced(tmp_path: Path, synced: list[int]) -> None:
    appender = Appender(tmp_path)
    with appender.gathering():
        appender.append(ONE, 4, b"; one")
        (tmp_path / OTHER).rename(tmp_path / ONE)
        with pytest.raises(FileNotFoundError, match="was replaced while it was written"):
            appender.sync()
    assert synced == [9]
