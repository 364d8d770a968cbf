"""The records of one page in a file: its own, its request's, and those of its requisites.

Bytes that the file, or a recent file of the crawler, has already become a revisit record.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import evolve, frozen

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
from lbcompanion.crawler.queue.payload_places import Payload
from lbcompanion.crawler.queue.requisite_report import MissingRequisite
from lbcompanion.model import to_rfc3339

#: How many of a file's latest pages are known, so that the same bytes again become a revisit; about 6 MB of memory.
KNOWN_PAGES = 20_000
#: How many payloads of other files are known; about 10 MB of memory.
KNOWN_ELSEWHERE = 20_000
#: A file counts as one of this size at least, so that few files refer to one payload.
LEAST_FILE_BYTES = 16 << 20


@frozen
class EncodedPage:
    """The records of one page as bytes.

    :ivar page_offset: where the page's own record starts.
    :ivar payloads: the requisites that are new to the file. Offsets are those in ``data``.
    :ivar references: payloads of other files to which the file refers for the first time.
    :ivar refused: requisites that no record can hold.
    :ivar has_new_page: whether the page's bytes are in its own record.
    """

    data: bytes
    page_offset: int
    payloads: tuple[Payload, ...]
    references: tuple[Payload, ...]
    refused: tuple[MissingRequisite, ...]
    has_new_page: bool


@frozen
class _OwnRecords:
    """A page's own record and its request's, and whether they have the page's bytes."""

    parts: list[bytes]
    has_body: bool


class KnownBytes:
    """The payloads of one file and of other files, to which revisits of the file may refer.

    :param payloads: the file's requisites, by digest.
    :param pages: the file's latest pages that have their bytes in their own record, oldest first.
    :param elsewhere: the payloads of other files, oldest first.
    :param referenced: the digests of those to which the file refers already.
    """

    def __init__(
        self,
        payloads: dict[str, Payload] | None = None,
        pages: dict[str, Payload] | None = None,
        elsewhere: dict[str, Payload] | None = None,
        referenced: Collection[str] = (),
    ) -> None:
        self._payloads = payloads or {}
        self._pages = pages or {}
        self._elsewhere = elsewhere or {}
        self._referenced = set(referenced)

    @classmethod
    def of_file(cls, index: ArchiveIndex, name: str, most_bytes: int = 0) -> KnownBytes:
        """Return what the index knows of a file, and of the files before it.

        :param name: empty: a new file.
        :param most_bytes: how long these files may be in all.
        :raises BacklogError: if the database fails.
        """
        found: list[Payload] = []
        for file in recent_files(index, most_bytes):
            requisites = [each for each in index.payloads(file).values() if each.offset >= 0]
            found += [*requisites, *index.first_pages(file, KNOWN_ELSEWHERE)]
            if len(found) >= KNOWN_ELSEWHERE:
                break
        elsewhere = {each.sha256: each for each in reversed(found[:KNOWN_ELSEWHERE])}
        if not name:
            return cls(elsewhere=elsewhere)
        pages = {each.sha256: evolve(each, file="") for each in index.first_pages(name, KNOWN_PAGES)}
        payloads = {digest: evolve(each, file="") for digest, each in index.payloads(name).items()}
        referenced = index.references(name)
        return cls(payloads, pages, {**elsewhere, **referenced}, referenced)

    def of_next_file(self, name: str, files: Collection[str]) -> KnownBytes:
        """Return what is known in the file after this one.

        :param name: of this file.
        :param files: the files to which the next one may refer.
        """
        own = (evolve(each, file=name) for known in (self._payloads, self._pages) for each in known.values())
        found = {each.sha256: each for each in (*self._elsewhere.values(), *own)}
        kept = [each for each in found.values() if each.file in files and each.offset >= 0]
        return KnownBytes(elsewhere={each.sha256: each for each in kept[-KNOWN_ELSEWHERE:]})

    def forget_files(self, names: Collection[str]) -> None:
        """Refer no more to the payloads of these files."""
        self._elsewhere = {digest: each for digest, each in self._elsewhere.items() if each.file not in names}

    def add(self, copy: FetchedCopy, encoded: EncodedPage, start: int) -> None:
        """Note a page that was committed.

        :param start: where its records start in the file.
        """
        self._payloads.update({each.sha256: evolve(each, offset=start + each.offset) for each in encoded.payloads})
        self._referenced.update(each.sha256 for each in encoded.references)
        digest = copy.sha256.hex()
        if encoded.has_new_page and digest not in self._pages:
            date = to_rfc3339(copy.captured_at)
            self._pages[digest] = Payload(digest, copy.url, date, offset=start + encoded.page_offset)
            if len(self._pages) > KNOWN_PAGES:
                del self._pages[next(iter(self._pages))]

    def is_referenced(self, digest: str) -> bool:
        """Whether the file refers to a payload of another file with this digest."""
        return digest in self._referenced

    def first_occurrence(self, digest: str) -> Payload | None:
        """Return the record that has a payload, in this file or in another one, or None.

        Earlier versions stored URLs that no record can hold; these are ignored.
        """
        for known in (self._payloads, self._pages, self._elsewhere):
            first = known.get(digest)
            if first is not None and is_recordable(first.url):
                return first
        return None


