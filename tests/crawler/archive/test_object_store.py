from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbcompanion.crawler.archive.object_store import PART_BYTES, FileNameTaken, ObjectStore, StoreFailed, UploadStopped
from tests.support.object_stores import BUCKET, S3Server, client, objects, s3_server

pytestmark = pytest.mark.programs
URL = f"s3://{BUCKET}/some/prefix"


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(name="file")
def _file(tmp_path: Path) -> Path:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(os.urandom(100_000))
    return path


def puts(server: S3Server) -> int:
    return sum(method == "PUT" for method, _, _ in server.requests)


def test_a_file_is_put_once_and_read_by_ranges(server: S3Server, file: Path) -> None:
    store = ObjectStore(URL)
    assert store.size("once.gz") is None
    assert store.upload("once.gz", file) == 100_000
    assert objects(server)["some/prefix/once.gz"] == file.read_bytes()
    before = puts(server)
    assert ObjectStore(URL).upload("once.gz", file) == 0  # after a crash before the queue knew
    assert puts(server) == before
    assert store.size("once.gz") == 100_000
    with store.open("once.gz") as stream:
        stream.seek(99_000)
        assert stream.read(500) == file.read_bytes()[99_000:99_500]
        assert stream.read() == file.read_bytes()[99_500:]
    assert server.requests[-1][2].startswith("bytes=99000-")
    store.remove("once.gz")
    store.remove("once.gz")
    assert store.size("once.gz") is None
    with pytest.raises(FileNotFoundError):
        store.open("once.gz")


def test_a_large_file_goes_in_parts(server: S3Server, tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(os.urandom(1000) * (PART_BYTES // 1000 + 2000))
    store = ObjectStore(URL)
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 1

    with pytest.raises(UploadStopped):
        store.upload("large.gz", path, stopped)
    assert store.size("large.gz") is None
    assert store.upload("large.gz", path) == path.stat().st_size
    assert objects(server)["some/prefix/large.gz"] == path.read_bytes()
    store.remove("large.gz")


def test_a_store_that_takes_half_a_file(server: S3Server, file: Path) -> None:
    store = ObjectStore(URL)
    server.cutting = 1
    with pytest.raises(StoreFailed, match="does not return the same bytes"):
        store.upload("half.gz", file)
    assert len(objects(server)["some/prefix/half.gz"]) == 50_000
    assert store.upload("half.gz", file) == 100_000
    assert objects(server)["some/prefix/half.gz"] == file.read_bytes()


def test_a_store_that_answers_503(server: S3Server, file: Path) -> None:
    store = ObjectStore(URL)
    server.failing = 100
    with pytest.raises(StoreFailed, match="503"):
        store.upload("later.gz", file)
    server.failing = 0
    store.upload("later.gz", file)
    assert objects(server)["some/prefix/later.gz"] == file.read_bytes()


def test_a_file_of_another_crawler_is_not_overwritten(server: S3Server, file: Path) -> None:
    client(server).put_object(Bucket=BUCKET, Key="some/prefix/taken.gz", Body=b"another crawler's")
    with pytest.raises(FileNameTaken, match="give each crawler a name of its own"):
        ObjectStore(URL).upload("taken.gz", file)
    assert objects(server)["some/prefix/taken.gz"] == b"another crawler's"


def test_a_bucket_that_is_not_there(server: S3Server, file: Path) -> None:
    with pytest.raises(StoreFailed, match="the bucket is not there"):
        ObjectStore("s3://missing/prefix").upload("a.gz", file)
