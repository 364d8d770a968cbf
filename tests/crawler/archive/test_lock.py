from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lbcompanion.crawler.archive.lock import NAME, FolderInUse, FolderLock


def test_the_second_one_is_told_who_the_first_is(tmp_path: Path) -> None:
    first = FolderLock(tmp_path, "state directory /var/one")
    with pytest.raises(FolderInUse) as caught:
        FolderLock(tmp_path, "state directory /var/two")
    told = f"state directory /var/one, process {os.getpid()} on {socket.gethostname()}"
    assert str(caught.value) == f"{tmp_path} is in use by another crawler: {told}"
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    first.release()
    FolderLock(tmp_path, "two").release()


def test_a_lock_file_without_a_name(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, "one")
    (tmp_path / NAME).write_bytes(b"[")
    with pytest.raises(FolderInUse):
        FolderLock(tmp_path, "two")
    assert lock.is_in_place()
    lock.release()


def test_whether_the_lock_is_still_there(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, "one")
    assert lock.is_in_place()
    (tmp_path / NAME).unlink()
    assert not lock.is_in_place()
    (tmp_path / NAME).touch()
    assert not lock.is_in_place()
    lock.release()
