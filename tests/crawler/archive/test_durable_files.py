"""Changes of files are on the disk when the call returns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lbcompanion.crawler.archive.durable_files import sync_folder, truncate


def test_what_is_changed_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    synced: list[tuple[int, int]] = []
    file.write_bytes(b"committed and more")
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append((os.fstat(descriptor).st_ino, file.stat().st_size))
    )
    truncate(file, 9)
    sync_folder(tmp_path)
    assert synced == [(file.stat().st_ino, 9), (tmp_path.stat().st_ino, 9)]
    assert file.read_bytes() == b"committed"
