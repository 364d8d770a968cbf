from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.archives import NOW, Place

pytestmark = pytest.mark.slow


def kept(place: Place, tokens: Sequence[str]) -> None:
    """Each page is still there, and the archive is whole."""
    assert [place.page(token) for token in tokens] == [token.encode() * 50 for token in tokens]
    assert "response" in [kind for kind, _ in place.records()]


def store(place: Place, *tokens: str) -> None:
    for token in tokens:
        place.store(token, token.encode() * 50)


def queue_of(folder: Path, name: str) -> str:
    return f"sqlite:///{folder}/{name}.db"


def test_a_copy_of_the_queue_that_is_older_than_the_archive(tmp_path: Path) -> None:
    newer = Place(tmp_path)
    store(newer, "t1")
    newer.database.close()
    shutil.copy(tmp_path / "q.db", tmp_path / "copy.db")
    newer = Place(tmp_path)
    store(newer, "t2", "t3")
    newer.database.close()
    older = Place(tmp_path, queue=queue_of(tmp_path, "copy"))
    store(older, "t4")
    kept(older, ["t1", "t4"])
    older.database.close()
    # In turns, as often as one likes.
    for number in range(2):
        newer = Place(tmp_path)
        kept(newer, ["t1", "t2", "t3", *(f"n{each}" for each in range(number))])
        store(newer, f"n{number}")
        newer.database.close()
        older = Place(tmp_path, queue=queue_of(tmp_path, "copy"))
        kept(older, ["t1", "t4"])
        older.database.close()


def test_a_backup_that_was_made_while_the_crawler_ran(tmp_path: Path) -> None:
    place = Place(tmp_path)
    store(place, "t1")
    place.database.close()
    shutil.copy(tmp_path / "q.db", tmp_path / "backup.db")
    place.database.open()
    place.now += 600
    store(place, "t2")
    assert not place.archive.close_if_due()  # renews the mark
    store(place, "t3")
    length = place.files()[0].stat().st_size
    place.database.close()
    # Then the machine fails: nothing ends in good order.
    restored = Place(tmp_path, queue=queue_of(tmp_path, "backup"))
    assert place.files()[0].stat().st_size == length
    store(restored, "t4")
    kept(restored, ["t1", "t4"])
    kept(Place(tmp_path), ["t1", "t2", "t3"])


def test_another_queue_and_another_archive(tmp_path: Path) -> None:
    one = Place(tmp_path)
    store(one, "t1")
    one.database.close()
    other = Place(tmp_path, queue=queue_of(tmp_path, "other"))
    store(other, "t2")
    other.database.close()
    moved = tmp_path / "moved"
    moved.mkdir()
    elsewhere = Place(moved, queue=queue_of(tmp_path, "q"))
    store(elsewhere, "t3")
    kept(elsewhere, ["t3"])
    elsewhere.database.close()
    one = Place(tmp_path)
    kept(one, ["t1"])
    one.database.close()
    kept(Place(tmp_path, queue=queue_of(tmp_path, "other")), ["t2"])


def test_an_older_queue_keeps_the_name_of_a_file_that_it_knows_without_pages(tmp_path: Path) -> None:
    place = Place(tmp_path)
    name = "crawler-20261124000000-00000.warc.gz"
    place.index.new_file(name, NOW)
    place.database.close()
    shutil.copy(tmp_path / "q.db", tmp_path / "copy.db")
    place = Place(tmp_path)
    store(place, "t1")
    place.database.close()
    # With the newer queue that file may have got pages, and be in an object store now.
    assert name in Place(tmp_path, queue=queue_of(tmp_path, "copy")).index.files()


def test_the_rest_of_a_crash_is_still_cut_off(tmp_path: Path) -> None:
    place = Place(tmp_path)
    store(place, "t1", "t2")
    file, length = place.files()[0], place.files()[0].stat().st_size
    place.database.close()
    with file.open("ab") as stream:
        stream.write(file.read_bytes()[:200])  # a part of a record
    kept(Place(tmp_path), ["t1", "t2"])
    assert file.stat().st_size == length


def test_a_part_of_a_record_is_cut_off_with_an_older_queue_too(tmp_path: Path) -> None:
    place = Place(tmp_path)
    store(place, "t1")
    place.database.close()
    shutil.copy(tmp_path / "q.db", tmp_path / "copy.db")
    place = Place(tmp_path)
    store(place, "t2")
    place.database.close()
    file, length = place.files()[0], place.files()[0].stat().st_size
    with file.open("ab") as stream:
        stream.write(file.read_bytes()[:200])
    older = Place(tmp_path, queue=queue_of(tmp_path, "copy"))
    assert file.stat().st_size == length
    store(older, "t3")
    kept(older, ["t1", "t3"])


@pytest.mark.parametrize("damaged", [0, 1])
def test_whole_records_after_a_damaged_one_stay(tmp_path: Path, damaged: int) -> None:
    """Damage before the end that an older queue knows, or in the first record after it."""
    place = Place(tmp_path)
    store(place, "t1")
    place.database.close()
    shutil.copy(tmp_path / "q.db", tmp_path / "copy.db")
    known = place.files()[0].stat().st_size
    place = Place(tmp_path)
    store(place, "t2", "t3")
    place.database.close()
    file, length = place.files()[0], place.files()[0].stat().st_size
    with file.open("r+b") as stream:
        stream.seek(known * damaged + 30)
        stream.write(bytes(20))
    older = Place(tmp_path, queue=queue_of(tmp_path, "copy"))
    assert file.stat().st_size == length
    older.database.close()
    assert Place(tmp_path).page("t3") == b"t3" * 50
