"""Finds the records of erased files of pages in an archive file: in its index, or in the file if it has no index."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

from attrs import field, frozen

from lbcompanion.crawler.erasure.folder import ArchivePlace, Check
from lbcompanion.crawler.erasure.warc_members import Record, members, read_record
from lbcompanion.crawler.queue.archive_index import ArchiveFile
from lbcompanion.crawler.queue.file_erasures import FileRequest
from lbcompanion.crawler.queue.file_replacement import FileRow
from lbcompanion.protocol import headers

_NODE = headers.NODE.text.lower()
_CHECKED_LINES = 1000


@frozen
class ErasedFiles:
    """The requests for which one archive file is searched.

    :ivar pages: the recordings to which each request refers, in the order of the requests.
    :ivar offsets: of the records that match, as far as the index shows it.
    """

    requests: tuple[FileRequest, ...] = ()
    pages: tuple[frozenset[int], ...] = field(default=(), repr=False)
    offsets: tuple[int, ...] = field(default=(), repr=False)

    @property
    def last(self) -> int:
        """The number of the last request."""
        return max((each.erasure for each in self.requests), default=0)

    def erasure(self, url: str, page: int | None) -> int | None:
        """Return the erasure that removes the record of a file; None if it stays.

        :param page: the recording of the page that the file belongs to; None: a page that the queue does not know.
        """
        for request, pages in zip(self.requests, self.pages, strict=True):
            is_of_page = not request.criteria.is_about_pages if page is None else page in pages
            if is_of_page and request.criteria.matches(url):
                return request.erasure
        return None


def is_file_record(record: Record) -> bool:
    """Whether a record is of a file of a page: only a page's own record names the node."""
    return record.get("warc-type") in ("response", "revisit") and not record.get(_NODE)


def find_erased(
    place: ArchivePlace, file: ArchiveFile, size: int, rows: Sequence[FileRow], wanted: ErasedFiles, check: Check
) -> list[int]:
    """Return the offsets of the records in an archive file that match; blocking.

    :param size: how many bytes of the file count.
    :param rows: the file's recordings, in the order of their records.
    :param check: called from time to time; what it raises ends the search.
    :raises OSError: if the file cannot be read.
    """
    starts = [row.offset for row in rows]
    pages = set(starts)

    def is_erased(offset: int, url: str) -> bool:
        number = bisect_right(starts, offset)
        page = rows[number - 1].id if number else None
        return offset not in pages and wanted.erasure(url, page) is not None

    found = _in_index(place, file, is_erased, check)
    if found is None:
        records = _of_file(lambda: place.open(file.name, file.place, check), size, starts, check)
        found = [offset for offset, url in records if is_erased(offset, url)]
    return sorted(found)


def _in_index(
    place: ArchivePlace, file: ArchiveFile, is_erased: Callable[[int, str], bool], check: Check
) -> list[int] | None:
    """Search the index of a file; None if it has none, or a damaged one."""
    found, number = [], -1
    try:
        with place.open_index(file.name, file.place, check) as index:
            for number, line in enumerate(index):
                if number % _CHECKED_LINES == 0:
                    check()
                values = json.loads(line.split(b" ", 2)[2])
                if is_erased(int(values["offset"]), str(values["url"])):
                    found.append(int(values["offset"]))
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return None
    return None if number < 0 else found


def _of_file(open_file: Callable[[], BinaryIO], size: int, known: list[int], check: Check) -> Iterator[tuple[int, str]]:
    with open_file() as stream:
        for member in members(stream, size, known):
            check()
            record = read_record(member.plain) if member.is_readable else None
            if record is not None and is_file_record(record):
                yield member.offset, record.get("warc-target-uri")
