"""Which records go with a recording, and where payloads move."""

from __future__ import annotations

from io import BytesIO

import pytest

from lbcompanion.crawler.archive.warc_records import info_record, page_record, requisite_record, revisit_record
from lbcompanion.crawler.erasure.rewriting import Rewriter, RewritingStopped
from lbcompanion.crawler.erasure.warc_members import members, read_record
from lbcompanion.crawler.queue.file_replacement import FileRow, Replacement
from tests.support.archives import copy
from tests.support.erasing_place import file_of_page

CSS = file_of_page("x.css", b"body {}")
DATE, LATER = "2026-11-23T21:10:00Z", "2026-11-24T21:10:00Z"


def rewritten(parts: list[bytes], rows: dict[int, int | None], rewriter: Rewriter | None = None) -> Replacement | None:
    """Rewrite a file; ``rows`` has the numbers of the parts with recordings, and their erasures."""
    data = b"".join(parts)
    starts = [len(b"".join(parts[:number])) for number in range(len(parts))]
    found = [FileRow(number, starts[number], erasure) for number, erasure in rows.items()]
    rewriter = rewriter or Rewriter(lambda _name: BytesIO(data))
    target = BytesIO()
    result = rewriter.rewrite("a.warc.gz", len(data), found, "b.warc.gz", target)
    if result is not None:
        assert len(target.getvalue()) == result.committed or not result.new
    return result


def test_a_page_without_a_recording_stays_with_its_files() -> None:
    parts = [info_record("a", "x"), page_record(copy(b"one")), page_record(copy(b"two")), requisite_record(CSS, DATE)]
    parts.append(page_record(copy(b"three")))
    found = rewritten(parts, {1: 7, 4: None})
    assert found is not None
    assert found.offsets == {4: sum(map(len, (parts[0], parts[2], parts[3])))}
    assert (found.erased, dict(found.records), found.removed_payloads[1:]) == ([1], {7: 1}, [])


def test_records_are_counted_by_erasure() -> None:
    parts = [page_record(copy(b"one")), requisite_record(CSS, DATE), page_record(copy(b"two")), page_record(copy(b"3"))]
    found = rewritten(parts, {0: 7, 2: 8, 3: None})
    assert found is not None
    assert (found.erased, dict(found.records)) == ([0, 2], {7: 2, 8: 1})
    assert found.freed == sum(map(len, parts[:3]))


def test_nothing_is_changed_without_a_reason() -> None:
    assert rewritten([page_record(copy(b"one"))], {0: None}) is None


def test_a_later_file_gets_the_payload() -> None:
    first = [page_record(copy(b"one")), requisite_record(CSS, DATE)]
    second = [page_record(copy(b"two")), revisit_record(CSS, LATER, CSS.url, DATE)]
    files = {"a.warc.gz": b"".join(first), "c.warc.gz": b"".join(second)}
    rewriter = Rewriter(lambda name: BytesIO(files[name]))
    removed = rewriter.rewrite("a.warc.gz", len(files["a.warc.gz"]), [FileRow(1, 0, 7)], "", BytesIO())
    changed = rewriter.rewrite("c.warc.gz", len(files["c.warc.gz"]), [FileRow(2, 0, None)], "d.warc.gz", BytesIO())
    assert removed is not None
    assert changed is not None
    assert (removed.new, changed.new, changed.offsets, changed.erased) == ("", "d.warc.gz", {2: 0}, [])
    (moved,) = rewriter.moved_payloads({"d.warc.gz"})
    assert (moved.file, moved.sha256, moved.url, moved.date) == (
        "d.warc.gz",
        CSS.sha256.hex(),
        CSS.url,
        LATER,
    )
    assert rewriter.moved_payloads(set()) == []


@pytest.mark.parametrize("erased", [{1}, {0, 1}])
def test_a_revisit_of_an_erased_revisit_finds_its_payload(erased: set[int]) -> None:
    """Nothing writes such revisits on purpose; they come about if a crawler restarts in the middle of an erasure."""
    last = "2026-11-25T21:10:00Z"
    parts = [page_record(copy(b"one"), "<urn:uuid:0>"), requisite_record(CSS, DATE)]
    parts += [page_record(copy(b"two"), "<urn:uuid:1>"), revisit_record(CSS, LATER, CSS.url, DATE)]
    parts += [page_record(copy(b"three"), "<urn:uuid:2>"), revisit_record(CSS, last, CSS.url, LATER)]
    data, target = b"".join(parts), BytesIO()
    starts = [len(b"".join(parts[: 2 * number])) for number in range(3)]
    rows = [FileRow(number, starts[number], 7 if number in erased else None) for number in range(3)]
    found = Rewriter(lambda _name: BytesIO(data)).rewrite("a.warc.gz", len(data), rows, "b.warc.gz", target)
    assert found is not None
    records = [read_record(each.plain) for each in members(BytesIO(target.getvalue()), found.committed, [])]
    assert records[-1] is not None
    if 0 in erased:
        assert records[-1].payload == CSS.body
    else:
        assert (records[-1].get("warc-type"), records[-1].get("warc-refers-to-date")) == ("revisit", DATE)


def test_the_writing_can_be_interrupted() -> None:
    data = page_record(copy(b"one"))
    with pytest.raises(RewritingStopped):
        rewritten([data], {0: 7}, Rewriter(lambda _name: BytesIO(data), lambda: True))
