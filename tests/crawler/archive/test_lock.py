from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path

import pytest

from lbcompanion.crawler.archive.lock import NAME, InUse, Lock, Locks


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


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_not_another_crawler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=os.strerror(code)):
        Lock(tmp_path, "one")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_does_not_prevent_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwrite(_descriptor: int, _data: bytes, _offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", pwrite)
    lock = Lock(tmp_path, "one")
    with pytest.raises(InUse):
        Lock(tmp_path, "two")
    lock.release()
    Lock(tmp_path, "three").release()


def test_a_folder_is_locked_again_after_its_lock_file_was_removed(tmp_path: Path) -> None:
    locks = Locks("one")
    locks.lock(tmp_path)
    locks.lock(tmp_path / ".." / tmp_path.name)
    (tmp_path / NAME).unlink()
    locks.lock(tmp_path)
    with pytest.raises(InUse):
        Locks("two").lock(tmp_path)
    locks.release()
    Lock(tmp_path, "two").release()
