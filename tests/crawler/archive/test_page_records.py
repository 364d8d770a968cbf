"""The records of a page, and revisits of bytes that its file has already."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lbcompanion.crawler.archive import page_records
from lbcompanion.crawler.archive.warc_reader import stored_records
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.queue.payload_places import Payload, PayloadPlace
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import Place


@pytest.mark.slow
def test_an_asset_stands_once_in_a_file(tmp_path: Path) -> None:
    place = Place(tmp_path)
    requisite = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")
    place.store("t1", b"one", (requisite,))
    place = Place(tmp_path)
    place.store("t2", b"two", (requisite, requisite))
    kinds = [kind for kind, _ in place.records()]
    assert kinds == ["warcinfo", "response", "response", "response", "revisit", "revisit"]


@pytest.mark.slow
def test_a_page_that_is_the_same_is_a_revisit(tmp_path: Path) -> None:
    place = Place(tmp_path, rotate_bytes=10_000_000)
    body = b"<p>always the same" * 100
    requisite = Requisite("http://www.example.com/frame.html", "text/html", digest_of(body), body)
    place.store("t1", body)
    place.store("t2", body, status=404)
    place = Place(tmp_path)
    place.store("t3", body, (requisite,))
    place.store("t4", body, method="POST")
    assert [kind for kind, _ in place.records()] == [
        *("warcinfo", "response", "revisit", "revisit", "revisit", "response", "request"),
    ]
    assert [place.page(token) for token in ("t1", "t2", "t3", "t4")] == [body] * 4
    with place.files()[0].open("rb") as stream:
        records = list(stored_records(stream))
    assert (records[2].status, records[2].fields["lbc-node"]) == (404, "n1")
    for each in records[2:5]:
        assert each.fields["warc-refers-to-target-uri"] == records[1].url
        assert each.fields["warc-refers-to-date"] == records[1].date
    # Also without the queue's help, and not with a record of other bytes.
    read = place.archive.reader.read_page
    name = place.files()[0].name
    for offsets in ((), (records[0].offset,), (records[3].offset, records[1].offset)):
        assert read(name, records[3].offset, "", [PayloadPlace(name, each) for each in offsets]) == body


STYLE = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")


def kinds(place: Place) -> list[list[str]]:
    """The kinds of the records in each file, after its first record."""
    found = []
    for file in place.files():
        with file.open("rb") as stream:
            found.append([each.kind for each in stored_records(stream) if each.url])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("restart", [False, True])
def test_bytes_of_an_earlier_file_become_revisits(tmp_path: Path, restart: bool) -> None:
    place = Place(tmp_path, rotate_bytes=1)
    for token in ("t1", "t2", "t3"):
        place.now += 1
        place.store(token, b"the same", (STYLE, STYLE))
        place = Place(tmp_path, rotate_bytes=1) if restart else place
    assert kinds(place) == [["response", "response", "revisit"], ["revisit"] * 3, ["revisit"] * 3]
    assert [place.page(token) for token in ("t1", "t2", "t3")] == [b"the same"] * 3
    # A page of the same file refers to the same record.
    place = Place(tmp_path, rotate_bytes=1 << 30)
    place.store("t4", b"the same", (STYLE,))
    place = Place(tmp_path, rotate_bytes=1 << 30)
    place.store("t5", b"the same", (STYLE,))
    assert kinds(place)[2:] == [["revisit"] * 7]
    assert [place.page(token) for token in ("t4", "t5")] == [b"the same"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("restart", [False, True])
def test_only_so_many_bytes_of_files_are_referred_to(tmp_path: Path, restart: bool) -> None:
    def opened() -> Place:
        return Place(tmp_path, rotate_bytes=1, revisit_bytes=2 * page_records.LEAST_FILE_BYTES)

    place = opened()
    for number in range(5):
        place.store(f"t{number}", b"the same")
        place = opened() if restart else place
    assert kinds(place) == [["response"], ["revisit"], ["revisit"], ["response"], ["revisit"]]
    assert [place.page(f"t{number}") for number in range(5)] == [b"the same"] * 5
    off = tmp_path / "off"
    off.mkdir()
    place = Place(off, rotate_bytes=1, revisit_bytes=0)
    for number in range(2):
        place.store(f"t{number}", b"the same", (STYLE,))
    assert kinds(place) == [["response"] * 2] * 2


@pytest.mark.slow
def test_a_file_that_is_missing_is_not_referred_to(tmp_path: Path) -> None:
    place = Place(tmp_path, rotate_bytes=1)
    place.store("t1", b"the same", (STYLE,))
    place.files()[0].unlink()
    place.store("t2", b"the same", (STYLE,))
    place.store("t3", b"the same", (STYLE,))
    assert kinds(place) == [["response"] * 2, ["revisit"] * 2]
    assert place.page("t3") == b"the same"


@pytest.mark.slow
def test_few_pages_are_known_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_records, "KNOWN_PAGES", 2)
    place = Place(tmp_path)
    bodies = {f"t{number}": bytes([body]) for number, body in enumerate(b"abcbcacab")}
    for number, (token, body) in enumerate(bodies.items()):
        if number % 2:
            place = Place(tmp_path)
        place.store(token, body)
        assert len(place.archive._known._pages) <= 2
    with place.files()[0].open("rb") as stream:
        records = [each for each in stored_records(stream) if each.url]
    # b and c are known when they come again, a is forgotten.
    assert [each.kind for each in records][:6] == ["response"] * 3 + ["revisit"] * 2 + ["response"]
    for number, each in enumerate(records):
        if each.kind == "revisit":
            first = (each.fields["warc-refers-to-target-uri"], each.fields["warc-refers-to-date"])
            assert (*first, "response", each.payload_digest) in [
                (other.url, other.date, other.kind, other.payload_digest) for other in records[:number]
            ]
    assert {token: place.page(token) for token in bodies} == bodies


@pytest.mark.slow
def test_what_an_earlier_version_noted_is_not_referred_to(tmp_path: Path) -> None:
    place = Place(tmp_path)
    good = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")
    digest = good.sha256.hex()
    place.archive._known._payloads[digest] = Payload(digest, "http://www.example.com/\r\nX: y", "2026-11-23T21:10:00Z")
    place.store("t1", b"one", (good,))
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response", "response"]


@pytest.mark.slow
def test_a_post_is_noted(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"done", method="POST")
    with place.files()[0].open("rb") as stream:
        info, page, request = stored_records(stream)
    assert [each.kind for each in (info, page, request)] == ["warcinfo", "response", "request"]
    text = gzip.decompress(place.files()[0].read_bytes())
    assert b"\r\nPOST /a?b=c HTTP/1.1\r\nHost: www.example.com\r\n" in text
    assert text.endswith(b"\r\nContent-Length: 0\r\n\r\n\r\n\r\n")
    assert request.fields["warc-concurrent-to"] == page.record_id
    assert request.fields["warc-truncated"] == "unspecified"
    assert (request.url, request.date) == (page.url, page.date)
