"""Erasing from files that are in an object store already; here the store is a folder, by the same library."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from lbcompanion.crawler.archive.file_index import index_name
from lbcompanion.crawler.archive.object_store import ObjectStore, StoreFailed
from lbcompanion.crawler.archive.uploads import Uploads
from lbcompanion.crawler.metrics import CrawlerMetrics
from tests.support.archives import NOW
from tests.support.erasing_place import Crashed, ErasingPlace, file_of_page
from tests.support.programs import need_library
from tests.support.simulated_farm import immediately


@pytest.fixture(autouse=True)
def _object_stores() -> None:
    need_library("obstore")


CSS = file_of_page("x.css", b"body {}")
STEPS = ("marked", "doomed", "copied", "written", "replaced", "removed")


class FolderStore(ObjectStore):
    """A folder as the store. The library does not write a type there."""

    def upload(
        self, name: str, path: Path, is_stopped: Callable[[], bool] = lambda: False, *, may_replace: bool = False
    ) -> int:
        assert not is_stopped()
        assert may_replace == name.endswith(".cdxj")
        return (Path(self.url.removeprefix("file://")) / name).write_bytes(path.read_bytes())


class Uploaded:
    """An archive whose files are uploaded when they are closed."""

    def __init__(self, folder: Path, on_step: Any = lambda _step: None, url: str = "") -> None:
        self.bucket = folder / "bucket"
        self.bucket.mkdir(exist_ok=True)
        self.url = url or f"file://{self.bucket}"
        self.store = ObjectStore(url) if url else FolderStore(self.url)
        self.place = ErasingPlace(folder, on_step, store_url=self.url)

    def upload(self) -> None:
        place = self.place
        if place.archive.current_file:
            place.archive.close_file()
        uploads = Uploads(
            archive=place.archive,
            index=place.index,
            store=self.store,
            defer=immediately,
            in_thread=immediately,
            reactor=Clock(),
            metrics=CrawlerMetrics(),
            health=place.health,
            jitter=lambda: 0.5,
            file_lock=place.parts.file_lock,
        )
        uploads.start()
        uploads.stop()
        assert (place.files(), place.health.lines()) == ([], [])

    def page(self, token: str) -> bytes:
        row = self.place.backlog.recording(token)
        assert row is not None
        archive = self.place.archive
        file, offset = row["warc_file"], row["warc_offset"]
        return archive.reader.read_page(file, offset, *archive.reader.locate(file, offset))

    def stored(self) -> list[str]:
        """The names of the stored archive files; each has its index beside it, and there are no others."""
        names = {file.name for file in self.bucket.iterdir()}
        files = {name for name in names if name.endswith(".warc.gz")}
        assert names - files == {index_name(name) for name in files}
        return sorted(files)

    def plain(self) -> bytes:
        return b"".join(gzip.decompress(file.read_bytes()) for file in self.bucket.glob("*.gz")) + self.place.plain()


@pytest.mark.slow
@pytest.mark.parametrize("step", ["", *STEPS])
def test_uploaded_files_that_refer_to_each_other_are_rewritten_together(tmp_path: Path, step: str) -> None:
    def crash(done: str) -> None:
        if done == step:
            raise Crashed

    uploaded = Uploaded(tmp_path, crash)
    for number in range(4):
        uploaded.place.keep(f"t{number}", b"the same page", CSS, at=NOW + number)
        uploaded.upload()
    assert uploaded.plain().count(b"the same page") == uploaded.plain().count(CSS.body) == 1
    with pytest.raises(Crashed) if step else nullcontext():
        uploaded.place.erase(tokens=("t0",))
    uploaded.place.close()
    uploaded = Uploaded(tmp_path)
    assert [uploaded.page(f"t{number}") for number in (1, 2, 3)] == [b"the same page"] * 3
    uploaded.place.sweep()
    assert [uploaded.page(f"t{number}") for number in (1, 2, 3)] == [b"the same page"] * 3
    uploaded.upload()
    assert [uploaded.page(f"t{number}") for number in (1, 2, 3)] == [b"the same page"] * 3
    assert len(uploaded.stored()) == 3
    assert uploaded.plain().count(b"the same page") == uploaded.plain().count(CSS.body) == 1
    assert b"/t0\r" not in uploaded.plain()
    assert b"21:10:00" not in uploaded.plain()
    uploaded.place.close()


def fill(uploaded: Uploaded) -> None:
    uploaded.place.keep("t1", b"secret of ann", CSS)
    uploaded.place.keep("t2", b"body of bob", CSS, at=NOW + 1)
    uploaded.upload()


@pytest.mark.slow
def test_an_uploaded_file_is_rewritten_and_uploaded_again(tmp_path: Path) -> None:
    uploaded = Uploaded(tmp_path)
    fill(uploaded)
    (old,) = uploaded.stored()
    result = uploaded.place.erase(tokens=("t1",))
    assert (result.waiting, result.files_waiting) == (0, 0)
    assert uploaded.stored() == []
    assert uploaded.page("t2") == b"body of bob"
    uploaded.upload()
    assert uploaded.stored() == [old.replace(".warc.gz", "-e1.warc.gz")]
    assert uploaded.page("t2") == b"body of bob"
    assert b"secret" not in uploaded.plain()
    uploaded.place.erase(tokens=("t2",))
    assert uploaded.stored() == []
    uploaded.place.close()


@pytest.mark.slow
def test_what_an_interrupted_upload_left_is_removed_too(tmp_path: Path) -> None:
    uploaded = Uploaded(tmp_path)
    uploaded.place.keep("t1", b"secret of ann")
    uploaded.place.keep("t2", b"body of bob")
    (file,) = uploaded.place.files()
    (uploaded.bucket / file.name).write_bytes(file.read_bytes())
    uploaded.place.erase(tokens=("t1",))
    assert uploaded.stored() == []
    uploaded.upload()
    assert b"secret" not in uploaded.plain()
    uploaded.place.close()


@pytest.mark.slow
def test_a_store_that_is_away_is_reported_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded = Uploaded(tmp_path)
    fill(uploaded)

    def fail(*_arguments: object) -> None:
        raise StoreFailed("the store is away")

    for method, counts in (("open", (1, 0)), ("remove", (0, 1))):
        with monkeypatch.context() as patch:
            patch.setattr(ObjectStore, method, fail)
            if method == "open":
                result = uploaded.place.erase(tokens=("t1",))
                assert (result.waiting, result.files_waiting) == counts
            else:
                uploaded.place.sweep()
                assert len(uploaded.place.replacements.doomed()) == 1
        assert "the store is away; it is tried again" in uploaded.place.health.lines()[0]
        assert uploaded.place.erasures.entries(1)[0]["finished_at"] is None
    uploaded.place.sweep()
    assert uploaded.place.health.lines() == []
    assert uploaded.place.erasures.entries(1)[0]["finished_at"] == NOW
    assert b"secret" not in uploaded.plain()
    uploaded.place.close()


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_a_step_loses_nothing(tmp_path: Path, step: str) -> None:
    def crash(done: str) -> None:
        if done == step:
            raise Crashed

    uploaded = Uploaded(tmp_path, crash)
    fill(uploaded)
    with pytest.raises(Crashed):
        uploaded.place.erase(tokens=("t1",))
    uploaded.place.close()
    uploaded = Uploaded(tmp_path)
    assert uploaded.page("t2") == b"body of bob"
    uploaded.place.sweep()
    uploaded.upload()
    assert uploaded.page("t2") == b"body of bob"
    assert len(uploaded.stored()) == 1
    assert b"secret" not in uploaded.plain()
    uploaded.place.close()


@pytest.mark.programs
def test_at_a_real_server(tmp_path: Path) -> None:
    from tests.support.object_stores import BUCKET, objects, s3_server

    with s3_server() as server:
        uploaded = Uploaded(tmp_path, url=f"s3://{BUCKET}/erase")
        fill(uploaded)
        (_, old) = sorted(objects(server))
        assert uploaded.place.erase(tokens=("t1",)).files == 1
        assert objects(server) == {}
        uploaded.upload()
        ((_, index), (new, content)) = sorted(objects(server).items())
        assert b"example.com/t2" in index
        assert new == old.replace(".warc.gz", "-e1.warc.gz")
        assert b"secret" not in gzip.decompress(content)
        assert uploaded.page("t2") == b"body of bob"
        uploaded.place.close()
