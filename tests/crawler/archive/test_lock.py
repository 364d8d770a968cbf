from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lbcompanion.crawler.archive.lock import NAME, InUse, Lock


def test_the_error_names_the_first_crawler(tmp_path: Path) -> None:
    first = Lock(tmp_path, "state directory /var/one")
    with pytest.raises(InUse) as caught:
        Lock(tmp_path, "state directory /var/two")
    told = f"state directory /var/one, process {os.getpid()} on {socket.gethostname()}"
    assert str(caught.value) == f"{tmp_path} is in use by another crawler: {told}"
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600
    first.release()
    Lock(tmp_path, "two").release()


def test_a_lock_file_without_a_name(tmp_path: Path) -> None:
    lock = Lock(tmp_path, "one")
    (tmp_path / NAME).write_bytes(b"[")
    with pytest.raises(InUse):
        Lock(tmp_path, "two")
    assert lock.is_in_place()
    lock.release()


def test_whether_the_lock_is_still_there(tmp_path: Path) -> None:
    lock = Lock(tmp_path, "one")
    assert lock.is_in_place()
    (tmp_path / NAME).unlink()
    assert not lock.is_in_place()
    (tmp_path / NAME).touch()
    assert not lock.is_in_place()
    lock.release()


def test_two_files_of_one_folder_have_locks_of_their_own(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        (tmp_path / name).touch()
    locks = [Lock(tmp_path, "one"), Lock(tmp_path / "a.db", "one"), Lock(tmp_path / "b.db", "two")]
    with pytest.raises(InUse) as caught:
        Lock(tmp_path / "b.db", "three")
    assert str(caught.value).startswith(f"{tmp_path / 'b.db'} is in use by another crawler: two, process ")
    for lock in locks:
        lock.release()
