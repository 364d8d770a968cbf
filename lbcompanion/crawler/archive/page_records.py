"""The records of one page in a file: its own, its request's, and those of its requisites.

Bytes that the file has already become a revisit record.
"""

from __future__ import annotations

from attrs import frozen

from lbcompanion import __version__
from lbcompanion.crawler.archive.warc_records import (
    RecordRefused,
    Requisite,
    info_record,
    is_recordable,
    new_record_id,
    page_record,
    page_revisit_record,
    request_record,
    requisite_record,
    revisit_record,
)
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.requisite_report import MissingRequisite
from lbcompanion.model import to_rfc3339

#: How many of a file's latest pages are known, so that the same bytes again become a revisit; about 6 MB of memory.
KNOWN_PAGES = 20_000


@frozen
class EncodedPage:
    """The records of one page as bytes.

    :ivar page_offset: where the page's own record starts.
    :ivar payloads: the requisites that are new to the file.
    :ivar refused: requisites that no record can hold.
    :ivar has_new_page: whether the page's bytes are in its own record.
    """

    data: bytes
    page_offset: int
    payloads: tuple[tuple[str, str, str], ...]
    refused: tuple[MissingRequisite, ...]
    has_new_page: bool


@frozen
class _OwnRecords:
    """A page's own record and its request's, and whether they have the page's bytes."""

    parts: list[bytes]
    has_body: bool


class KnownBytes:
    """The bytes that one file has, by digest: URL and date of their first record.

    :param payloads: the requisites.
    :param pages: the latest pages that have their bytes in their own record, oldest first.
    """

    def __init__(self, payloads: dict[str, tuple[str, str]], pages: dict[str, tuple[str, str]]) -> None:
        self._payloads = payloads
        self._pages = pages

    @classmethod
    def of_file(cls, index: ArchiveIndex, name: str) -> KnownBytes:
        """Return what the index knows of a file.

        :raises BacklogError: if the database fails.
        """
        pages = index.first_pages(name, KNOWN_PAGES)
        return cls(index.payloads(name), {digest: (url, to_rfc3339(captured_at)) for digest, url, captured_at in pages})

    def add(self, copy: FetchedCopy, encoded: EncodedPage) -> None:
        """Note a page that was committed."""
        self._payloads.update({digest: (url, date) for digest, url, date in encoded.payloads})
        digest = copy.sha256.hex()
        if encoded.has_new_page and digest not in self._pages:
            self._pages[digest] = (copy.url, to_rfc3339(copy.captured_at))
            if len(self._pages) > KNOWN_PAGES:
                del self._pages[next(iter(self._pages))]

    def first_occurrence(self, digest: str) -> tuple[str, str] | None:
        """Return URL and date of a payload's first occurrence in this file, or None.

        Earlier versions stored URLs that no record can hold; these are ignored.
        """
        first = self._payloads.get(digest) or self._pages.get(digest)
        return first if first is not None and is_recordable(first[0]) else None


def encode(copy: FetchedCopy, requisites: tuple[Requisite, ...], known: KnownBytes, new_file: str = "") -> EncodedPage:
    """Return the records of a page.

    :param known: the bytes that the file has.
    :param new_file: the name of the file if it is empty, for its first record.
    """
    parts = [info_record(new_file, f"lbcompanion/{__version__}")] if new_file else []
    page_offset = sum(map(len, parts))
    date = to_rfc3339(copy.captured_at)
    page = _encode_page(copy, known)
    parts += page.parts
    # The page's bytes are no entry of the table of payloads: its row in the queue has their digest.
    here = {copy.sha256.hex(): (copy.url, date)} if page.has_body else {}
    new: dict[str, tuple[str, str]] = {}
    refused: list[MissingRequisite] = []
    for requisite in requisites:
        digest = requisite.sha256.hex()
        first = known.first_occurrence(digest) or here.get(digest) or new.get(digest)
        try:
            parts.append(
                requisite_record(requisite, date) if first is None else revisit_record(requisite, date, *first)
            )
        except RecordRefused as failure:  # the page is archived without it
            refused.append(MissingRequisite(requisite.url, f"no record can hold it: {failure}"))
            continue
        if first is None:
            new[digest] = (requisite.url, date)
    payloads = tuple((digest, *first) for digest, first in new.items())
    return EncodedPage(b"".join(parts), page_offset, payloads, tuple(refused), page.has_body)


def _encode_page(copy: FetchedCopy, known: KnownBytes) -> _OwnRecords:
    record_id = new_record_id()
    if copy.method != "GET":
        # No revisit: indexers add the method to the key of a response only.
        return _OwnRecords([page_record(copy, record_id), request_record(copy, record_id)], has_body=True)
    first = known.first_occurrence(copy.sha256.hex())
    if first is None:
        return _OwnRecords([page_record(copy, record_id)], has_body=True)
    return _OwnRecords([page_revisit_record(copy, record_id, *first)], has_body=False)