def recent_files(index: ArchiveIndex, most_bytes: int) -> list[str]:
    """Return the closed files to whose payloads the next file may refer, newest first."""
    return index.recent_files(most_bytes, LEAST_FILE_BYTES) if most_bytes > 0 else []


class _Known:
    """The known payloads while one page is encoded, those of the page itself too.

    :param may_refer: whether the file may refer to a payload of another file; asked once for each.
    """

    def __init__(self, known: KnownBytes, may_refer: Callable[[Payload], bool]) -> None:
        self._known = known
        self._may_refer = may_refer
        self._asked: dict[str, bool] = {}
        self._here: dict[str, Payload] = {}
        self.references: list[Payload] = []

    def add(self, payload: Payload) -> None:
        """Note a payload of the page itself."""
        self._here.setdefault(payload.sha256, payload)

    def first(self, digest: str) -> Payload | None:
        """Return the record that has a payload, or None."""
        first = self._known.first_occurrence(digest)
        if first is None or (first.file and not self._refers_to(first)):
            return self._here.get(digest)
        return first

    def _refers_to(self, payload: Payload) -> bool:
        if self._known.is_referenced(payload.sha256):
            return True
        if payload.sha256 not in self._asked:
            self._asked[payload.sha256] = payload.sha256 not in self._here and self._may_refer(payload)
            if self._asked[payload.sha256]:
                self.references.append(payload)
        return self._asked[payload.sha256]


def encode(
    copy: FetchedCopy,
    requisites: tuple[Requisite, ...],
    known: KnownBytes,
    new_file: str = "",
    may_refer: Callable[[Payload], bool] = lambda _payload: True,
) -> EncodedPage:
    """Return the records of a page.

    :param known: the payloads to which its records may refer.
    :param new_file: the name of the file if it is empty, for its first record.
    :param may_refer: whether the file may refer to a payload of another file.
    """
    parts = [info_record(new_file, f"lbcompanion/{__version__}")] if new_file else []
    length = page_offset = sum(map(len, parts))
    date = to_rfc3339(copy.captured_at)
    found = _Known(known, may_refer)
    page = _encode_page(copy, found)
    parts += page.parts
    length += sum(map(len, page.parts))
    # The page's bytes are no entry of the table of payloads: its row in the queue has their digest.
    if page.has_body:
        found.add(Payload(copy.sha256.hex(), copy.url, date))
    new: list[Payload] = []
    refused: list[MissingRequisite] = []
    for requisite in requisites:
        digest = requisite.sha256.hex()
        first = found.first(digest)
        try:
            record = (
                requisite_record(requisite, date)
                if first is None
                else revisit_record(requisite, date, first.url, first.date)
            )
        except RecordRefused as failure:  # the page is archived without it
            refused.append(MissingRequisite(requisite.url, f"no record can hold it: {failure}"))
            continue
        if first is None:
            new.append(Payload(digest, requisite.url, date, offset=length))
            found.add(new[-1])
        parts.append(record)
        length += len(record)
    return EncodedPage(b"".join(parts), page_offset, tuple(new), tuple(found.references), tuple(refused), page.has_body)


def _encode_page(copy: FetchedCopy, known: _Known) -> _OwnRecords:
    record_id = new_record_id()
    if copy.method != "GET":
        # No revisit: indexers add the method to the key of a response only.
        return _OwnRecords([page_record(copy, record_id), request_record(copy, record_id)], has_body=True)
    first = known.first(copy.sha256.hex())
    if first is None:
        return _OwnRecords([page_record(copy, record_id)], has_body=True)
    return _OwnRecords([page_revisit_record(copy, record_id, first.url, first.date)], has_body=False)
